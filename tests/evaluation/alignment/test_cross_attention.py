"""Cross-attention as alignment: pieces to words, the two readings, the verdict."""

from __future__ import annotations

import numpy as np
import pytest

from regard.errors import ShapeError
from regard.evaluation.alignment.cross_attention import (
    CrossAttention,
    compare_readings,
    judge_alignment,
    links_from_attention,
    merge_pieces,
    read_at,
    words_of_pieces,
)
from regard.evaluation.alignment.error_rate import parse_gold


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


def test_reading_where_words_are_input_and_where_they_are_output():
    # The decoder looks at word t at the step that reads it: steps are BOS, w0, w1.
    weights = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    sentence = CrossAttention(weights, source_words=[0, 1, -1], target_words=[0, 1])
    np.testing.assert_array_equal(read_at(sentence, "input"), weights[1:])
    np.testing.assert_array_equal(read_at(sentence, "output"), weights[:2])
    scores = compare_readings([sentence], [parse_gold("1-1 2-2")])
    assert scores["input"].error_rate == 0
    assert scores["output"].error_rate == 1 - 0 / 3


def test_cross_attention_must_keep_the_last_step():
    with pytest.raises(ShapeError, match="target pieces \\+ 1"):
        CrossAttention(np.ones((2, 3)), source_words=[0, 1, 2], target_words=[0, 1])


def sentence(links, words=4):
    """Cross-attention, one piece a word, that gives these links where words enter."""
    weights = np.full((words + 1, words + 1), 0.1)
    for source, target in links:
        weights[target + 1, source] = 1.0
    weights[0, -1] = 1.0
    return CrossAttention(weights, [*range(words), -1], range(words))


CROSSED = [(3, 0), (2, 1), (1, 2), (0, 3)]
GOLD = parse_gold("4-1 3-2 2-3 1-4")
PAIR = (["a", "b", "c", "d"], ["D", "C", "B", "A"])
UNSEEN = (list("efgh"), list("HGFE"))


def test_better_than_counting_can_be_read_as_alignment():
    verdict = judge_alignment([[sentence([(0, 0)])], [sentence(CROSSED)]], [PAIR], [GOLD])
    assert verdict.layers[1]["input"].error_rate == 0
    assert verdict.sentence.startswith("This can be read as word alignment: its best layer (2, ")
    assert "where words are the decoder's input" in verdict.sentence
    text = str(verdict)
    for name in (
        "layer 2, where the word is input",
        "layer 1, where the word is output",
        "diagonal",
    ):
        assert name in text


def test_no_better_than_the_diagonal_is_told():
    verdict = judge_alignment(
        [[sentence([(0, 0), (1, 1), (2, 2), (3, 3)])]], [PAIR], [parse_gold("1-1 2-2 3-3 4-4")]
    )
    assert verdict.diagonal.error_rate == 0
    assert verdict.sentence.startswith("Do not read this as word alignment")


def test_no_better_than_counting_is_read_with_care():
    # Words that stand alone elsewhere tell Model 1 all; attention knows two links of four.
    pairs = [PAIR, *[([a], [b]) for a, b in zip("abcd", "ABCD", strict=True)]]
    gold = [GOLD, *[parse_gold("1-1")] * 4]
    half = sentence([(3, 0), (2, 1), (3, 2), (3, 3)])
    alone = CrossAttention(np.array([[0.0, 1.0], [1.0, 0.0]]), [0, -1], [0])
    verdict = judge_alignment([[half] + [alone] * 4], pairs, gold)
    assert verdict.model_1.error_rate == 0
    assert verdict.sentence.startswith("Read this as word alignment with care")
