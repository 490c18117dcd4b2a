"""Every example once, within the budget, in an order that only seed and epoch decide."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.data import pad, token_batches
from regard.errors import SettingsError, ShapeError
from regard.text import PAD

lengths = st.lists(st.integers(0, 60), max_size=200)


def cost(batch: list[int], sizes: np.ndarray) -> int:
    return len(batch) * max(1, int(sizes[batch].max()))


@given(lengths, st.integers(1, 300), st.integers(0, 5), st.integers(0, 5))
def test_every_example_exactly_once(sizes: list[int], budget: int, seed: int, epoch: int) -> None:
    batches = token_batches(sizes, max_tokens=budget, seed=seed, epoch=epoch)
    assert sorted(index for batch in batches for index in batch) == list(range(len(sizes)))
    assert all(batches)


@given(lengths, st.integers(1, 300))
def test_the_budget_holds_with_padding(sizes: list[int], budget: int) -> None:
    for batch in token_batches(sizes, max_tokens=budget):
        assert cost(batch, np.array(sizes)) <= budget or len(batch) == 1


@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), min_size=1), st.integers(1, 300))
def test_the_budget_holds_for_both_sides(sizes: list[tuple[int, int]], budget: int) -> None:
    for batch in token_batches(sizes, max_tokens=budget):
        assert cost(batch, np.array(sizes)) <= budget or len(batch) == 1


@given(lengths, st.integers(1, 300))
def test_no_batch_could_take_the_next_longer_example(sizes: list[int], budget: int) -> None:
    batches = token_batches(sizes, max_tokens=budget)
    by_length = sorted(batches, key=lambda batch: (max(sizes[i] for i in batch), -len(batch)))
    taken = np.array(sizes, dtype=np.int64)
    for i, batch in enumerate(by_length[:-1]):
        later = [j for other in by_length[i + 1 :] for j in other]
        shortest = min(later, key=lambda j: sizes[j])
        assert cost([*batch, shortest], taken) > budget


def test_by_hand() -> None:
    # Sorted: 1 1 2 | 3 3 | 7, a budget of 6: 3 x 2, 2 x 3, and 7 alone because it is longer than 6.
    batches = token_batches([3, 1, 7, 2, 3, 1], max_tokens=6)
    assert sorted(sorted(batch) for batch in batches) == [[0, 4], [1, 3, 5], [2]]


def test_order_depends_on_seed_and_epoch_only() -> None:
    sizes = np.random.default_rng(0).integers(1, 50, 997)
    first = token_batches(sizes, max_tokens=211, seed=3, epoch=5)
    assert first == token_batches(sizes.tolist(), max_tokens=211, seed=3, epoch=5)
    for other in (
        token_batches(sizes, max_tokens=211, seed=4, epoch=5),
        token_batches(sizes, max_tokens=211, seed=3, epoch=6),
    ):
        assert first != other
        assert {frozenset(batch) for batch in first} != {frozenset(batch) for batch in other}
    longest = [max(sizes[batch]) for batch in first]
    assert longest != sorted(longest)


def test_little_is_padding() -> None:
    sizes = np.random.default_rng(0).integers(5, 40, (10_007, 2))
    batches = token_batches(sizes, max_tokens=4096)
    padded = sum(len(batch) * int(sizes[batch].max()) for batch in batches)
    assert sizes.max(axis=1).sum() > 0.97 * padded


def test_a_million_examples() -> None:
    sizes = np.random.default_rng(0).integers(1, 80, 1_000_003)
    batches = token_batches(sizes, max_tokens=4096)
    seen = np.bincount(np.concatenate([np.array(batch) for batch in batches]))
    assert len(seen) == 1_000_003
    assert (seen == 1).all()


def test_nothing() -> None:
    assert token_batches([], max_tokens=5) == []
    ids, sizes = pad([])
    assert (ids.shape, sizes.shape) == ((0, 0), (0,))


@pytest.mark.parametrize("sequence", [[5, 6], [], np.array([7], np.int32)], ids=len)
def test_one_sequence_is_padded_as_in_a_batch(sequence: list[int]) -> None:
    found, both = pad([sequence]), pad([sequence, sequence])
    for alone, first in zip(found, both, strict=True):
        assert alone.dtype == first.dtype == np.int64
        np.testing.assert_array_equal(alone, first[:1])


def test_impossible_settings() -> None:
    with pytest.raises(SettingsError, match="max_tokens is 0"):
        token_batches([1], max_tokens=0)
    with pytest.raises(ShapeError, match=r"\(1, 1, 1\)"):
        token_batches([[[1]]])


@given(st.lists(st.lists(st.integers(1, 9), max_size=7), max_size=7))
def test_padding_keeps_the_sequences(sequences: list[list[int]]) -> None:
    ids, sizes = pad(sequences)
    assert ids.dtype == sizes.dtype == np.int64
    assert ids.shape == (len(sequences), max(map(len, sequences), default=0))
    for row, size, sequence in zip(ids, sizes, sequences, strict=True):
        assert row[:size].tolist() == sequence
        assert (row[size:] == PAD).all()
