"""Two recordings side by side: what differs in figures or answers, and what only in its words."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

__all__ = ["Found", "compare"]

NUMBER = re.compile(r"[-+]?\d+(?:[.,]\d+)*(?:e[-+]?\d+)?")
SHADES = re.compile("[\u2580-\u259f]+")
TELLS = ("told", "config")
"""What is written for people, or under names: only its words are compared."""

ANSWERS = ("translate", "classify", "summarize", "generate")
"""Verbs whose lines are answers and nothing else."""


@dataclass
class Found:
    """What a comparison found.

    Attributes:
        compared: how many answers.
        differences: each with both sides.
        wording: places where the words differ and no figure does.
    """

    compared: int = 0
    differences: list[str] = field(default_factory=list)
    wording: list[str] = field(default_factory=list)

    def same(self, name: str, first: Any, second: Any) -> None:
        """Two answers that must be equal."""
        self.compared += 1
        if first != second:
            self.differences.append(f"{name}\n    {_short(first)}\n    {_short(second)}")

    def alike(self, name: str, first: Any, second: Any, of: Any) -> None:
        """Two texts of which `of(text)` must be equal; words that differ are noted."""
        self.same(name, of(first), of(second))
        if first != second and of(first) == of(second):
            self.wording.append(f"{name}\n    {_apart(first, second)}")


def compare(first: dict[str, Any], second: dict[str, Any]) -> Found:
    """Compare what two commits answered to the same questions."""
    found = Found()
    for part in ("arrays", "python"):
        _compare_flat(found, first.get(part, {}), second.get(part, {}))
    models = [recording.get("models", {}) for recording in (first, second)]
    found.same("models", sorted(models[0]), sorted(models[1]))
    for name in models[0].keys() & models[1].keys():
        one, other = models[0][name], models[1][name]
        _compare_training(found, name, one["training"], other["training"])
        found.same(f"{name}: commands", [*one["answers"]], [*other["answers"]])
        for command in one["answers"].keys() & other["answers"].keys():
            _compare_command(found, command, one["answers"][command], other["answers"][command])
    return found


def _compare_flat(found: Found, first: dict[str, Any], second: dict[str, Any]) -> None:
    for name in first.keys() | second.keys():
        found.same(name, first.get(name, "no answer"), second.get(name, "no answer"))


def _compare_training(found: Found, name: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    _compare_status(found, f"{name}: train", one, other)
    if one["status"] or other["status"]:
        return
    for part in ("tensors", "tokenizers", "scores"):
        found.same(f"{name}: {part}", one[part], other[part])
    found.alike(f"{name}: history", one["history"], other["history"], _values)
    for part in TELLS:
        found.alike(f"{name}: {part} of train", one[part], other[part], lambda _: None)


def _compare_command(
    found: Found, command: str, one: dict[str, Any], other: dict[str, Any]
) -> None:
    _compare_status(found, command, one, other)
    found.same(f"{command}: file", one.get("file"), other.get("file"))
    found.alike(f"{command}: messages", one["told"], other["told"], lambda _: None)
    if "--json" in command:
        found.alike(command, _json(one["out"]), _json(other["out"]), _values)
    elif command.startswith(ANSWERS):
        found.same(command, one["out"], other["out"])
    else:
        found.alike(command, one["out"], other["out"], _figures)


def _compare_status(found: Found, name: str, one: dict[str, Any], other: dict[str, Any]) -> None:
    """Commands that fail are differences, even if they fail on both sides: they show nothing."""
    for side in (one, other):
        if side["status"]:
            last = side["told"].strip().splitlines()[-3:]
            found.same(f"{name}: ended with {side['status']}", "0", " / ".join(last))
    found.same(f"{name}: status", one["status"], other["status"])


def _figures(text: str) -> list[str]:
    """Numbers and shades of a text for people, in order."""
    return NUMBER.findall(text) + SHADES.findall(text)


def _json(text: str) -> Any:
    """One object, or one a line."""
    try:
        return json.loads(text)
    except ValueError:
        return [json.loads(line) for line in text.splitlines()]


def _values(content: Any) -> list[Any]:
    """Every value in order, whatever it is called; of sentences the figures."""
    return list(_leaves(content))


def _leaves(content: Any) -> Iterator[Any]:
    if isinstance(content, dict):
        for name, value in content.items():
            if name in _PROSE and isinstance(value, str):
                yield from _figures(value)
            elif name in _BY_LABEL and isinstance(value, dict):
                yield from value.items()
            else:
                yield from _leaves(value)
    elif isinstance(content, list):
        for value in content:
            yield from _leaves(value)
    else:
        yield content


_PROSE = ("sentence", "note", "name")
"""Fields that hold words for people."""

_BY_LABEL = ("probabilities",)
"""Fields whose names are answers: labels."""


def _short(side: Any) -> str:
    text = side if isinstance(side, str) else json.dumps(side, ensure_ascii=False)
    return text if len(text) < 300 else f"{text[:300]} ..."


def _apart(first: Any, second: Any) -> str:
    """The first lines that differ."""
    one, other = (
        (side if isinstance(side, str) else json.dumps(side, ensure_ascii=False, indent=0)).split(
            "\n"
        )
        for side in (first, second)
    )
    for a, b in zip(one, other, strict=False):
        if a != b:
            return f"{_short(a)}\n    {_short(b)}"
    return f"{len(one)} lines\n    {len(other)} lines"
