"""When a word was spoken, from the cross-attention of a Whisper-like model, by dynamic time warping.

Radford et al. (2022), "Robust Speech Recognition via Large-Scale Weak Supervision", and the code beside it:
heads that follow the speech draw a staircase of tokens over frames; the cheapest monotonic path through the
negated, normalised and smoothed weights says at which frame each token begins.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.errors import ShapeError
from regard.viewing.data.picture import WordTime
from regard.viewing.data.tokens import Tokens

__all__ = ["FRAME_SECONDS", "token_starts", "warp", "word_times"]

FRAME_SECONDS = 0.02
"""Length of a frame of Whisper's encoder."""

MEDIAN_WIDTH = 7
"""Frames over which weights are smoothed, as Whisper's own code has it."""

Floats = NDArray[np.float64]


def token_starts(
    weights: ArrayLike, *, median: int = MEDIAN_WIDTH, seconds: float = FRAME_SECONDS
) -> Floats:
    """Second at which each token begins, `(tokens,)`.

    Args:
        weights: cross-attention `(heads, tokens, frames)` of the heads that follow the speech, at the steps
            that read the tokens; frames of the speech alone, without padding.
        median: frames of the median filter, odd.
        seconds: length of a frame.

    Raises:
        ShapeError: not three axes, or an empty one.
    """
    given = np.asarray(weights, dtype=np.float64)
    if given.ndim != 3 or not given.size:
        raise ShapeError(f"weights of the shape {given.shape}; expected (heads, tokens, frames)")
    # Each frame relative to what the tokens give it: one that all attend to says nothing.
    spread = given.std(axis=1, keepdims=True)
    normal = (given - given.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)
    tokens, frames = warp(-_median_filter(normal, median).mean(axis=0))
    begins = np.diff(tokens, prepend=-1) > 0
    return np.asarray(frames[begins] * seconds, dtype=np.float64)


def warp(cost: ArrayLike) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The cheapest monotonic path from the first corner of a matrix to the last (dynamic time warping).

    Each step goes one row down, one column on, or both; of equal ways the one along the row is taken.

    >>> rows, columns = warp([[0.0, 0.0, 9.0], [9.0, 9.0, 0.0]])
    >>> rows.tolist(), columns.tolist()
    ([0, 0, 1], [0, 1, 2])

    Args:
        cost: `(rows, columns)`.

    Returns:
        Rows and columns of the path.
    """
    costs = np.asarray(cost, dtype=np.float64)
    rows, columns = costs.shape
    total = np.full((rows + 1, columns + 1), np.inf)
    step = np.full((rows + 1, columns + 1), 2)
    total[0, 0] = 0.0
    step[:, 0] = 1
    for column in range(1, columns + 1):
        for row in range(1, rows + 1):
            both, down, along = (
                total[row - 1, column - 1],
                total[row - 1, column],
                total[row, column - 1],
            )
            if both < down and both < along:
                before, step[row, column] = both, 0
            elif down < both and down < along:
                before, step[row, column] = down, 1
            else:
                before, step[row, column] = along, 2
            total[row, column] = costs[row - 1, column - 1] + before
    step[0, :] = 2
    path = []
    row, column = rows, columns
    while row > 0 or column > 0:
        path.append((row - 1, column - 1))
        taken = step[row, column]
        row -= taken in (0, 1)
        column -= taken in (0, 2)
    found = np.array(path[::-1], dtype=np.int64)
    return found[:, 0], found[:, 1]


def word_times(tokens: Tokens, starts: Sequence[float], end: float) -> list[WordTime]:
    """Start and end of each word; a word ends where the next token begins.

    Args:
        tokens: that were written.
        starts: second at which each begins.
        end: second at which the last ends.
    """
    first = tokens.word_starts()
    after = [*first[1:], len(tokens)]
    until = [*starts, end]
    return [
        WordTime(piece.strip(), float(starts[begin]), float(until[stop]))
        for piece, begin, stop in zip(tokens.words().pieces, first, after, strict=True)
        if not tokens.special[begin]
    ]


def _median_filter(values: Floats, width: int) -> Floats:
    """Median over `width` frames, with mirrored ends; rows no longer than half of it stay as they are."""
    half = width // 2
    if values.shape[-1] <= half:
        return values
    padded = np.pad(values, ((0, 0), (0, 0), (half, half)), mode="reflect")
    return np.asarray(
        np.median(np.lib.stride_tricks.sliding_window_view(padded, width, axis=-1), axis=-1)
    )
