"""`regard plot`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.shared import write_utf8

__all__ = ["plot"]


def plot(
    models: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Folders of runs.")],
    out: Annotated[
        Path | None, typer.Option(help="Write a figure instead: .png, .svg or .pdf.")
    ] = None,
) -> None:
    """Plot the history of a run, or of several over each other: loss and metrics, the best marked.

    Of runs of `regard train` and `regard.fit`, finished or not. In the terminal, or in a figure with --out.

    [bold]Examples[/bold]

    regard plot runs/de-en

    regard plot runs/small runs/base --out compared.png
    """
    from regard.api.histories import read_histories

    histories = {name: each.records for name, each in read_histories(models).items()}
    if out is not None:
        from regard.viewing.figure import plot_runs, write

        typer.echo(f"{write(plot_runs(histories), out)}", err=True)
        return
    from regard.viewing.terminal_history import history_lines

    write_utf8()
    typer.echo("\n".join(history_lines(histories)))
