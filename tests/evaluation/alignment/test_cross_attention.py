"""Cross-attention between words: merged pieces, links, the two steps of a word."""

from __future__ import annotations

import numpy as np
import pytest

from regard.errors import InputError, ShapeError
from regard.evaluation.alignment.cross_attention import (
    CrossAttention,
    links_from_attention,
    merge_pieces,
    words_of_pieces,
)


def test_words_of_pieces_from_offsets():
    text = "the  cats sat"
    assert words_of_pieces(text, [(0, 0), (0, 3), (3, 7), (7, 9), (9, 13)]) == [-1, 0, 1, 1, 2]
    assert words_of_pieces(text, [(3, 5)]) == [-1]  # spaces only


def test_merging_sums_over_keys_and_averages_over_queries():
    weights = [[0.5, 0.2, 0.3], [0.1, 0.1, 0.8]]
    merged = merge_pieces(weights, [0, 0], [0, 0, 1])
    np.testing.assert_allclose(merged, [[0.45, 0.55]])


def test_merging_leaves_special_tokens_out():
    weights = [[0.9, 0.04, 0.06]]
    merged = merge_pieces(weights, [0], [-1, 0, 1])
    np.testing.assert_allclose(merged, [[0.04, 0.06]])
    assert links_from_attention(merged) == {(1, 0)}


def test_a_word_with_no_weight_gets_no_link():
    assert links_from_attention([[0.0, 0.0], [0.3, 0.7]]) == {(1, 1)}
    assert links_from_attention(np.zeros((3, 0))) == set()


def test_the_row_of_a_word_at_each_of_its_two_steps():
    # The decoder attends to word t at the step whose input it is: inputs are BOS, w0, w1.
    weights = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    sentence = CrossAttention(weights, source_words=[0, 1, -1], target_words=[0, 1])
    np.testing.assert_array_equal(sentence.aligned_at("input"), weights[1:])
    np.testing.assert_array_equal(sentence.aligned_at("output"), weights[:2])
    assert sentence.links("input") == {(0, 0), (1, 1)}
    with pytest.raises(InputError, match="reading 'both'; expected 'output'"):
        sentence.aligned_at("both")  # type: ignore[arg-type]


def test_cross_attention_must_keep_the_last_step():
    with pytest.raises(ShapeError, match="target pieces \\+ 1"):
        CrossAttention(np.ones((2, 3)), source_words=[0, 1, 2], target_words=[0, 1])
