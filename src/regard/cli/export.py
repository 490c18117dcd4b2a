"""`regard export`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.choices import ExportFormat
from regard.cli.options import TextOptions
from regard.cli.shared import ModelFolder, corpus_files, write_utf8

__all__ = ["export"]


def export(
    model: ModelFolder,
    to: Annotated[ExportFormat, typer.Option(help="Runtime that is to run the model.")],
    out: Annotated[
        Path | None,
        typer.Option(help="Folder for the export [dim](default: MODEL-FORMAT)[/dim]."),
    ] = None,
    texts: Annotated[
        list[str] | None,
        typer.Option(
            "--texts",
            metavar="FILE",
            help="Texts to compare answers on, best of the validation part; else random words.",
        ),
    ] = None,
    attention: Annotated[
        bool, typer.Option("--attention", help="Attention maps as outputs, too (onnx, torch).")
    ] = False,
    *,
    reading: TextOptions,
) -> None:
    """Write a model for another runtime, if its answers there are the same.

    The folder holds all that a program without regard needs: the model, tokenizers, names of labels, a README
    with a program of ten lines, and the hash of every file. The answers of both models are compared first; a
    model that differs is not written.

    [bold]Examples[/bold]

    regard export runs/de-en --to onnx --attention

    regard export runs/de-en --to ctranslate2 --texts valid.de

    regard export runs/de-en --to ctranslate2 --out served/de-en --texts valid.csv --source german
    """
    import regard

    loaded = regard.load(model)
    place = model.with_name(f"{model.name}-{to}") if out is None else out
    files = corpus_files(loaded, texts, reading) if texts else None
    write_utf8()
    typer.echo(str(regard.export(loaded, place, to=to, texts=files, attention=attention)))
