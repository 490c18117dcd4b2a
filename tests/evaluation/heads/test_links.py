"""Agreement with given links, on maps set by hand."""

from __future__ import annotations

import numpy as np
import pytest

from regard.evaluation.heads.links import MAX_OFFSET, LinkSums, link_sums, word_weights


def test_pieces_are_merged_to_words() -> None:
    """Summed over the keys of a word, averaged over its queries; special tokens are left out."""
    weights = np.array(
        [[[0.1, 0.2, 0.3, 0.4], [0.4, 0.3, 0.2, 0.1], [0, 0.5, 0, 0.5], [1, 0, 0, 0]]]
    )
    merged = word_weights(weights, [-1, 0, 0, 1], [-1, 0, 0, 1], (2, 2))
    np.testing.assert_allclose(merged[0], [[0.5, 0.3], [0.0, 0.0]])


def test_a_planted_syntax_head() -> None:
    """Each dependent looks at its head: `the cat sat`, 0-1 and 1-2."""
    weights = np.array([[[0.2, 0.8, 0], [0, 0.1, 0.9], [0.9, 0.0, 0.1]]])
    sums = link_sums(weights, {0: [1], 1: [2]}, is_self=True)
    assert sums.total[:, 0].tolist() == [2, 0]
    assert sums.count.tolist() == [2, 2]
    assert sums.by_offset[0, MAX_OFFSET + 1] == 2
    assert sums.by_offset[1, MAX_OFFSET - 1] == 2


def test_a_word_is_no_answer_to_itself() -> None:
    weights = np.array([[[0.9, 0.1], [0.2, 0.8]]])
    assert link_sums(weights, {0: [1]}, is_self=True).total[0, 0] == 1


def test_a_link_of_a_word_to_itself_is_none() -> None:
    weights = np.array([[[0.9, 0.1], [0.2, 0.8]]])
    assert link_sums(weights, {0: [0]}, is_self=True).count.tolist() == [0, 0]


def test_cross_attention_is_compared_with_every_word() -> None:
    weights = np.array([[[0.9, 0.1, 0], [0.2, 0.1, 0.7]]])
    sums = link_sums(weights, {0: [0], 1: [1]}, is_self=False)
    assert sums.total[0, 0] == 1
    assert sums.count.tolist() == [2, 0]


@pytest.mark.parametrize("heads", [1, 3])
def test_layers_are_joined(heads: int) -> None:
    weights = np.random.default_rng(0).random((heads, 4, 4))
    sums = link_sums(weights, {0: [2]}, is_self=True)
    both = LinkSums.of_heads([sums, sums])
    assert both.total.shape == (2, 2 * heads)
    assert both.count.tolist() == sums.count.tolist()
