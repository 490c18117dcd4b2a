"""What is in data files, and the command that trains on them."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from os import PathLike
from pathlib import Path
from typing import Any

from regard.api.examples import ExampleReader, Tables
from regard.choices import RareLabels, Task
from regard.data import Example, Labelled, Pairs, ReadOptions, Texts, check_labels
from regard.data.datasets import resolve_files
from regard.data.describe import (
    FileFacts,
    PartFacts,
    describe_file,
    describe_part,
    guess_columns,
    guess_encoding,
    joined_by,
    overlaps,
)
from regard.data.headers import USUAL_NAMES
from regard.data.sniff import ending_of
from regard.errors import DataError, InputError

__all__ = ["DataDescription", "describe"]


@dataclass(frozen=True)
class DataDescription:
    """What is in some data files.

    Attributes:
        files: what each is by its content.
        parts: the examples of each part (training, validation, test), the training part first.
        task: what a model can learn from them; `None` if none of the tasks fits.
        command: of the shell, which trains on them; empty if none fits.
        problem: why they cannot be used as they are; empty if they can.
        findings: what to look at before training, as sentences.
    """

    files: tuple[FileFacts, ...]
    parts: tuple[PartFacts, ...]
    task: Task | None
    command: str
    problem: str
    findings: tuple[str, ...]

    def to_json(self) -> str:
        """JSON object for other programs."""
        return json.dumps(asdict(self), ensure_ascii=False, indent=1)


@dataclass(frozen=True)
class _Attempt:
    """One way to read the files."""

    task: Task
    source: str | None = None
    target: str | None = None
    rare: RareLabels = "error"

    def columns(self, label_separator: str | None) -> Tables:
        if self.task == "classification":
            return Labelled(self.source, self.target, separator=label_separator, rare=self.rare)
        if self.task == "language":
            return Texts(self.source)
        return Pairs(self.source, self.target)


def describe(
    files: str | PathLike[str] | Sequence[str | PathLike[str]],
    *,
    task: Task | None = None,
    source: str | None = None,
    target: str | None = None,
    label_separator: str | None = None,
    options: Mapping[str, Any] | None = None,
) -> DataDescription:
    """Describe data files, and find the command that trains on them.

    Files whose names hold `valid`, `val`, `dev` or `test` are those parts; parallel text comes as source and
    target by turns.

    Args:
        files: one or several; they are read several times, so no pipes.
        task: what the model is to be for; `None` takes the first that fits.
        source: column of the texts.
        target: column of the labels or targets.
        label_separator: separator of several labels of one text.
        options: read options by name.

    Raises:
        DataError: a file that cannot be read at all.
        InputError: standard input or a data set of the Hub.
    """
    names = resolve_files(files)
    for name in names:
        if name == "-" or name.startswith("hub:") or (Path(name).exists() and _is_pipe(name)):
            raise InputError(f"{name}: files are read several times here; save it to a file first")
    values = dict(options or {})
    encodings = {name: guess_encoding(name) for name in names}
    strange = {e for e in encodings.values() if e != "utf-8"}
    if "encoding" not in values and len(strange) == 1:
        values["encoding"] = strange.pop()
    read_options = ReadOptions(**values)
    facts = tuple(describe_file(name, read_options) for name in names)
    first = _Attempt(task or "classification", source, target)
    problem = ""
    for attempt in _attempts(facts, first, free=task is None):
        reader = ExampleReader(attempt.task, attempt.columns(label_separator), read_options)
        groups = _parts(facts, parallel=_is_parallel(facts, attempt.task))
        try:
            read = [reader.read(group) for group in groups.values()]
            if attempt.task == "classification":
                check_labels(read[0], rare=attempt.rare)
        except (DataError, InputError) as error:
            problem = problem or str(error)
            continue
        parts = _part_facts(read, list(groups.values()))
        best = _summarises(attempt, parts[0], free=task is None)
        command = _command(best, groups, values, label_separator)
        findings = _file_findings(facts) + _findings(parts, best)
        return DataDescription(facts, parts, best.task, command, "", findings)
    return DataDescription(facts, (), None, "", problem, _file_findings(facts))


def _is_pipe(name: str) -> bool:
    return not (Path(name).is_file() or Path(name).is_dir())


def _attempts(facts: Sequence[FileFacts], first: _Attempt, *, free: bool) -> Iterator[_Attempt]:
    """Ways to read the files, the likeliest first."""
    kinds = {file.content for file in facts}
    tasks: list[Task] = [first.task]
    if free:
        tasks = ["translation", "language"] if kinds == {"lines"} else ["classification"]
        if kinds.isdisjoint({"lines", "fasttext", "folder"}):
            tasks = ["classification", "translation", "language"]
    guess = guess_columns(facts[0].columns)
    usual = {name for names in USUAL_NAMES.values() for name in names}
    named = any(column.name.lower() in usual for column in facts[0].columns)
    rares: list[RareLabels] = ["error", "skip"]
    for task in tasks:
        plain = replace(first, task=task)
        ways = [plain]
        if first.source is None and first.target is None and guess:
            guessed = replace(plain, source=guess["source"], target=guess.get("target"))
            ways = [guessed, plain] if facts[0].header and not named else [plain, guessed]
        for rare in rares if task == "classification" else rares[:1]:
            yield from (replace(way, rare=rare) for way in ways)


def _is_parallel(facts: Sequence[FileFacts], task: Task) -> bool:
    return task == "translation" and all(file.content == "lines" for file in facts)


def _parts(facts: Sequence[FileFacts], *, parallel: bool) -> dict[str, list[str]]:
    """Names of files by part, the training part first."""
    names = [file.path for file in facts]
    step = 2 if parallel else 1
    groups: dict[str, list[str]] = {"train": [], "valid": [], "test": []}
    for start in range(0, len(names), step):
        stem = Path(names[start]).name.lower()
        match = re.search(r"(?<![a-z])(valid|validation|val|dev|test)(?![a-z])", stem)
        part = "train" if match is None else "test" if match[1] == "test" else "valid"
        groups[part] += names[start : start + step]
    if not groups["train"]:  # what is there is what is learned from
        first = next(part for part in groups.values() if part)
        groups = {
            "train": list(first),
            **{n: [] if g is first else g for n, g in groups.items() if n != "train"},
        }
    return {name: group for name, group in groups.items() if group}


def _part_facts(
    read: Sequence[Sequence[Example]], groups: Sequence[Sequence[str]]
) -> tuple[PartFacts, ...]:
    parts = [describe_part(part, files) for part, files in zip(read, groups, strict=True)]
    shared = overlaps(read) if len(read) > 1 else [[0]]
    return tuple(
        replace(
            part,
            overlap={
                ", ".join(parts[other].files): count
                for other, count in enumerate(shared[index])
                if other < index and count
            },
        )
        for index, part in enumerate(parts)
    )


def _summarises(attempt: _Attempt, part: PartFacts, *, free: bool) -> _Attempt:
    """Pairs whose targets are much shorter than their long sources are summaries."""
    targets = part.target_characters
    if not free or attempt.task != "translation" or targets is None:
        return attempt
    short = part.characters[1] > 300 and targets[1] < part.characters[1] / 2
    return replace(attempt, task="summarization") if short else attempt


def _command(
    attempt: _Attempt,
    groups: Mapping[str, Sequence[str]],
    options: Mapping[str, Any],
    label_separator: str | None,
) -> str:
    """Command of the shell that trains on the files."""
    words = ["regard", "train", attempt.task, "--train", *groups["train"]]
    if "valid" in groups:
        words += ["--valid", *groups["valid"]]
    first = groups["train"][0]
    stem = Path(first).name.removesuffix(ending_of(first)).partition(".")[0] or "model"
    out = Path("runs") / stem
    number = 2
    while out.exists():
        out, number = Path("runs") / f"{stem}-{number}", number + 1
    words += ["--out", str(out)]
    given = {"source": attempt.source, "target": attempt.target, "label_separator": label_separator}
    if attempt.rare != "error":
        given["rare_labels"] = attempt.rare
    for name, value in {**given, **options}.items():
        if value is not None:
            shown = "tab" if value == "\t" else str(value)
            words += [f"--{name.replace('_', '-')}", shown]
    return shlex.join(words)


def _file_findings(facts: Sequence[FileFacts]) -> tuple[str, ...]:
    found = [f"{file.path}: {file.note}" for file in facts if file.note]
    found += [
        f"{file.path}: {file.encoding}, not UTF-8"
        for file in facts
        if file.encoding not in ("", "utf-8")
    ]
    return tuple(found)


def _findings(parts: Sequence[PartFacts], attempt: _Attempt) -> tuple[str, ...]:
    """What to look at before training."""
    found: list[str] = []
    rare = [label for label, count in parts[0].labels.items() if count == 1]
    if attempt.rare == "skip":
        found.append("labels that are seen only once are left out, or mended in the file first")
    elif rare and attempt.task == "classification":
        found.append(f"labels that are seen only once: {', '.join(rare[:10])}")
    if (sign := joined_by(parts[0].labels)) is not None:
        found.append(
            f"labels are joined by {sign!r}: if each is several, say --label-separator {sign!r}"
        )
    for part in parts:
        files = ", ".join(part.files[:4])
        found += [f"{files}: {a!r} and {b!r} may be one label" for a, b in part.near_twins[:10]]
        if part.contradictions:
            found.append(f"{files}: {part.contradictions:,} texts come with different answers")
        for other, count in part.overlap.items():
            found.append(f"{files}: {count:,} of {part.examples:,} texts are in {other}, too")
        unknown = [label for label in part.labels if label not in parts[0].labels]
        if unknown:
            found.append(f"{files}: labels that training never sees: {', '.join(unknown[:10])}")
    return tuple(found)
