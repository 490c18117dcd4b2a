"""Choice of step, layer and head: planted attention is found, few links choose nothing."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from regard.errors import SettingsError
from regard.evaluation.alignment.choice import (
    MIN_LINKS,
    AlignmentChoice,
    CrossAttentionStack,
    choose_alignment,
)
from regard.evaluation.alignment.error_rate import alignment_error_rate
from regard.evaluation.alignment.gold import Gold
from regard.evaluation.alignment.links import diagonal
from regard.models import AlignmentSettings, Reading

LAYERS, HEADS, WORDS = 3, 4, 6


def planted(
    rng: np.random.Generator,
    layer: int | None,
    head: int | None,
    reading: Reading,
    right: float = 1.0,
) -> tuple[CrossAttentionStack, set[tuple[int, int]]]:
    """A pair with random attention, but for one layer and head (`None`: all), and its links."""
    order = rng.permutation(WORDS)
    weights: NDArray[np.float64] = rng.random((LAYERS, HEADS, WORDS + 1, WORDS + 1))
    rows = slice(0, WORDS) if reading == "output" else slice(1, WORDS + 1)
    layers = slice(None) if layer is None else slice(layer - 1, layer)
    heads = slice(None) if head is None else slice(head - 1, head)
    for other in weights:  # every other layer is as sure of something else
        other[:, rows] += 1.5 * np.eye(WORDS + 1)[rng.permutation(WORDS)]
    shown = np.where(rng.random(WORDS) < right, order, rng.permutation(WORDS))
    weights[layers, heads, rows] = 1.5 * np.eye(WORDS + 1)[shown] + rng.random((WORDS, WORDS + 1))
    weights /= weights.sum(-1, keepdims=True)
    links = {(int(source), target) for target, source in enumerate(order)}
    return CrossAttentionStack(weights, [*range(WORDS), -1], [*range(WORDS)]), links


def chosen(pairs: list[Any]) -> AlignmentChoice:
    stacks, links = zip(*pairs, strict=True)
    return choose_alignment(stacks, links, layers=LAYERS, heads=HEADS)


@pytest.mark.parametrize("reading", ["output", "input"])
@pytest.mark.parametrize(("layer", "head"), [(2, 3), (1, None), (3, 4)])
def test_what_was_planted_is_found(layer, head, reading):
    rng = np.random.default_rng(0)
    choice = chosen([planted(rng, layer, head, reading, 0.9) for _ in range(40)])
    assert choice.settings == AlignmentSettings(layer=layer, head=head, reading=reading)
    assert choice.error_rate is not None
    assert choice.error_rate < 0.2
    assert (choice.links, choice.pairs) == (40 * WORDS, 40)


def test_a_mean_is_chosen_where_it_is_as_good_as_any():
    rng = np.random.default_rng(0)
    choice = chosen([planted(rng, None, None, "output") for _ in range(40)])
    assert (choice.settings, choice.error_rate) == (AlignmentSettings(), 0)
    choice = chosen([planted(rng, 2, None, "output") for _ in range(40)])
    assert choice.settings == AlignmentSettings(layer=2)


def test_of_equal_ones_the_step_that_writes_and_the_means_come_first():
    order = np.eye(WORDS, WORDS + 1)
    weights = np.stack([np.vstack([order[:1], order])] * LAYERS)[:, None].repeat(HEADS, 1)
    both = CrossAttentionStack(weights, [*range(WORDS), -1], [*range(WORDS)])
    links = {(max(word, 0), word) for word in range(WORDS)}
    choice = chosen([(both, links)] * 20)
    assert choice.settings.reading == "input"  # row t + 1 is word t's
    constant = np.full((LAYERS, HEADS, WORDS + 1, WORDS + 1), 1 / (WORDS + 1))
    even = CrossAttentionStack(constant, [*range(WORDS), -1], [*range(WORDS)])
    assert chosen([(even, links)] * 20).settings == AlignmentSettings()


def test_a_model_that_aligns_nothing_is_read_as_by_default():
    for seed in range(20):
        rng = np.random.default_rng(seed)
        choice = chosen([planted(rng, 2, 3, "input", 0.0) for _ in range(50)])
        assert choice.settings.reading == "output"


def test_rates_against_the_error_rate_of_links():
    rng = np.random.default_rng(1)
    pairs = [planted(rng, 2, 3, "output", 0.9) for _ in range(100)]
    # Fewer links than words: the error rate counts both.
    pairs = [(stack, set(sorted(links)[:4])) for stack, links in pairs]
    choice = chosen(pairs)
    gold = [Gold(frozenset(links), frozenset(links)) for _, links in pairs]
    found = [
        {(int(row.argmax()), word) for word, row in enumerate(stack.weights[1, 2, :-1, :-1])}
        for stack, _ in pairs
    ]
    words = ["x"] * WORDS
    assert choice.error_rate == pytest.approx(alignment_error_rate(found, gold).error_rate)
    line = alignment_error_rate(diagonal([(words, words)] * 100), gold).error_rate
    assert choice.diagonal == pytest.approx(line)


def test_pieces_are_merged_to_words_before_they_are_compared():
    # Word 0 has two source pieces of 0.3 each, word 1 one of 0.4: word 0 has more.
    weights = np.array([[0.3, 0.3, 0.4, 0.0], [0.0, 0.0, 1.0, 0.0], [0.1, 0.1, 0.8, 0.0]])
    stack = CrossAttentionStack(weights[None, None], [0, 0, 1, -1], [0, 1])
    choice = choose_alignment([stack] * 60, [{(0, 0), (1, 1)}] * 60, layers=1, heads=1)
    assert (choice.settings, choice.error_rate) == (AlignmentSettings(), 0)


def test_few_links_choose_nothing_and_say_so():
    rng = np.random.default_rng(0)
    choice = chosen([planted(rng, 2, 3, "input") for _ in range((MIN_LINKS - 1) // WORDS)])
    assert choice.settings == AlignmentSettings()
    assert choice.error_rate is None
    assert str(choice).endswith(
        "not measured, since IBM Model 1 agrees on only 96 links (100 are needed)."
    )
    assert AlignmentChoice.from_json(choice.to_json()) == choice
    nothing = choose_alignment([], [], layers=1, heads=1)
    assert "only 0 links" in str(nothing)


def test_a_choice_is_written_and_read_and_said():
    rng = np.random.default_rng(0)
    choice = chosen([planted(rng, 2, 3, "input") for _ in range(40)])
    assert AlignmentChoice.from_json(choice.to_json()) == choice
    assert (
        "decoder's input, layer 2, head 3: alignment error rate 0.0, better than the diagonal's "
        in (str(choice))
    )
    assert "240 links on which IBM Model 1 agrees in both directions in 40 validation pairs" in str(
        choice
    )
    with pytest.raises(SettingsError):
        AlignmentChoice.from_json({**choice.to_json(), "reading": "sideways"})


def test_a_text_without_a_word_counts_nothing():
    rng = np.random.default_rng(0)
    pairs = [planted(rng, 2, 3, "output") for _ in range(40)]
    blank = CrossAttentionStack(rng.random((LAYERS, HEADS, 2, 2)), [-1, -1], [-1])
    assert chosen([*pairs, (blank, set())]) == chosen(pairs)
