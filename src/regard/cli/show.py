"""`regard show`."""

from __future__ import annotations

import shutil

import typer

from regard.cli.shared import ModelFolder, OneJson, write_utf8

__all__ = ["show"]


def show(model: ModelFolder, json: OneJson = False) -> None:
    """Show the layers of a model: shapes, parameters, what each reads, and how it attends.

    As Keras prints a model: layers in the order in which they run, sizes that follow from the input by their
    names (batch, length, source, target), shared parameters counted once; then what it can be exported to. Of
    models that regard trained and of folders of save_pretrained.

    [bold]Examples[/bold]

    regard show runs/mood

    regard show runs/de-en --json
    """
    import regard
    from regard.api.export import export_obstacles

    loaded = regard.load(model)
    summary = loaded.summary()
    write_utf8()
    width = shutil.get_terminal_size((120, 24)).columns
    typer.echo(summary.to_json() if json else summary.table(max(80, width)))
    if not json:
        typer.echo("")
        for name, reason in export_obstacles(loaded).items():
            typer.echo(f"regard export --to {name}: {f'no, {reason}' if reason else 'yes'}")
