"""Answers as lines."""

from __future__ import annotations

from regard.api.tasks.answers import Classification
from regard.cli.formats import classification_line


def test_a_label_of_two_lines_is_written_on_one() -> None:
    answer = Classification(text="x", labels=("very\ngood",), probabilities={"very\ngood": 0.5})
    assert classification_line(answer) == "very good"
    assert classification_line(answer, probability=True) == "very good\t0.5000"
