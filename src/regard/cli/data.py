"""`regard data`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from regard.choices import Task
from regard.cli.options import DataOptions
from regard.cli.shared import OneJson, write_utf8

if TYPE_CHECKING:
    from regard.api.describe import DataDescription
    from regard.data.describe import FileFacts, PartFacts

__all__ = ["data"]


def data(
    files: Annotated[
        list[str],
        typer.Argument(
            metavar="FILE...",
            help="Files or folders; names with valid or test are those parts. Parallel text: by turns.",
        ),
    ],
    task: Annotated[
        Task | None, typer.Option(help="What the model is to be for [dim](default: a guess)[/dim].")
    ] = None,
    json: OneJson = False,
    *,
    reading: DataOptions,
) -> None:
    """Show what is in data files, and the command that trains on them.

    Format, encoding, columns, labels, lengths, repetitions, and lines that would be left out. Nothing is
    trained.

    [bold]Examples[/bold]

    regard data reviews.csv

    regard data train.tsv test.tsv --json

    regard data train.de train.en
    """
    from regard.api.describe import describe

    arguments = reading.reader_arguments()
    found = describe(files, task=task, **arguments)
    write_utf8()
    typer.echo(found.to_json() if json else "\n".join(_lines(found)))
    if found.problem:
        raise typer.Exit(2)


def _lines(found: DataDescription) -> list[str]:
    lines: list[str] = []
    for file in found.files:
        lines += [file.path, *_rows(_file(file)), ""]
    for part in found.parts:
        lines += [f"Examples of {', '.join(part.files[:4])}", *_rows(_part(part)), ""]
    if found.findings:
        lines += ["Look at", *(f"  {finding}" for finding in found.findings), ""]
    if found.problem:
        return [*lines, "As they are, they cannot be used", f"  {found.problem}"]
    return [*lines, "Train with", f"  {found.command}"]


def _rows(facts: dict[str, str]) -> list[str]:
    return [f"  {name.ljust(12)}{value}" for name, value in facts.items() if value]


def _file(file: FileFacts) -> dict[str, str]:
    """Facts about a file, by heading."""
    size = "" if file.size is None else f"{file.size:,} bytes"
    separated = f"separated by {file.separator!r}" if file.separator else ""
    what = [_NAMES.get(file.content, file.content), separated, file.packing, file.encoding, size]
    header = {True: "line 1 looks like one", False: "none"}.get(bool(file.header))
    columns = [
        f"{column.name}: " + " · ".join(_short(example) for example in column.examples)
        for column in file.columns[:20]
    ]
    return {
        "is": ", ".join(filter(None, what)),
        "header": "" if file.header is None else str(header),
        "columns": "\n              ".join(columns),
    }


_NAMES = {
    "csv": "CSV (cells may be in quotes)",
    "tsv": "columns of plain text",
    "jsonl": "JSON lines",
    "json": "one JSON document",
    "parquet": "Parquet",
    "arrow": "Arrow",
    "fasttext": "fastText lines",
    "folder": "a folder for each label",
    "lines": "lines of text",
}


def _part(part: PartFacts) -> dict[str, str]:
    """Facts about the examples of a part, by heading."""
    labels = [f"{label} {count:,}" for label, count in part.labels.items()]
    more = f", and {len(labels) - 20:,} more" if len(labels) > 20 else ""
    skipped = [f"{n:,} x {reason} (first {at})" for reason, (n, at) in part.skipped.items()]
    targets = part.target_characters
    return {
        "examples": f"{part.examples:,} of {part.lines:,} lines",
        "left out": "; ".join(skipped),
        "labels": ", ".join(labels[:20]) + more,
        "characters": _spread(part.characters),
        "of targets": "" if targets is None else _spread(targets),
        "repeated": f"{part.duplicates:,} texts" if part.duplicates else "",
    }


def _spread(spread: tuple[int, int, int, int]) -> str:
    least, median, most, largest = spread
    return f"{least:,} to {largest:,}, median {median:,}, 95 % up to {most:,}"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= 40 else line[:37] + "..."
