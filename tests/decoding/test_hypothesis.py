"""Hypotheses, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from regard.decoding import Hypothesis, length_penalty
from regard.errors import InputError


def test_length_penalty_by_hand() -> None:
    assert length_penalty(7, 0.0) == 1.0
    assert length_penalty(7, 1.0) == 2.0
    assert length_penalty(1, 0.6) == 1.0


@pytest.mark.unchecked
def test_alignment_is_read_at_either_step() -> None:
    attention = np.array([[0.1, 0.9], [0.7, 0.3], [0.2, 0.8]])
    hypothesis = Hypothesis([5, 6], -1.0, [-0.5, -0.4, -0.1], attention)
    assert np.array_equal(hypothesis.alignment, attention[:-1])
    assert np.array_equal(hypothesis.aligned_at("input").alignment, attention[1:])
    assert np.array_equal(hypothesis.aligned_at("output").alignment, attention[:-1])
    with pytest.raises(InputError, match="reading 'sideways'"):
        hypothesis.aligned_at("sideways")  # type: ignore[arg-type]
