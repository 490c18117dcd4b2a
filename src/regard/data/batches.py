"""Batches of about equal cost, in an order that depends only on seed and epoch."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.errors import SettingsError, ShapeError
from regard.text import PAD

__all__ = ["pad", "pad_documents", "token_batches"]


def token_batches(
    lengths: ArrayLike, *, max_tokens: int = 4096, seed: int = 0, epoch: int = 0
) -> list[list[int]]:
    """Group examples into batches of at most `max_tokens` tokens, padding included.

    Examples of similar length share a batch, so that padding is small. The grouping and the order of the
    batches are drawn for each `(seed, epoch)`, equal on every machine. Every example is in exactly one
    batch; an example longer than `max_tokens` has a batch of its own.

    Args:
        lengths: tokens of each example, `(examples,)`; or of each side, `(examples, sides)`; then the
            longest side counts.
        max_tokens: limit of examples times the longest length of a batch.
        seed: of the run.
        epoch: of the run; resuming needs only this and the number of batches done.

    Returns:
        Indices of examples, one list per batch.
    """
    if max_tokens < 1:
        raise SettingsError(f"max_tokens is {max_tokens}, expected 1 or more")
    sizes = np.asarray(lengths, dtype=np.int64)
    if sizes.ndim not in (1, 2):
        raise ShapeError(
            f"lengths has shape {sizes.shape}, expected (examples,) or (examples, sides)"
        )
    if len(sizes) < 2:
        return [[0]] * len(sizes)
    rng = np.random.default_rng([seed, epoch])
    sides = sizes.reshape(len(sizes), -1)
    longest = np.maximum(sides.max(axis=1), 1)
    shuffled = rng.permutation(len(sides))
    # Longest side first, then the other sides; ties stay in shuffled order.
    keys = [sides[shuffled, side] for side in range(sides.shape[1])]
    order = shuffled[np.lexsort([*keys, longest[shuffled]])]
    cuts = _cuts(longest[order], max_tokens)
    batches = np.split(order, cuts)
    return [batches[index].tolist() for index in rng.permutation(len(batches))]


def _cuts(ascending: NDArray[np.int64], max_tokens: int) -> list[int]:
    """Cuts of sorted lengths such that `count * last` of each part is at most `max_tokens`."""
    cuts: list[int] = []
    start, count = 0, len(ascending)
    while True:
        # The furthest end with (end - start) * ascending[end - 1] <= max_tokens; the product only
        # grows.
        low, high = start + 1, min(count, start + max(1, max_tokens // int(ascending[start])))
        while low < high:
            middle = (low + high + 1) // 2
            if (middle - start) * int(ascending[middle - 1]) <= max_tokens:
                low = middle
            else:
                high = middle - 1
        if low == count:
            return cuts
        cuts.append(low)
        start = low


def pad(sequences: Sequence[Sequence[int]]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pad sequences with `PAD` to `(ids, lengths)`, of shapes `(batch, longest)` and `(batch,)`.

    >>> pad([[5, 6], [7]])
    (array([[5, 6],
           [7, 0]]), array([2, 1]))
    """
    if len(sequences) == 1:  # nothing to pad
        return np.array([sequences[0]], np.int64), np.array([len(sequences[0])], np.int64)
    lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
    ids = np.full((len(sequences), int(lengths.max(initial=0))), PAD, dtype=np.int64)
    ids[np.arange(ids.shape[1]) < lengths[:, None]] = [
        i for sequence in sequences for i in sequence
    ]
    return ids, lengths


def pad_documents(
    documents: Sequence[Sequence[Sequence[int]]],
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Pad documents to ids `(batch, sentences, words)` and lengths `(batch, sentences)`, 0 = no sentence.

    >>> pad_documents([[[5, 6], [7]], [[8]]])
    (array([[[5, 6],
            [7, 0]],
    <BLANKLINE>
           [[8, 0],
            [0, 0]]]), array([[2, 1],
           [1, 0]]))
    """
    most = max(map(len, documents))
    sentences = [s for document in documents for s in (*document, *([()] * (most - len(document))))]
    ids, lengths = pad(sentences)
    return ids.reshape(len(documents), most, -1), lengths.reshape(len(documents), most)
