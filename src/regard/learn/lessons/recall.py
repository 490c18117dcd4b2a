"""Lesson 1, why one vector is not enough: a weighted sum, and a look-up."""

from __future__ import annotations

import numpy as np

from regard.learn.answer import Answer, Wrong, check_close
from regard.learn.exercise import Exercise
from regard.learn.lessons.reference import draw

__all__ = ["EXERCISES"]

PAGE = "1-one-vector"

WEIGHTED_SUM = '''import numpy as np


def weighted_sum(weights, values):
    """The context vector: each value times its weight, summed.

    weights: array of shape (keys,)
    values: array of shape (keys, features)
    returns: array of shape (features,)
    """
    raise NotImplementedError  # your code here
'''

LOOK_UP = '''import numpy as np


def look_up(query, keys, values):
    """The value of the key that fits the query best; a key fits by its dot product with the query.

    query: array of shape (features,)
    keys: array of shape (keys, features)
    values: array of shape (keys, width)
    returns: array of shape (width,), one of the values
    """
    raise NotImplementedError  # your code here
'''


def _sum_by_hand(answer: Answer) -> None:
    """0.5 [2, 0] + 0.25 [0, 4] + 0.25 [4, 4] is [2, 2]."""
    weights, values = np.array([0.5, 0.25, 0.25]), np.array([[2.0, 0.0], [0.0, 4.0], [4.0, 4.0]])
    products = weights[:, None] * values
    mistakes = [
        (values.mean(0), "This is the plain mean of the values: the weights are not used."),
        (values.sum(0), "This is the plain sum of the values: the weights are not used."),
        (
            products.mean(0),
            "You average the weighted values, which divides by the number of keys. "
            "The weights sum to 1 already: sum, do not average.",
        ),
        (
            products,
            "These are the weighted values, one for each key. "
            "One vector is wanted: sum them over the keys, axis 0.",
        ),
        (
            products.sum(1),
            "You sum over the features, and one number for each key is left. "
            "Sum over the keys, axis 0, and one number for each feature is left.",
        ),
        (
            products.sum(),
            "You sum over keys and features both. Sum over the keys alone: axis 0.",
        ),
    ]
    got = answer.array("weighted_sum", weights, values)
    check_close(got, products.sum(0), what="the context vector", mistakes=mistakes)


def _sum_of_any_weights(answer: Answer) -> None:
    """The weights are taken as they are, and each belongs to its own value."""
    weights, values = np.array([2.0, 0.0, -1.0, 0.5]), draw(1, 4, 3)
    mistakes = [
        (
            (weights / weights.sum()) @ values,
            "You divide the weights by their sum. They are weights already; take them as they are.",
        ),
        (weights[::-1] @ values, "The weights are in reverse order."),
    ]
    got = answer.array("weighted_sum", weights, values)
    check_close(got, weights @ values, what="the context vector", mistakes=mistakes)


def _look_up_each(answer: Answer) -> None:
    """A query that fits one key gets the value of that key."""
    keys, values = np.eye(4) * 3.0, draw(2, 4, 2)
    for place in range(4):
        query = np.full(4, 0.5)
        query[place] = 1.0
        mistakes = [
            (place, "You return the number of the best key. Return its value: `values[number]`."),
            (keys[place], "You return the best key itself. Return its value: `values[number]`."),
            (
                values[int(np.argmin(keys @ query))],
                "You return the value of the key with the lowest score; the highest is wanted.",
            ),
            (values.mean(0), "This is the mean of all values, whatever the query."),
            (
                (keys @ query) @ values,
                "This is a sum weighted by the scores. "
                "Here one key is chosen (hard attention); the mixture comes in lesson 2.",
            ),
        ]
        got = answer.array("look_up", query, keys, values)
        check_close(got, values[place], what=f"the value of key {place}", mistakes=mistakes)


def _look_up_by_dot(answer: Answer) -> None:
    """The dot product decides: a long key wins over a nearer one."""
    query = np.array([1.0, 0.0])
    keys, values = np.array([[1.0, 0.0], [3.0, 3.0]]), np.array([[1.0], [2.0]])
    got = answer.array("look_up", query, keys, values, shape=(1,))
    if np.allclose(got, values[0]):
        raise Wrong(
            "You choose the key nearest to the query, by distance or angle: [1, 0] for the query "
            "[1, 0]. By the dot product [3, 3] fits better: 3 against 1."
        )
    check_close(got, values[1], what="the value of the key [3, 3]")


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "1",
        "a weighted sum",
        PAGE,
        WEIGHTED_SUM,
        (_sum_by_hand, _sum_of_any_weights),
        "A context vector has the size of one value, however many values there are; "
        "the weights say what is in it.",
    ),
    Exercise(
        "1b",
        "a look-up by dot products",
        PAGE,
        LOOK_UP,
        (_look_up_each, _look_up_by_dot),
        "This is hard attention. It has no gradient with respect to the scores, "
        "which is why the next lesson mixes.",
    ),
)
