"""The verdict on cross-attention as alignment, on links that are known."""

from __future__ import annotations

import numpy as np

from regard.evaluation.alignment.cross_attention import CrossAttention
from regard.evaluation.alignment.gold import parse_gold
from regard.evaluation.alignment.verdict import judge_alignment, score_readings


def test_both_readings_are_scored():
    weights = np.array([[0.0, 0.0, 1.0], [1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])
    sentence = CrossAttention(weights, source_words=[0, 1, -1], target_words=[0, 1])
    scores = score_readings([sentence], [parse_gold("1-1 2-2")])
    assert scores["input"].error_rate == 0
    assert scores["output"].error_rate == 1 - 0 / 3


def sentence(links, words=4):
    """Cross-attention, one piece a word, that gives these links where words are the input."""
    weights = np.full((words + 1, words + 1), 0.1)
    for source, target in links:
        weights[target + 1, source] = 1.0
    weights[0, -1] = 1.0
    return CrossAttention(weights, [*range(words), -1], range(words))


CROSSED = [(3, 0), (2, 1), (1, 2), (0, 3)]
GOLD = parse_gold("4-1 3-2 2-3 1-4")
PAIR = (["a", "b", "c", "d"], ["D", "C", "B", "A"])


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


def test_no_better_than_the_diagonal_is_no_alignment():
    verdict = judge_alignment(
        [[sentence([(0, 0), (1, 1), (2, 2), (3, 3)])]], [PAIR], [parse_gold("1-1 2-2 3-3 4-4")]
    )
    assert verdict.diagonal.error_rate == 0
    assert verdict.sentence.startswith("Do not read this as word alignment")


def test_no_better_than_counting_is_read_with_care():
    # Model 1 learns all links from pairs of single words; attention has two links of four.
    pairs = [PAIR, *[([a], [b]) for a, b in zip("abcd", "ABCD", strict=True)]]
    gold = [GOLD, *[parse_gold("1-1")] * 4]
    half = sentence([(3, 0), (2, 1), (3, 2), (3, 3)])
    alone = CrossAttention(np.array([[0.0, 1.0], [1.0, 0.0]]), [0, -1], [0])
    verdict = judge_alignment([[half] + [alone] * 4], pairs, gold)
    assert verdict.model_1.error_rate == 0
    assert verdict.sentence.startswith("Read this as word alignment with care")
