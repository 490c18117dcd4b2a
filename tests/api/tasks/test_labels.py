"""Labels of a classifier: their order."""

from __future__ import annotations

import pytest

from regard.api.tasks.labels import label_names, majority_scores
from regard.data import Example


def test_numeric_labels_come_first_and_in_order() -> None:
    examples = [Example("x", labels=(label,)) for label in ("b", "10", "a", "9", "9")]
    assert label_names(examples) == (["9", "10", "a", "b"], False)


def test_scores_of_the_most_frequent_label() -> None:
    # a is right 3 times of 4: precision 3/4, recall 1, F1 6/7; b never: F1 0.
    found = majority_scores([["a"], ["b"], ["a"], ["a"]], ["a", "b"], multilabel=False)
    assert found == {"accuracy": 75.0, "macro_f1": pytest.approx(100 * 6 / 7 / 2)}
    sets = majority_scores([["a", "b"], ["b"], ["a", "b"]], ["a", "b"], multilabel=True)
    assert sets["accuracy"] == pytest.approx(200 / 3)
    # a: precision 2/3, recall 1, F1 4/5; b: always right.
    assert sets["macro_f1"] == pytest.approx(90.0)
