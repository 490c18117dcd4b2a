"""`regard look`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.choices import Reading
from regard.cli.shared import ModelFolder

__all__ = ["look"]


def look(
    model: ModelFolder,
    text: Annotated[str, typer.Argument(help="Text for the model to read.")],
    target: Annotated[
        str | None, typer.Option(help="Text for it to write, instead of its own answer.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="Write a picture: .png, .svg, .pdf, .html or .npz.")
    ] = None,
    map_: Annotated[
        str | None, typer.Option("--map", help="Which map: cross, encoder, decoder, pooling, ...")
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Which layer, from 1; -1 is the last.")] = None,
    head: Annotated[int | None, typer.Option(min=1, help="One head instead of their mean.")] = None,
    reading: Annotated[
        Reading | None,
        typer.Option(
            help="Cross-attention of a word: of the step that writes it (output) or reads it (input)."
        ),
    ] = None,
    pieces: Annotated[bool, typer.Option("--pieces", help="Do not merge pieces to words.")] = False,
) -> None:
    """Show what a model attends to, in the terminal or as a picture.

    [bold]Examples[/bold]

    regard look runs/de-en "Ein Mann fährt Rad."

    regard look runs/de-en "Ein Mann fährt Rad." --out map.png

    regard look runs/de-en "Ein Mann fährt Rad." --target "A man walks." --map encoder --layer 2
    """
    import regard
    from regard.api.views import head_index, select_map

    loaded = regard.load(model)
    words = loaded.settings.text.tokenizer == "bpe" and not pieces
    record = select_map(
        loaded.look(text, target, reading=reading),
        name=map_,
        layer=layer,
        words=words,
        alignment=loaded.alignment_at(reading, head=head),
    )
    options = {} if head is None else {"heads": head_index(record, head)}
    if out is None:
        record.show(**options)
    else:
        typer.echo(record.save(out, **options), err=True)
