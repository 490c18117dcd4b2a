"""Lesson 5: masks and padding."""

from __future__ import annotations

from typing import Any

import numpy as np

from regard.learn.answer import Answer, Array, Wrong, as_array, check_close, check_shape
from regard.learn.exercise import Exercise
from regard.learn.lessons.reference import draw, softmax

__all__ = ["EXERCISES"]

PAGE = "5-masks"

MASKED_SOFTMAX = '''import numpy as np


def masked_softmax(scores, mask):
    """The softmax of each row over the keys that its query may attend to.

    A masked key has weight 0. A query that may attend to nothing has weights 0, not NaN.

    scores: array of shape (..., queries, keys)
    mask: Boolean array of the same shape, True = may attend
    returns: array of the same shape
    """
    raise NotImplementedError  # your code here
'''

CAUSAL = '''import numpy as np


def causal_mask(queries, keys):
    """The mask of a language model: a query may attend to its own position and to earlier ones.

    With fewer queries than keys (a model that writes word by word keeps the keys of what it has
    written) the last query is at the last key.

    queries, keys: int, queries <= keys
    returns: Boolean array of shape (queries, keys), True = may attend
    """
    raise NotImplementedError  # your code here
'''

PADDING = '''import numpy as np


def padding_mask(lengths, keys):
    """The mask of a batch of sentences that were filled up at their ends to equal length.

    lengths: array of int of shape (batch,): how many real words each sentence has
    keys: int, the length that all were filled up to
    returns: Boolean array of shape (batch, keys), True = a real word
    """
    raise NotImplementedError  # your code here
'''

SHIFT = '''import torch


def training_pairs(ids):
    """Inputs and targets of a language model: at each position it is to predict the next word.

    ids: tensor of shape (batch, length)
    returns: inputs and targets, tensors of shape (batch, length - 1)
    """
    raise NotImplementedError  # your code here
    return inputs, targets
'''


def _check_masked(answer: Answer, scores: Array, mask: Array) -> None:
    """Compare weights with the right ones, and with those of misconceptions."""
    with np.errstate(all="ignore"):
        got = answer.array("masked_softmax", scores, mask)
    right = softmax(np.where(mask, scores, -np.inf))
    mistakes = [
        (
            softmax(np.where(mask, -np.inf, scores)),
            "The mask is turned round: True means that a key may be attended to.",
        ),
        (
            softmax(scores) * mask,
            "You set weights to 0 after the softmax, so the rows no longer sum to 1: masked keys "
            "have taken their share. Mask the scores, with -inf, before the softmax.",
        ),
        (
            softmax(scores * mask),
            "You multiply the scores by the mask. A score of 0 is a score like others: exp(0) = 1, "
            "and the key gets weight. Its score must be -inf.",
        ),
        (softmax(scores), "The mask is not used."),
        (
            softmax(np.where(mask, scores, -np.inf), -2),
            "Your weights sum to 1 over the queries. Share over the keys: axis=-1.",
        ),
    ]
    check_close(got, right, what="masked_softmax", mistakes=mistakes)


def _masked_numbers(answer: Answer) -> None:
    """The weights of allowed keys, whatever the masked scores are."""
    mask = np.array([[True, True, False], [False, True, True], [True, False, False]])
    _check_masked(answer, np.array([[1.0, 0.0, 3.0], [2.0, 0.5, 0.5], [0.0, 1.0, 2.0]]), mask)
    _check_masked(answer, draw(90, 2, 2, 3, 3) * 3, np.broadcast_to(mask, (2, 2, 3, 3)).copy())


