"""`regard translate`."""

from __future__ import annotations

from typing import Annotated

import typer

from regard.choices import Reading
from regard.cli.options import TextOptions
from regard.cli.shared import (
    Beam,
    DecodingValues,
    JsonLines,
    ModelFolder,
    NBest,
    Prefix,
    TextFiles,
    decoding_values,
    load_for,
)
from regard.cli.tables import OutTable, answer_files, check_out

__all__ = ["translate"]


def translate(
    model: ModelFolder,
    files: TextFiles = None,
    beam: Beam = None,
    n_best: NBest = 1,
    prefix: Prefix = "",
    set_: DecodingValues = None,
    json: JsonLines = False,
    alignment: Annotated[
        bool,
        typer.Option("--alignment", help="Append word links i-j after a tab, as Pharaoh counts."),
    ] = False,
    replace_unknown: Annotated[
        bool | None,
        typer.Option(
            "--replace-unknown/--keep-unknown",
            help="Replace <unk> by the unknown source word attended to; the model's own if left out.",
        ),
    ] = None,
    reading: Annotated[
        Reading | None,
        typer.Option(help="Of links and unknown words: the step that writes a word, or reads it."),
    ] = None,
    layer: Annotated[
        int | None, typer.Option(min=0, help="Of links and unknown words, from 1; 0: their mean.")
    ] = None,
    head: Annotated[
        int | None, typer.Option(min=0, help="Of links and unknown words, from 1; 0: their mean.")
    ] = None,
    out: OutTable = None,
    *,
    options: TextOptions,
) -> None:
    """Translate lines of text: as many lines out as in, or N times as many with --n-best N.

    [bold]Examples[/bold]

    echo "Ein Mann fährt Rad." | regard translate runs/de-en

    regard translate runs/de-en test.de > test.out

    regard translate runs/de-en --beam 10 --n-best 3 --json test.de

    regard translate runs/de-en --prefix "A woman" test.de

    regard translate runs/de-en table.csv --source german --out translated.csv
    """
    from regard.api.tasks.translation import Translator
    from regard.cli.formats import text_columns, translation_lines

    check_out(out, json=json)
    translator = load_for(Translator, model)
    values = decoding_values(beam, n_best, set_)
    if replace_unknown is not None:
        values["replace_unknown"] = replace_unknown
    settings = translator.decoding_settings(values)
    given = {"reading": reading, "layer": layer, "head": head}
    if layer is not None and head is None:
        given["head"] = 0  # the head that was chosen is one of another layer
    chosen = translator.alignment.replace(
        **{name: value or None for name, value in given.items() if value is not None}
    )
    answer_files(
        translator,
        files,
        lambda texts: translator.translate(
            texts,
            settings=settings,
            prefix=[prefix] * len(texts) if prefix else None,
            alignment=chosen,
        ),
        options=options,
        prompt="Type a sentence.",
        line=lambda answer: translation_lines(
            answer, n_best=settings.n_best, json=json, alignment=alignment
        ),
        columns=lambda answer: text_columns("translation", answer, n_best=settings.n_best),
        out=out,
    )
