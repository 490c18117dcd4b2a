"""`regard summarize`."""

from __future__ import annotations

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

__all__ = ["summarize"]


def summarize(
    model: ModelFolder,
    files: TextFiles = None,
    set_: DecodingValues = None,
    json: JsonLines = False,
    encoding: Encoding = "utf-8",
) -> None:
    """Summarise lines of text: as many lines out as in.

    [bold]Examples[/bold]

    regard summarize runs/short abstracts.txt

    regard summarize runs/short --set beam=10 --json < abstracts.txt
    """
    from regard.api.tasks.summarization import Summarizer
    from regard.cli.formats import summary_line

    summarizer = load_for(Summarizer, model)  # type: ignore[type-abstract]
    settings = summarizer.decoding_settings(read_settings(None, set_))
    answer_lines(
        read_input(files, "Type a text.", encoding=encoding),
        lambda texts: summarizer.summarize(texts, settings=settings),
        lambda answer: summary_line(answer, json=json),
    )