def _masked_extremes(answer: Answer) -> None:
    """Masked keys get exactly 0, also beside very low and very high scores."""
    scores = np.array([[-1e12, -1e12, 0.0], [0.0, 1.0, 2000.0]])
    mask = np.array([[True, True, False], [True, True, False]])
    with np.errstate(all="ignore"):
        got = answer.array("masked_softmax", scores, mask, shape=(2, 3))
    if np.isnan(got).any():
        raise Wrong(
            "NaN where a masked score is very large: take the maximum of the row after masking, "
            "so that exp does not overflow or vanish."
        )
    if (got[:, 2] != 0).any():
        raise Wrong(
            f"A masked key got the weight {got[:, 2].max():.3g}. A large negative number such as "
            "-1e9 is still a score, and here the allowed ones are lower; only -inf masks always."
        )
    check_close(got, softmax(np.where(mask, scores, -np.inf)), what="masked_softmax")


def _masked_rows(answer: Answer) -> None:
    """A query that may attend to nothing gets zeros."""
    scores, mask = np.array([[1.0, 2.0], [3.0, 4.0]]), np.array([[False, False], [True, True]])
    with np.errstate(all="ignore"):
        got = answer.array("masked_softmax", scores, mask, shape=(2, 2))
    if np.isnan(got[0]).any():
        raise Wrong(
            "NaN in a row where all keys are masked: -inf - (-inf) and 0 / 0 are NaN. Give such a "
            "row zeros; one NaN here spreads through every layer after it."
        )
    if np.allclose(got[0], 0.5):
        raise Wrong(
            "A row where all keys are masked got equal weights: with -1e9 everywhere the softmax "
            "sees no difference. Such a row should be zeros."
        )
    check_close(got, [[0.0, 0.0], softmax([3.0, 4.0])], what="masked_softmax")


def _check_mask(got: Array, right: Array, what: str, mistakes: Any) -> None:
    """Compare a mask with the right one, then with those of misconceptions."""
    numbers = ""
    if got.dtype != bool:
        allowed = np.isfinite(got) & (got > -1e8)
        if got.shape == right.shape and (allowed == right).all() and not got[right].any():
            raise Wrong(
                "These are numbers to add to the scores, 0 and -inf. Return Booleans: True = may "
                "attend."
            )
        if not set(np.unique(got)) <= {0, 1}:
            raise Wrong(f"{what} is of {got.dtype} numbers; make it Boolean.")
        got, numbers = got.astype(bool), " And it is of numbers; make it Boolean."
    if got.shape == right.shape and (got == right).all():
        if numbers:
            raise Wrong(f"{what} is of numbers; make it Boolean: `array.astype(bool)`.")
        return
    for mistaken, hint in mistakes:
        if got.shape == np.shape(mistaken) and (got == mistaken).all():
            raise Wrong(hint + numbers)
    check_shape(got, right.shape, what=what)
    raise Wrong(f"{what} is {got.astype(int).tolist()}; {right.astype(int).tolist()} was expected.")


def _causal(answer: Answer, queries: int, keys: int) -> None:
    right = np.tri(queries, keys, keys - queries, dtype=bool)
    mistakes = [
        (
            ~right,
            "The mask is turned round: these are the future keys. True means may attend.",
        ),
        (
            np.triu(np.ones((queries, keys), bool)),
            "A query sees itself and what comes after it: triu is the upper triangle. "
            "The past is the lower one: tril.",
        ),
        (
            np.tri(queries, keys, keys - queries - 1, dtype=bool),
            "A query does not see its own position, so the first one sees nothing. The diagonal is "
            "allowed: the model predicts the next word, and knows the present one.",
        ),
        (
            np.tri(queries, keys, keys - queries + 1, dtype=bool),
            "A query sees one key of the future: the target leaks.",
        ),
    ]
    if queries < keys:
        mistakes += [
            (
                np.tri(queries, keys, dtype=bool),
                "The first query is set at the first key. Here the last query is at the last key: "
                "shift the diagonal by keys - queries.",
            )
        ]
    got = answer.array("causal_mask", queries, keys)
    _check_mask(got, right, f"causal_mask({queries}, {keys})", mistakes)


