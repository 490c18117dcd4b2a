"""`regard classify`."""

from __future__ import annotations

from typing import Annotated

import typer

from regard.cli.options import TextOptions
from regard.cli.shared import JsonLines, ModelFolder, TextFiles, load_for
from regard.cli.tables import OutTable, answer_files, check_out

__all__ = ["classify"]


def classify(
    model: ModelFolder,
    files: TextFiles = None,
    probability: Annotated[
        bool, typer.Option("--probability", help="Append the probability after a tab.")
    ] = False,
    json: JsonLines = False,
    out: OutTable = None,
    *,
    options: TextOptions,
) -> None:
    """Label lines of text, or the rows of a table: as many lines out as texts in.

    [bold]Examples[/bold]

    echo "Worth every cent." | regard classify runs/mood

    regard classify runs/mood reviews.txt --json

    regard classify runs/mood reviews.csv --source review --out predictions.csv
    """
    from regard.api.tasks.classification import Classifier
    from regard.cli.formats import classification_columns, classification_line

    check_out(out, json=json)
    classifier = load_for(Classifier, model)
    answer_files(
        classifier,
        files,
        classifier.classify,
        options=options,
        prompt="Type a text.",
        line=lambda answer: classification_line(answer, json=json, probability=probability),
        columns=lambda answer: classification_columns(answer, several=classifier.multilabel),
        out=out,
    )
