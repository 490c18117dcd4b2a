"""Lesson 2: score, softmax, sum."""

from __future__ import annotations

import numpy as np

from regard.learn.answer import Answer, Wrong, check_close
from regard.learn.exercise import Exercise
from regard.learn.lessons.reference import attention, draw, softmax

__all__ = ["EXERCISES"]

PAGE = "2-score-softmax-sum"

SOFTMAX = '''import numpy as np


def softmax(scores):
    """The weights of each row of scores: exp(score), divided by the sum over the row's keys.

    Scores may be large (1000), where exp alone overflows: subtract the largest of the row first.

    scores: array of shape (queries, keys), or with more axes before these
    returns: array of the same shape; each row along the last axis sums to 1
    """
    raise NotImplementedError  # your code here
'''

ATTENTION = '''import numpy as np


def attention(query, key, value):
    """Scaled dot-product attention: softmax(query key^T / sqrt(d)) value.

    query: array of shape (queries, d)
    key: array of shape (keys, d)
    value: array of shape (keys, width)
    returns: array of shape (queries, width)

    Your softmax of exercise 2 is yours to use: from exercise_2 import softmax
    """
    raise NotImplementedError  # your code here
'''


def _one_row(answer: Answer) -> None:
    """softmax([[1, 0, 2]]) is [[0.2447, 0.0900, 0.6652]]."""
    scores = np.array([[1.0, 0.0, 2.0]])
    mistakes = [
        (
            softmax(scores, 0),
            "Every weight is 1: softmax ran over axis 0, where one query has nobody to share with. "
            "Each query shares its weight over the keys, the last axis.",
        ),
        (scores / scores.sum(), "You divide the scores by their sum; first take exp of each."),
        (np.exp(scores), "This is exp alone; divide by the sum of the row."),
        (
            np.exp(scores - scores.max()),
            "The largest weight is 1: exp(scores - max) must still be divided by its sum over the row.",
        ),
        (
            np.exp(scores - scores.max()) / np.exp(scores).sum(),
            "The numerator is shifted by the maximum and the denominator is not. "
            "Take exp(scores - max) once, and divide it by its own sum.",
        ),
        (
            np.log(softmax(scores)),
            "These are logarithms of the weights (log-softmax); take their exp.",
        ),
    ]
    got = answer.array("softmax", scores)
    check_close(got, softmax(scores), what="softmax([[1, 0, 2]])", mistakes=mistakes)


def _several_rows(answer: Answer) -> None:
    """Each query has weights of its own: rows sum to 1 along the last axis."""
    for seed, shape in ((3, (2, 3)), (4, (3, 3)), (5, (2, 2, 4, 3))):
        scores = draw(seed, *shape)
        mistakes = [
            (
                softmax(scores, 0),
                "Your weights sum to 1 over the queries: softmax runs over axis 0. Each query "
                "shares its weight over the keys: axis=-1.",
            ),
            (
                softmax(scores, None),
                "All weights together sum to 1: the sum runs over the whole array. "
                "Sum over each row: axis=-1, keepdims=True.",
            ),
            (
                softmax(scores, 1) if scores.ndim > 2 else np.nan,
                "With more axes before them, the keys are no longer axis 1. Count from the end: "
                "axis=-1.",
            ),
            (
                softmax(scores, -2),
                "Your weights sum to 1 over the queries. Share over the keys: axis=-1.",
            ),
        ]
        got = answer.array("softmax", scores)
        what = f"softmax of scores of shape {shape}"
        check_close(got, softmax(scores), what=what, mistakes=mistakes)


def _large_scores(answer: Answer) -> None:
    """Scores of 1000 give weights, not NaN: only differences of scores matter."""
    scores = np.array([[1000.0, 1001.0, 999.0], [-2000.0, -2001.0, -1999.0]])
    with np.errstate(all="ignore"):
        got = answer.array("softmax", scores, shape=scores.shape)
    if np.isnan(got).any():
        one_maximum = not np.isnan(got[0]).any()
        raise Wrong(
            "NaN in the second row: you subtract the maximum of the whole array, and what is left "
            "there, exp(-3000), is 0. Subtract each row's own: scores.max(axis=-1, keepdims=True)."
            if one_maximum
            else "NaN for scores of 1000: exp(1000) overflows. Softmax does not change when a number "
            "is subtracted from a whole row, so subtract its maximum first."
        )
    check_close(got, softmax(scores), what="softmax of large scores")


