"""`regard summarize`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.shared import Encoding, answer_lines, lines_of, settings_of

__all__ = ["summarize"]


def summarize(
    model: Annotated[Path, typer.Argument(help="Folder of the model.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Text files, a text per line; - for input.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="One decoding setting; may be repeated."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    encoding: Encoding = "utf-8",
) -> None:
    """Summarise lines of text: as many lines out as in.

    [bold]Examples[/bold]

    regard summarize runs/short abstracts.txt

    regard summarize runs/short --set beam=10 --json < abstracts.txt
    """
    from regard.api.tasks.summarization import Summarizer
    from regard.cli.formats import load_for, summary_line

    summarizer = load_for(Summarizer, model)  # type: ignore[type-abstract]
    settings = summarizer.decoding_settings(settings_of(None, set_ or []))
    answer_lines(
        lines_of(files or [], "Type a text.", encoding=encoding),
        lambda texts: summarizer.summarize(texts, settings=settings),
        lambda answer: summary_line(answer, json=json),
    )
