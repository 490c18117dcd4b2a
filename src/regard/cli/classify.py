"""`regard classify`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.shared import Encoding, answer_lines, lines_of

__all__ = ["classify"]


def classify(
    model: Annotated[Path, typer.Argument(help="Folder of the model.")],
    files: Annotated[
        list[Path] | None, typer.Argument(help="Text files, a text per line; - for input.")
    ] = None,
    probability: Annotated[
        bool, typer.Option("--probability", help="Append the probability after a tab.")
    ] = False,
    json: Annotated[bool, typer.Option("--json", help="One JSON object per line.")] = False,
    encoding: Encoding = "utf-8",
) -> None:
    """Label lines of text: as many lines out as in.

    [bold]Examples[/bold]

    echo "Worth every cent." | regard classify runs/mood

    regard classify runs/mood reviews.txt --json
    """
    from regard.api.tasks.classification import Classifier
    from regard.cli.formats import classification_line, load_for

    classifier = load_for(Classifier, model)
    answer_lines(
        lines_of(files or [], "Type a text.", encoding=encoding),
        classifier.classify,
        lambda answer: classification_line(answer, json=json, probability=probability),
    )
