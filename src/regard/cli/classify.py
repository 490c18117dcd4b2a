"""`regard classify`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regard.cli.engines import EngineChoice, StateFile
from regard.cli.options import TextOptions
from regard.cli.shared import JsonLines, ModelFolder, PrecisionName, TextFiles, load_for
from regard.cli.tables import OutTable, answer_files, check_out

if TYPE_CHECKING:
    from regard.api.tasks.answers import Classification
    from regard.api.tasks.classification import Classifier

__all__ = ["classify"]


@dataclass(frozen=True)
class _Classify:
    """How texts are classified."""

    json: bool
    probability: bool

    def answer(self, model: Classifier, texts: list[str]) -> list[Classification]:
        return model.classify(texts)

    def line(self, answer: Classification) -> str:
        from regard.cli.formats import classification_line

        return classification_line(answer, json=self.json, probability=self.probability)

    def columns(self, model: Classifier, answer: Classification) -> dict[str, Any]:
        from regard.cli.formats import classification_columns

        return classification_columns(answer, several=model.multilabel)


def classify(
    model: ModelFolder,
    files: TextFiles = None,
    probability: Annotated[
        bool, typer.Option("--probability", help="Append the probability after a tab.")
    ] = False,
    json: JsonLines = False,
    precision: PrecisionName = "float32",
    out: OutTable = None,
    engine: EngineChoice = None,
    state: StateFile = None,
    *,
    options: TextOptions,
) -> None:
    """Label lines of text, or the rows of a table: as many lines out as texts in.

    [bold]Examples[/bold]

    echo "Worth every cent." | regard classify runs/mood

    regard classify runs/mood reviews.txt --json

    regard classify runs/mood reviews.csv --source review --out predictions.csv

    regard classify runs/mood reviews.parquet --engine ray --state mood.state --out predictions.parquet
    """
    from regard.api.tasks.classification import Classifier

    check_out(out, json=json)
    answer_files(
        load_for(Classifier, model, precision),
        files,
        _Classify(json, probability),
        options=options,
        prompt="Type a text.",
        out=out,
        engine=engine,
        state=state,
    )
