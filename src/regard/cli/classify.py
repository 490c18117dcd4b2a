"""`regard classify`."""

from __future__ import annotations

from typing import Annotated

import typer

from regard.cli.shared import (
    Encoding,
    JsonLines,
    ModelFolder,
    TextFiles,
    answer_lines,
    load_for,
    read_input,
)

__all__ = ["classify"]


def classify(
    model: ModelFolder,
    files: TextFiles = None,
    probability: Annotated[
        bool, typer.Option("--probability", help="Append the probability after a tab.")
    ] = False,
    json: JsonLines = False,
    encoding: Encoding = "utf-8",
) -> None:
    """Label lines of text: as many lines out as in.

    [bold]Examples[/bold]

    echo "Worth every cent." | regard classify runs/mood

    regard classify runs/mood reviews.txt --json
    """
    from regard.api.tasks.classification import Classifier
    from regard.cli.formats import classification_line

    classifier = load_for(Classifier, model)
    answer_lines(
        read_input(files, "Type a text.", encoding=encoding),
        classifier.classify,
        lambda answer: classification_line(answer, json=json, probability=probability),
    )