def _causal_square(answer: Answer) -> None:
    """As many queries as keys: the lower triangle, with the diagonal."""
    _causal(answer, 4, 4)
    _causal(answer, 1, 1)


def _causal_last(answer: Answer) -> None:
    """Fewer queries than keys: the last query is at the last key."""
    _causal(answer, 2, 5)
    _causal(answer, 1, 3)


def _padding(answer: Answer) -> None:
    """Real words are True, as many as the length says."""
    lengths, keys = np.array([2, 4, 0, 1]), 4
    positions = np.arange(keys)
    right = positions < lengths[:, None]
    mistakes = [
        (
            ~right,
            "The mask is turned round: True is a real word here. (torch's key_padding_mask is the "
            "other way round: True = ignore.)",
        ),
        (
            positions <= lengths[:, None],
            "One word too many: positions count from 0, so a sentence of 2 words has the positions "
            "0 and 1: position < length.",
        ),
        (
            positions >= keys - lengths[:, None],
            "The real words are at the end: you fill up at the beginning. Here padding is at the end.",
        ),
        (right.T, "The axes are (keys, batch); (batch, keys) is wanted."),
    ]
    got = answer.array("padding_mask", lengths, keys)
    _check_mask(got, right, "padding_mask([2, 4, 0, 1], 4)", mistakes)
    got = answer.array("padding_mask", np.array([3]), 5)
    _check_mask(got, np.array([[True] * 3 + [False] * 2]), "padding_mask([3], 5)", ())


def _pairs(answer: Answer) -> None:
    """The target at each position is the next word."""
    import torch

    ids = torch.tensor([[5, 6, 7, 8], [1, 2, 3, 4]])
    result = answer.call("training_pairs", ids)
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong("Return two things: `return inputs, targets`.")
    inputs, targets = (as_array(each, name) for each, name in zip(result, _SIDES, strict=True))
    known = ids.numpy()
    rolled = np.roll(known, -1, 1)
    both = (inputs.tolist(), targets.tolist())
    if both in ((known.tolist(), known.tolist()), (known[:, :-1].tolist(), known[:, :-1].tolist())):
        raise Wrong(
            "Inputs and targets are the same words: the model would see the word it must predict, "
            "and its loss would fall to 0 while it learns only to copy. Shift the targets by one."
        )
    if both == (known.tolist(), rolled.tolist()):
        raise Wrong(
            "`roll` brings the first word round to the end, so the last target is wrong. The last "
            "word has no next one: leave it out of the inputs, `ids[:, :-1]`."
        )
    if both == (known[:, 1:].tolist(), known[:, :-1].tolist()):
        raise Wrong("Shifted the wrong way: the model would predict the word before.")
    check_close(inputs, known[:, :-1], what="inputs")
    check_close(targets, known[:, 1:], what="targets")


_SIDES = ("inputs", "targets")

EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "5",
        "softmax with a mask",
        PAGE,
        MASKED_SOFTMAX,
        (_masked_numbers, _masked_extremes, _masked_rows),
        "A mask works on scores, before the softmax, by -inf; and a row without any key is zeros, "
        "as it is in regard.attend, forward and backward.",
    ),
    Exercise(
        "5b",
        "the causal mask",
        PAGE,
        CAUSAL,
        (_causal_square, _causal_last),
        "regard.causal() is this mask without the matrix. Libraries differ in where fewer queries "
        "than keys are put; this is the alignment for writing word by word.",
    ),
    Exercise(
        "5c",
        "the padding mask",
        PAGE,
        PADDING,
        (_padding,),
        "regard.padding(lengths) is this mask; with it a sentence gets the answer that it gets alone.",
    ),
    Exercise(
        "5d",
        "inputs and targets of a language model, in PyTorch",
        PAGE,
        SHIFT,
        (_pairs,),
        "A causal mask stops looking ahead, and shifted targets make that matter: both are needed.",
        needs=("torch",),
    ),
)
