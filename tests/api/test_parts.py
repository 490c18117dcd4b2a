"""What training and validation part have in common, counted while the parts are read."""

from __future__ import annotations

from regard.api.parts import PartsInCommon, compare_while_reading
from regard.data import Example


def compared(train: list[Example], valid: list[Example]) -> PartsInCommon:
    found = PartsInCommon()
    assert list(compare_while_reading(train, valid, found)) == train  # all are passed on
    return found


def test_validation_texts_that_training_has_are_counted_once_each() -> None:
    train = [Example(text) for text in ("a  b", "c", "a b", "d", " c\t")]
    valid = [Example(text) for text in ("a b", "a\u00a0b ", "C", "x", "c")]
    assert compared(train, valid) == PartsInCommon(shared=3)
    assert compared(valid, valid) == PartsInCommon(shared=5)
    assert compared(train, [Example("e")]) == PartsInCommon()


def test_documents_are_compared_as_whole_texts() -> None:
    assert compared([Example(("One.", "Two."))], [Example("One. Two.")]).shared == 1


def test_targets_that_equal_their_sources() -> None:
    pairs = [("a b", " a  b"), ("a", "A"), ("x", "x"), ("y", "")]
    found = compared([Example(s, t) for s, t in pairs], [Example("z", "z")])
    assert found == PartsInCommon(copies=2, targets=4)
    assert compared([Example("a", labels=("a",))], []) == PartsInCommon()
