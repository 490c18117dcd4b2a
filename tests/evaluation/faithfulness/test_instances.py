"""Texts under examination: which ones, ranked and compared how."""

from __future__ import annotations

import numpy as np
import pytest

from regard.errors import InputError
from regard.evaluation.faithfulness.contracts import ReweightableClassifier
from regard.evaluation.faithfulness.instances import (
    make_instances,
    rank_positions,
    total_variation,
)


def test_only_the_given_positions_are_ranked() -> None:
    assert rank_positions([0.1, 0.9, 0.5, 0.5], [0, 2, 3]) == [2, 3, 0]


def test_total_variation_by_hand() -> None:
    assert total_variation([0.7, 0.3], [0.2, 0.8]) == pytest.approx(0.5)
    np.testing.assert_allclose(total_variation([[1.0, 0.0], [0.5, 0.5]], [0.0, 1.0]), [1, 0.5])


def test_special_tokens_cannot_be_erased(known_classifier: ReweightableClassifier) -> None:
    (instance,) = make_instances(known_classifier, [[2, 7, 9, 2]])
    assert instance.erasable == [1, 2]
    assert instance.reweightable == [0, 1, 2, 3]


def test_texts_without_ordinary_tokens_are_refused(
    known_classifier: ReweightableClassifier,
) -> None:
    with pytest.raises(InputError, match="2 texts without any ordinary token"):
        make_instances(known_classifier, [[2], []])


def test_texts_that_are_given_no_label_are_refused(known_tagger: ReweightableClassifier) -> None:
    with pytest.raises(InputError, match="gives no label to any of 2 texts"):
        make_instances(known_tagger, [[8, 6], [8]])
