"""`regard check`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from regard.cli.shared import ModelFolder, OneJson, write_utf8

if TYPE_CHECKING:
    from regard.api.inspection import FileState, FolderState

__all__ = ["check"]


def check(
    model: ModelFolder,
    seal: Annotated[
        bool,
        typer.Option(
            "--seal",
            help="Take the files as they are, changed by hand or not, and write checksums.",
        ),
    ] = False,
    json: OneJson = False,
) -> None:
    """Verify every file of a model's folder, and say what the model is.

    Checksums of files and tensors, names, shapes and types, NaN, settings and labels. Nothing is run or
    unpickled, and without --seal nothing is written. The exit status is 2 if the model cannot be used.

    [bold]Examples[/bold]

    regard check runs/mood

    regard check runs/mood --json

    regard check runs/mood --seal
    """
    from regard.api.inspection import inspect_folder, seal_folder

    if seal:
        seal_folder(model)
    found = inspect_folder(model)
    write_utf8()
    typer.echo(found.to_json() if json else "\n".join(_lines(found)))
    if found.problems:
        raise typer.Exit(2)


def _lines(found: FolderState) -> list[str]:
    lines = [found.folder]
    if found.facts:
        lines += [f"  {_described(found)}", f"  {_written(found)}"]
    width = max(len(file.name) for file in found.files)
    for file in found.files:
        size = "" if file.size is None else f"{file.size:,} bytes"
        lines.append(f"  {file.name.ljust(width)}  {size:>18}  {_STATES[file.state]}{_note(file)}")
    problems = found.problems
    if problems:
        return [*lines, "", "It cannot be used as it is", *(f"  {each}" for each in problems)]
    sealed = all(file.state != "unsealed" for file in found.files)
    end = "" if sealed else "; --seal writes checksums, so that later changes are found"
    return [*lines, "", f"It can be used{end}"]


_STATES = {
    "whole": "as it was written",
    "unsealed": "readable, without a checksum",
    "edited": "edited since, which changes no answer",
    "faulty": "DAMAGED OR CHANGED",
    "other": "not a file of regard: not read",
}


def _note(file: FileState) -> str:
    return f" ({file.note})" if file.note and file.state != "faulty" else ""


def _described(found: FolderState) -> str:
    facts = found.facts
    sizes = [
        "" if facts["labels"] is None else f"{facts['labels']:,} labels",
        ""
        if facts["values"] is None
        else f"{facts['values']:,} values in {facts['tensors']:,} tensors",
    ]
    what = f"a model for {facts['task']}: {facts['kind']}, preset {facts['preset']}"
    return ", ".join(filter(None, [what, *sizes]))


def _written(found: FolderState) -> str:
    facts = found.facts
    return f"written by regard {facts['version']}, format {facts['format']}"
