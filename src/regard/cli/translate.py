"""`regard translate`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.shared import Encoding, answer_lines, lines_of, settings_of

__all__ = ["translate"]


def translate(
    model: Annotated[Path, typer.Argument(help="Folder of the model.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Text files, a sentence per line; - for input.")
    ] = None,
    beam: Annotated[int | None, typer.Option(help="Width of the beam; 1 is greedy.")] = None,
    n_best: Annotated[int, typer.Option(help="Translations per line, all of them in --json.")] = 1,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="One decoding setting; may be repeated."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
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
    from regard.cli.formats import load_for, translation_line

    translator = load_for(Translator, model)
    values = {"n_best": n_best, **settings_of(None, set_ or [])}
    if beam is not None:
        values |= {"beam": beam, "method": "beam" if beam > 1 else "greedy"}
    settings = translator.decoding_settings(values)
    answer_lines(
        lines_of(files or [], "Type a sentence.", encoding=encoding),
        lambda texts: translator.translate(texts, settings=settings),
        lambda answer: translation_line(answer, json=json, alignment=alignment),
    )
