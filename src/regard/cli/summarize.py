"""`regard summarize`."""

from __future__ import annotations

from typing import TYPE_CHECKING

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
from regard.errors import InputError

if TYPE_CHECKING:
    from regard.api.tasks.answers import Summary

__all__ = ["summarize"]


def summarize(
    model: ModelFolder,
    files: TextFiles = None,
    beam: Beam = None,
    n_best: NBest = 1,
    prefix: Prefix = "",
    set_: DecodingValues = None,
    json: JsonLines = False,
    out: OutTable = None,
    *,
    options: TextOptions,
) -> None:
    """Summarise lines of text: as many lines out as in, or N times as many with --n-best N.

    [bold]Examples[/bold]

    regard summarize runs/short abstracts.txt

    regard summarize runs/short --beam 10 --json < abstracts.txt
    """
    from regard.api.tasks.summarization import AbstractiveSummarizer, Summarizer
    from regard.cli.formats import summary_lines, text_columns

    check_out(out, json=json)
    summarizer = load_for(Summarizer, model)  # type: ignore[type-abstract]
    settings = summarizer.decoding_settings(decoding_values(beam, n_best, set_))
    if isinstance(summarizer, AbstractiveSummarizer):
        steered = summarizer

        def answer(texts: list[str]) -> list[Summary]:
            prefixes = [prefix] * len(texts) if prefix else None
            return steered.summarize(texts, settings=settings, prefix=prefixes)
    else:
        if prefix or settings.n_best > 1:
            raise InputError(
                f"{model} picks sentences and writes none: there is no --prefix and no --n-best; leave "
                "them out, or train with --model pointer"
            )

        def answer(texts: list[str]) -> list[Summary]:
            return summarizer.summarize(texts, settings=settings)

    answer_files(
        summarizer,
        files,
        answer,
        options=options,
        prompt="Type a text.",
        line=lambda summary: summary_lines(summary, n_best=settings.n_best, json=json),
        columns=lambda summary: text_columns("summary", summary, n_best=settings.n_best),
        out=out,
    )
