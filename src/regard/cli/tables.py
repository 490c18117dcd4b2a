"""Files of texts in, lines or a table out: what the verbs that answer texts share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from regard.cli.options import TextOptions
from regard.cli.shared import LINES_PER_BATCH, NoteReport, answer_lines, read_input
from regard.errors import InputError

if TYPE_CHECKING:
    from regard.api.tasks.answers import Answer
    from regard.api.tasks.model import Model
    from regard.data.inputs import Input

__all__ = ["OutTable", "answer_files", "check_out"]

OutTable = Annotated[
    Path | None,
    typer.Option(
        help="Write a table instead: .csv, .tsv, .jsonl or .parquet, the columns of the input kept."
    ),
]

T = TypeVar("T", bound="Answer")


def answer_files(
    model: Model,
    files: list[str] | None,
    answer: Callable[[list[str]], Iterable[T]],
    *,
    options: TextOptions,
    prompt: str,
    line: Callable[[T], str],
    columns: Callable[[T], dict[str, Any]],
    out: Path | None,
) -> None:
    """Answer each text of some files: with a line on standard output, or with new columns of its row.

    Args:
        model: whose training says which column of a table holds the texts.
        files: lines of text or tables; `None` is standard input.
        answer: answers to some texts, in order.
        options: how to read.
        prompt: shown at a terminal where texts are typed.
        line: an answer as a line.
        columns: an answer as values of new columns.
        out: the table to write; `None` writes lines.
    """
    inputs = _inputs(model, files, prompt, options)
    if out is None:
        answer_lines((each.text for each in inputs), answer, line)
        return
    from regard.data.write import free_name, table_writer

    count, notes = 0, NoteReport("row")
    with table_writer(out) as write:
        while batch := list(islice(inputs, LINES_PER_BATCH)):
            answers = answer([each.text for each in batch])
            for each, found in zip(batch, answers, strict=True):
                new = columns(found)
                notes.add(found.note)
                write({**each.row, **{free_name(name, each.row): v for name, v in new.items()}})
            count += len(batch)
    notes.finish()
    typer.echo(f"{count:,} rows in {out}", err=True)


def _inputs(
    model: Model, files: list[str] | None, prompt: str, options: TextOptions
) -> Iterator[Input]:
    """The texts of all files, with their rows."""
    from regard.api.evaluate import texts_for
    from regard.data.inputs import Input, read_inputs

    if not files and sys.stdin.isatty():
        yield from (Input(text, {"text": text}) for text in read_input(None, prompt))
        return
    for file in files or ["-"]:
        columns, read_options = texts_for(
            model, file, source=options.source, options=options.read_options()
        )
        yield from read_inputs(sys.stdin.buffer if file == "-" else file, columns, read_options)


def check_out(out: Path | None, *, json: bool) -> None:
    """Refuse two forms of output at once.

    Raises:
        InputError: a table and JSON lines are both asked for.
    """
    if out is not None and json:
        raise InputError("--out writes a table and --json writes lines; choose one")
