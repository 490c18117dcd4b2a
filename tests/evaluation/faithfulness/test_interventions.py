"""Zeroed, shuffled and uniform weights by hand."""

from __future__ import annotations

import numpy as np
import pytest

from regard.evaluation.faithfulness.interventions import zero_weights
from regard.evaluation.faithfulness.verdict import Verdict


def test_remaining_weights_are_scaled_up() -> None:
    np.testing.assert_allclose(zero_weights(np.array([[0.5, 0.3, 0.2]]), [0]), [[0, 0.6, 0.4]])
    np.testing.assert_array_equal(zero_weights(np.array([[1.0, 0.0]]), [0]), [[0, 0]])


def test_weight_controls_by_hand(known: Verdict) -> None:
    assert known.controls is not None
    assert known.controls.permuted.mean == pytest.approx(0.7)
    assert known.controls.permuted_flips == pytest.approx(0.8, abs=0.03)
    assert known.controls.uniform.mean == pytest.approx(0.7 * 4 / 5)
    assert known.controls.uniform_flips == 1


def test_decision_flips_by_hand(known: Verdict) -> None:
    assert known.flips is not None
    assert known.flips.without_highest == 1
    assert known.flips.without_random == 0
    assert known.flips.removed_until_flip["attention"].mean == pytest.approx(1 / 5)
    assert known.flips.removed_until_flip["gradient"].mean == pytest.approx(4 / 5)
