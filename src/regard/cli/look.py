"""`regard look`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal, TypeAlias

import typer

from regard.choices import Reading
from regard.cli.shared import ModelFolder
from regard.cli.streams import as_text

if TYPE_CHECKING:
    from regard.viewing import AttentionRecord
    from regard.viewing.media import ImageRecord, SoundRecord

__all__ = ["look"]

View: TypeAlias = Literal["attributions", "map", "heads", "layers", "alignment", "highlight"]
Scale: TypeAlias = Literal["linear", "log", "row"]
PICTURES = (".png", ".svg", ".pdf")
SINGLE_MAP = ("map", "heads", "alignment", "highlight")
"""Views of one map: of a record of several, they are of the one that is shown first."""


def look(
    model: ModelFolder,
    text: Annotated[
        str | None, typer.Argument(callback=as_text, help="Text for the model to read.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(callback=as_text, help="Text for it to write, instead of its own answer."),
    ] = None,
    pair: Annotated[
        str | None,
        typer.Option(
            callback=as_text,
            help="Second text, for models that read two, such as a premise and a hypothesis.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write a picture (.png, .svg, .pdf), or every layer and head (.html, .npz)."
        ),
    ] = None,
    view: Annotated[
        View | None,
        typer.Option(help="What the picture is; by default what fits the text and the model."),
    ] = None,
    scale: Annotated[
        Scale,
        typer.Option(
            help="Shades relative to the largest weight (linear, log), or to that of each row."
        ),
    ] = "linear",
    map_: Annotated[
        str | None,
        typer.Option("--map", help="Just this map: cross, encoder, decoder, pooling, ..."),
    ] = None,
    layer: Annotated[int | None, typer.Option(help="Which layer, from 1; -1 is the last.")] = None,
    head: Annotated[
        int | None,
        typer.Option(min=1, help="One head, or member of an ensemble, instead of their mean."),
    ] = None,
    reading: Annotated[
        Reading | None,
        typer.Option(
            help="Cross-attention of a word: of the step that writes it (output) or reads it (input)."
        ),
    ] = None,
    silence: Annotated[
        list[str] | None,
        typer.Option(
            metavar="LAYER.HEAD",
            help="Silence a head of a pretrained model (2.1; cross.1.4); may be repeated.",
        ),
    ] = None,
    hide: Annotated[
        list[str] | None,
        typer.Option(
            metavar="WORD",
            help="Let a pretrained model attend to no piece of this word; may be repeated.",
        ),
    ] = None,
    image: Annotated[
        Path | None,
        typer.Option(help="An image, in place of the text, for a vision or captioning model."),
    ] = None,
    audio: Annotated[
        Path | None, typer.Option(help="A WAV file, in place of the text, for a speech model.")
    ] = None,
    pieces: Annotated[bool, typer.Option("--pieces", help="Do not merge pieces to words.")] = False,
) -> None:
    """Show what a model attends to, in the terminal or as a picture.

    [bold]Examples[/bold]

    regard look runs/de-en "Ein Mann fährt Rad."

    regard look runs/de-en "Ein Mann fährt Rad." --out map.svg --view alignment

    regard look runs/sentiment "I did not like it." --out all.html

    regard look runs/de-en "Ein Mann fährt Rad." --target "A man walks." --map encoder --layer 2

    regard look ./bert-folder "The bank raised its rates." --silence 2.1 --hide rates

    regard look ./nli-folder "It rains." --pair "The street is wet."

    regard look ./vit-folder --image photo.jpg --layer -1 --out attention.png

    regard look ./whisper-folder --audio speech.wav --out speech.html
    """
    import regard
    from regard.api.knockouts import look_without
    from regard.api.pairs import paired
    from regard.api.views import in_words, select_map
    from regard.errors import SettingsError

    if image is not None or audio is not None:
        given: dict[str, Any] = {"text": text, "--target": target, "--pair": pair, "--view": view}
        given |= {"--map": map_, "--reading": reading, "--silence": silence, "--hide": hide}
        given |= {"--pieces": pieces, "--audio": audio if image is not None else None}
        if other := next((name for name, value in given.items() if value), None):
            raise SettingsError(f"{other} does not go with an image or a sound; leave it out")
        _look_at_file(model, image, audio, out, layer, head)
        return
    if text is None:
        raise SettingsError("nothing to look at; give a text, --image FILE or --audio FILE")
    picture = out is not None and out.suffix.lower() in PICTURES
    if view is not None and not picture:
        raise SettingsError(
            f"--view {view} is of pictures; add --out x{PICTURES[0]}, or leave it out: the terminal shows "
            "what fits, and .html has every view"
        )
    loaded = regard.load(model)
    words = loaded.settings.text.tokenizer == "bpe" and not pieces
    record = look_without(
        loaded,
        paired(loaded, text, pair),
        target,
        reading=reading,
        silence=silence or (),
        hide=hide or (),
    )
    named = map_ is not None or layer is not None
    explained = record.explanation is not None and head is None
    whole = view == "layers" or (explained and view in (None, "attributions"))
    if named or not (whole or (out is not None and not picture)):
        alignment = None if view == "heads" else loaded.alignment_at(reading, head=head)
        single = view in SINGLE_MAP
        record = select_map(
            record, name=map_, layer=layer, words=words, single=single, alignment=alignment
        )
    elif words:
        record = in_words(record)
    _show_or_save(record, out, view, scale, head)


def _show_or_save(
    record: AttentionRecord, out: Path | None, view: View | None, scale: Scale, head: int | None
) -> None:
    """Show a record in the terminal, or write it and print the path."""
    from regard.api.views import head_index

    options: dict[str, Any] = {} if head is None else {"heads": head_index(record, head)}
    if scale != "linear":
        options["scale"] = scale
    if out is None:
        record.show(**options)
    else:
        typer.echo(
            record.save(out, **options, **({} if view is None else {"view": view})), err=True
        )


def _look_at_file(
    model: Path,
    image: Path | None,
    audio: Path | None,
    out: Path | None,
    layer: int | None,
    head: int | None,
) -> None:
    """Show what a vision or speech model attends to."""
    import regard
    from regard.viewing.media import check_picture_path

    if out is not None:
        check_picture_path(out)
    seen: ImageRecord | SoundRecord
    if image is not None:
        seen = regard.look_at_image(model, image)
    else:
        assert audio is not None
        seen = regard.look_at_sound(model, audio)
    if out is None:
        typer.echo("\n".join([seen.title, *seen.lines(layer, head), *seen.notes]))
    else:
        typer.echo(seen.save(out, layer=layer, head=head), err=True)
