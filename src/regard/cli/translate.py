"""`regard translate`."""

from __future__ import annotations

from typing import Annotated

import typer

from regard.cli.shared import (
    DecodingValues,
    Encoding,
    JsonLines,
    ModelFolder,
    TextFiles,
    answer_lines,
    load_for,
    read_input,
    read_settings,
)

__all__ = ["translate"]


def translate(
    model: ModelFolder,
    files: TextFiles = None,
    beam: Annotated[int | None, typer.Option(help="Width of the beam; 1 is greedy.")] = None,
    n_best: Annotated[int, typer.Option(help="Translations per line, all of them in --json.")] = 1,
    set_: DecodingValues = None,
    json: JsonLines = False,
    alignment: Annotated[
        bool, typer.Option("--alignment", help="Append word alignments i-j after a tab.")
    ] = False,
    encoding: Encoding = "utf-8",
) -> None:
    """Translate lines of text: as many lines out as in.

    [bold]Examples[/bold]

    echo "Ein Mann fährt Rad." | regard translate runs/de-en

    regard translate runs/de-en test.de > test.out

    regard translate runs/de-en --beam 10 --n-best 3 --json test.de
    """
    from regard.api.tasks.translation import Translator
    from regard.cli.formats import translation_line

    translator = load_for(Translator, model)
    values = {"n_best": n_best, **read_settings(None, set_)}
    if beam is not None:
        values |= {"beam": beam, "method": "beam" if beam > 1 else "greedy"}
    settings = translator.decoding_settings(values)
    answer_lines(
        read_input(files, "Type a sentence.", encoding=encoding),
        lambda texts: translator.translate(texts, settings=settings),
        lambda answer: translation_line(answer, json=json, alignment=alignment),
    )
