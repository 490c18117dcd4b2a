"""`regard evaluate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.shared import settings_of, write_utf8

__all__ = ["evaluate"]


def evaluate(
    model: Annotated[Path, typer.Argument(help="Folder of the model.")],
    test: Annotated[
        list[Path],
        typer.Option(help="Files it has never seen. Translation: source and target by turns."),
    ],
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="One decoding setting; may be repeated."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
) -> None:
    """Score a model beside an honest simple baseline, with bootstrap intervals.

    [bold]Examples[/bold]

    regard evaluate runs/de-en --test test.de test.en

    regard evaluate runs/mood --test test.tsv --json
    """
    import regard
    from regard.api.evaluate import evaluate as run

    loaded = regard.load(model)
    settings = loaded.decoding_settings(settings_of(None, set_)) if set_ else None
    found = run(loaded, [*test], settings=settings)
    write_utf8()
    typer.echo(found.to_json() if json else str(found))
