"""Labels of files under the names of a model."""

from __future__ import annotations

import pytest

from regard.data import Example
from regard.data.labels import names_of_model, rename_labels, usual_spellings

UNNAMED = ["LABEL_0", "LABEL_1", "LABEL_2"]


@pytest.mark.parametrize(
    ("found", "known", "names"),
    [
        (["0", "1"], UNNAMED, {"0": "LABEL_0", "1": "LABEL_1"}),
        (["1.0", "2.0"], UNNAMED, {"1.0": "LABEL_1", "2.0": "LABEL_2"}),
        (["1", "3"], UNNAMED, {}),  # counted from 1, or of another model
        (["0", "good"], UNNAMED, {}),
        (["0", "LABEL_1"], UNNAMED, {}),
        (["label_1"], UNNAMED, {"label_1": "LABEL_1"}),
        (["0", "1"], ["bad", "good"], {}),  # which is 0 is written nowhere in the file
        (["Good", "bad"], ["BAD", "good"], {"Good": "good", "bad": "BAD"}),
        (["us"], ["US", "Us"], {}),  # of two, which?
        (["US", "us"], ["US", "it"], {"us": "US"}),
        (["good"], ["good", "GOOD"], {}),
    ],
)
def test_sure_names_are_found(found: list[str], known: list[str], names: dict[str, str]) -> None:
    assert names_of_model(found, known) == names


def test_examples_are_renamed() -> None:
    examples = [Example("a", labels=("0",)), Example("b", labels=("1", "x"))]
    renamed = rename_labels(examples, {"0": "LABEL_0", "1": "LABEL_1"})
    assert [e.labels for e in renamed] == [("LABEL_0",), ("LABEL_1", "x")]
    assert [e.text for e in renamed] == ["a", "b"]


def test_spellings_of_files_know_the_column_of_labels() -> None:
    assert {"0", "1", "2"} < {*usual_spellings(UNNAMED)}
    assert {"negative", "Negative"} < {*usual_spellings(["NEGATIVE", "POSITIVE"])}
    assert usual_spellings(["1", "2"]) == ("1", "2")
