"""Names that differ between commits, each with the older spellings to fall back to: the one such table.

The recorder asks by the names of today. Where a command refuses one, or a call does not know it, the older
spelling is tried, so that one recorder runs on both sides.
"""

from __future__ import annotations

import importlib.util
import re
from collections.abc import Callable
from functools import partial
from typing import Any

__all__ = [
    "ARGUMENTS",
    "COMMANDS",
    "METHODS",
    "SPELLINGS",
    "STEPS",
    "called",
    "first_that_works",
    "method",
    "module_of_command",
    "respelled",
]

COMMANDS = ("regard", "regard.cli")
"""Modules that `python -m` runs as the command."""

SPELLINGS = {
    "self_attention_heads": "looks",
    "max_pooling": "peaks",
    "deep_weight": "share",
    "skip_bigrams": "skips",
    "lead_pairs": "leads",
    "max_ngrams": "most_ngrams",
    "loss": "margin",
    "max_positions": "places",
    "max_sentence_length": "longest",
}
"""Words of the command line (settings, options, kinds, maps): today's, and the older one."""

METHODS = {"input_tokens": "read_tokens"}
"""Methods of models and answers: today's name, and the older one."""

ARGUMENTS = {"masked_out": "hidden"}
"""Arguments of methods: today's name, and the older one."""

STEPS = (("input", "output"), ("enters", "leaves"))
"""The two steps at which a word's cross-attention may be read: the word goes into the decoder, or comes out."""

_NAMED = re.compile(r"['\"`]([\w.-]+)['\"`]|--([\w-]+)")


def method(of: Any, name: str) -> Any:
    """The method of that name, or of the older one."""
    return getattr(of, name) if hasattr(of, name) else getattr(of, METHODS[name])


def called(function: Callable[..., Any], *given: Any, **named: Any) -> Any:
    """What a call gives with arguments of these names, or of the older ones."""
    older = {ARGUMENTS.get(name, name): value for name, value in named.items()}
    return first_that_works(partial(function, *given, **named), partial(function, *given, **older))


def module_of_command() -> str:
    """The module that `python -m` runs as the command in this tree."""
    for name in COMMANDS:
        if importlib.util.find_spec(f"{name}.__main__"):
            return name
    raise LookupError(f"none of {', '.join(COMMANDS)} can be run with python -m")


def respelled(arguments: list[str], complaint: str) -> list[str] | None:
    """The arguments with the word that was complained about in its older spelling.

    Args:
        arguments: of the command.
        complaint: what it wrote; a word that it does not know stands there in quotes or behind dashes.

    Returns:
        `None` where the complaint names no word of the table that stands in the arguments.
    """
    for quoted, dashed in _NAMED.findall(complaint):
        new = quoted or dashed
        changed = [_spelled(argument, new, SPELLINGS.get(new, new)) for argument in arguments]
        if changed != arguments:
            return changed
    return None


def _spelled(argument: str, new: str, old: str) -> str:
    name, equals, value = argument.partition("=")
    if argument in (new, f"--{new}"):
        return argument.replace(new, old)
    return f"{old}{equals}{value}" if equals and name == new else argument


def first_that_works(*calls: Callable[[], Any]) -> Any:
    """What the first of some calls gives that does not fail; today's spelling comes first."""
    for call in calls[:-1]:
        try:
            return call()
        except Exception:
            continue
    return calls[-1]()