def _attention_by_hand(answer: Answer) -> None:
    """The numbers of the introduction: one query, three keys, d = 3."""
    query = np.array([[1.0, 0.0, 1.0]])
    key = np.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [1.0, 0.0, 1.0]])
    value = np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]])
    scores = query @ key.T
    mistakes = [
        (
            attention(query, key, value, 1.0),
            "The scores are not scaled: divide query key^T by sqrt(d) before the softmax.",
        ),
        (
            attention(query, key, value, 1 / 3),
            "You divide by d; divide by its square root: the standard deviation of a sum of d "
            "products grows as sqrt(d), and d is its variance.",
        ),
        (
            softmax(scores) / np.sqrt(3) @ value,
            "You divide the weights by sqrt(d), after the softmax, so they do not sum to 1. "
            "Divide the scores, before it.",
        ),
        (
            attention(query, key, value, 3**0.5),
            "You multiply by sqrt(d); divide by it.",
        ),
        (
            attention(query, key, value, 2**-0.5),
            "You divide by the root of the value's width; d is the number of features of query "
            "and key.",
        ),
        (
            softmax(query @ key / np.sqrt(3)) @ value,
            "The keys are not transposed: `query @ key` mixes features with keys, and runs only because "
            "there are as many of both here. Scores are `query @ key.T`.",
        ),
        (
            value.sum(0, keepdims=True),
            "Every weight is 1: softmax ran over the queries (axis 0), of which there is one. "
            "Run it over the keys: axis=-1.",
        ),
        (
            scores / np.sqrt(3) @ value,
            "There is no softmax: the scores themselves weight the values.",
        ),
        (softmax(scores / np.sqrt(3)), "These are the weights; multiply them with the values."),
    ]
    got = answer.array("attention", query, key, value)
    check_close(got, attention(query, key, value), what="the output", mistakes=mistakes)


def _attention_in_general(answer: Answer) -> None:
    """Other numbers of queries, keys and features."""
    for seed, (queries, keys, features, width) in enumerate(((4, 6, 8, 2), (5, 3, 16, 7))):
        query, key = draw(seed, queries, features) * 2, draw(seed + 10, keys, features)
        value = draw(seed + 20, keys, width)
        mistakes = [
            (
                attention(query, key, value, keys**-0.5),
                "You divide by the root of the number of keys (len(key)); divide by the root of "
                "the number of features, key.shape[-1].",
            ),
            (
                attention(query, key, value, queries**-0.5),
                "You divide by the root of the number of queries (len(query)); divide by the root "
                "of the number of features, query.shape[-1].",
            ),
            (
                attention(query, key, value, 3**-0.5),
                "You divide by sqrt(3) whatever the arrays; d is key.shape[-1].",
            ),
            (
                softmax(query @ key.T / features**0.5, 0) @ value,
                "Your weights sum to 1 over the queries: softmax runs over axis 0. "
                "Run it over the keys: axis=-1.",
            ),
            (
                np.broadcast_to(value.mean(0), (queries, width)),
                "Every query gets the mean of the values: the scores are not used.",
            ),
        ]
        got = answer.array("attention", query, key, value)
        check_close(got, attention(query, key, value), what="the output", mistakes=mistakes)


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "2",
        "softmax",
        PAGE,
        SOFTMAX,
        (_one_row, _several_rows, _large_scores),
        "Softmax is the one rule by which weights are positive, sum to 1 and keep their ratios when "
        "a key is added; and only differences of scores matter to it.",
    ),
    Exercise(
        "2b",
        "scaled dot-product attention",
        PAGE,
        ATTENTION,
        (_attention_by_hand, _attention_in_general),
        "This is equation 1 of Vaswani et al. 2017. regard.attend(query, key, value) gives the same "
        "numbers, and regard.worked prints them step by step.",
    ),
)
