"""`regard translate`."""

from __future__ import annotations

from typing import Annotated

import typer

from regard.cli.shared import (
    Beam,
    DecodingValues,
    Encoding,
    JsonLines,
    ModelFolder,
    NBest,
    Prefix,
    TextFiles,
    answer_lines,
    decoding_values,
    load_for,
    read_input,
)

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
        bool, typer.Option("--alignment", help="Append word alignments i-j after a tab.")
    ] = False,
    encoding: Encoding = "utf-8",
) -> None:
    """Translate lines of text: as many lines out as in, or N times as many with --n-best N.

    [bold]Examples[/bold]

    echo "Ein Mann fährt Rad." | regard translate runs/de-en

    regard translate runs/de-en test.de > test.out

    regard translate runs/de-en --beam 10 --n-best 3 --json test.de

    regard translate runs/de-en --prefix "A woman" test.de
    """
    from regard.api.tasks.translation import Translator
    from regard.cli.formats import translation_lines

    translator = load_for(Translator, model)
    settings = translator.decoding_settings(decoding_values(beam, n_best, set_))
    answer_lines(
        read_input(files, "Type a sentence.", encoding=encoding),
        lambda texts: translator.translate(
            texts, settings=settings, prefix=[prefix] * len(texts) if prefix else None
        ),
        lambda answer: translation_lines(
            answer, n_best=settings.n_best, json=json, alignment=alignment
        ),
    )
