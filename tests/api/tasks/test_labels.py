"""Labels of a classifier: their order."""

from __future__ import annotations

from regard.api.tasks.labels import label_names
from regard.data import Example


def test_numeric_labels_come_first_and_in_order() -> None:
    examples = [Example("x", labels=(label,)) for label in ("b", "10", "a", "9", "9")]
    assert label_names(examples) == (["9", "10", "a", "b"], False)
