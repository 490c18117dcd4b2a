"""`regard translate`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regard.choices import Reading
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

if TYPE_CHECKING:
    from regard.api.tasks.answers import Translation
    from regard.api.tasks.translation import Translator
    from regard.decoding import DecodingSettings
    from regard.models import AlignmentSettings

__all__ = ["translate"]


@dataclass(frozen=True)
class _Translate:
    """How texts are translated."""

    settings: DecodingSettings
    prefix: str
    read_at: AlignmentSettings
    json: bool
    links: bool

    def answer(self, model: Translator, texts: list[str]) -> list[Translation]:
        prefixes = [self.prefix] * len(texts) if self.prefix else None
        return model.translate(
            texts, settings=self.settings, prefix=prefixes, alignment=self.read_at
        )

    def line(self, answer: Translation) -> str:
        from regard.cli.formats import translation_lines

        return translation_lines(
            answer, n_best=self.settings.n_best, json=self.json, alignment=self.links
        )

    def columns(self, model: Translator, answer: Translation) -> dict[str, Any]:
        from regard.cli.formats import text_columns

        return text_columns("translation", answer, n_best=self.settings.n_best)


def translate(
    model: ModelFolder,
    files: TextFiles = None,
    beam: Beam = None,
    n_best: NBest = 1,
    prefix: Prefix = "",
    set_: DecodingValues = None,
    json: JsonLines = False,
    precision: PrecisionName = "float32",
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
    engine: EngineChoice = None,
    state: StateFile = None,
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

    regard translate runs/de-en test.de --engine ray --state de-en.state > test.out
    """
    from regard.api.tasks.translation import Translator

    check_out(out, json=json)
    translator = load_for(Translator, model, precision)
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
        _Translate(settings, prefix, chosen, json, alignment),
        options=options,
        prompt="Type a sentence.",
        out=out,
        engine=engine,
        state=state,
    )
