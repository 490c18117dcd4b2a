"""`regard summarize`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regard.cli.engines import EngineChoice, StateFile
from regard.cli.options import TextOptions
from regard.cli.shared import (
    Beam,
    DecodingValues,
    JsonLines,
    ModelFolder,
    NBest,
    PrecisionName,
    Prefix,
    TextFiles,
    decoding_values,
    load_for,
)
from regard.cli.tables import OutTable, answer_files, check_out
from regard.errors import InputError

if TYPE_CHECKING:
    from regard.api.tasks.answers import Summary
    from regard.api.tasks.summarization import Summarizer
    from regard.decoding import DecodingSettings

__all__ = ["summarize"]


@dataclass(frozen=True)
class _Summarize:
    """How texts are summarised."""

    settings: DecodingSettings
    prefix: str
    json: bool

    def answer(self, model: Summarizer, texts: list[str]) -> list[Summary]:
        from regard.api.tasks.summarization import AbstractiveSummarizer

        if not isinstance(model, AbstractiveSummarizer):
            return model.summarize(texts, settings=self.settings)
        prefixes = [self.prefix] * len(texts) if self.prefix else None
        return model.summarize(texts, settings=self.settings, prefix=prefixes)

    def line(self, answer: Summary) -> str:
        from regard.cli.formats import summary_lines

        return summary_lines(answer, n_best=self.settings.n_best, json=self.json)

    def columns(self, model: Summarizer, answer: Summary) -> dict[str, Any]:
        from regard.cli.formats import text_columns

        return text_columns("summary", answer, n_best=self.settings.n_best)


def summarize(
    model: ModelFolder,
    files: TextFiles = None,
    beam: Beam = None,
    n_best: NBest = 1,
    prefix: Prefix = "",
    set_: DecodingValues = None,
    json: JsonLines = False,
    precision: PrecisionName = "float32",
    out: OutTable = None,
    engine: EngineChoice = None,
    state: StateFile = None,
    *,
    options: TextOptions,
) -> None:
    """Summarise lines of text: as many lines out as in, or N times as many with --n-best N.

    [bold]Examples[/bold]

    regard summarize runs/short abstracts.txt

    regard summarize runs/short --beam 10 --json < abstracts.txt
    """
    from regard.api.tasks.summarization import AbstractiveSummarizer, Summarizer

    check_out(out, json=json)
    summarizer = load_for(Summarizer, model, precision)  # type: ignore[type-abstract]
    settings = summarizer.decoding_settings(decoding_values(beam, n_best, set_))
    if not isinstance(summarizer, AbstractiveSummarizer) and (prefix or settings.n_best > 1):
        raise InputError(
            f"{model} picks sentences and writes none: there is no --prefix and no --n-best; leave "
            "them out, or train with --model pointer"
        )
    answer_files(
        summarizer,
        files,
        _Summarize(settings, prefix, json),
        options=options,
        prompt="Type a text.",
        out=out,
        engine=engine,
        state=state,
    )
