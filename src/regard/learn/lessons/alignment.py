"""Lesson 3, alignment in translation: the additive score, and links read off a map."""

from __future__ import annotations

import numpy as np

from regard.learn.answer import Answer, Wrong, as_array, check_close, check_shape
from regard.learn.exercise import Exercise
from regard.learn.lessons.reference import draw, softmax

__all__ = ["EXERCISES"]

PAGE = "3-alignment"

ADDITIVE = '''import numpy as np
from scipy.special import softmax  # softmax(scores, axis=...)


def additive_attention(state, memory, W, U, v):
    """One step of a translator's decoder (Bahdanau, Cho and Bengio 2015).

    The score of source word j is  v . tanh(W state + U memory[j]);  the weights are their softmax,
    the context vector is the memory averaged by these weights.

    state: the decoder's, array of shape (s,)
    memory: the encoder's, one row for each source word, array of shape (words, m)
    W: array of shape (a, s)
    U: array of shape (a, m)
    v: array of shape (a,)
    returns: context of shape (m,), weights of shape (words,)
    """
    raise NotImplementedError  # your code here
    return context, weights
'''

ALIGN = '''import numpy as np


def align(weights):
    """The source word that each target word looked at most, as links (target, source), from 0.

    weights: array of shape (targets, sources); each row sums to 1
    returns: list of pairs of int, one for each target word, in their order
    """
    raise NotImplementedError  # your code here
'''


def _parts(words: int) -> tuple[np.ndarray, ...]:
    """State, memory, W, U, v; large enough for tanh to bend."""
    shapes = ((3,), (words, 4), (5, 3), (5, 4), (5,))
    state, memory, W, U, v = (draw(30 + i, *shape) * 1.5 for i, shape in enumerate(shapes))
    return state, memory, W, U, v


def _additive(answer: Answer, words: int) -> tuple[np.ndarray, np.ndarray]:
    result = answer.call("additive_attention", *_parts(words))
    if not isinstance(result, tuple | list) or len(result) != 2:
        raise Wrong("Return two things: `return context, weights`.")
    context, weights = as_array(result[0], "the context"), as_array(result[1], "the weights")
    if context.shape == (words,) and weights.shape == (4,):
        raise Wrong("You return weights, context. The other way round: `return context, weights`.")
    return context, weights


def _additive_weights(answer: Answer) -> None:
    """The weights of six source words: softmax of v . tanh(W state + U memory)."""
    state, memory, W, U, v = _parts(6)
    hidden = W @ state + memory @ U.T
    scores = np.tanh(hidden) @ v
    mistakes = [
        (scores, "These are the scores; the weights are their softmax."),
        (softmax(hidden @ v), "There is no tanh: without it the score is only a sum of two parts."),
        (softmax(np.tanh(hidden @ v)), "tanh comes before the product with v, not after it."),
        (
            softmax(np.tanh(memory @ U.T) @ v),
            "These weights do not depend on the state: it is not used, or tanh is taken of the two "
            "parts on their own, so that the state adds one number to all scores and changes no "
            "weight. Take tanh of the sum: tanh(W state + U memory[j]).",
        ),
        (
            softmax(np.tanh(hidden).sum(-1)),
            "v is not used: you sum the features where v weighs them.",
        ),
    ]
    _, weights = _additive(answer, 6)
    check_close(weights, softmax(scores), what="the weights", mistakes=mistakes)


def _additive_context(answer: Answer) -> None:
    """The context is the memory averaged by the weights."""
    state, memory, W, U, v = _parts(6)
    weights = softmax(np.tanh(W @ state + memory @ U.T) @ v)
    keys = memory @ U.T
    mistakes = [
        (
            weights[:, None] * memory,
            "These are the weighted rows of the memory; sum them over the words, axis 0.",
        ),
        (memory.mean(0), "This is the plain mean of the memory: the weights are not used."),
        (
            weights @ keys,
            "You average the projected keys (U memory). The values are the memory itself.",
        ),
        (
            memory[np.argmax(weights)],
            "You take the one best row (hard attention). The context is the mixture of all.",
        ),
    ]
    context, _ = _additive(answer, 6)
    check_close(context, weights @ memory, what="the context", mistakes=mistakes)
    state, memory, W, U, v = _parts(1)
    context, weights = _additive(answer, 1)
    check_shape(weights, (1,), what="the weights of one source word")
    check_close(context, memory[0], what="the context of one source word")


def _links(answer: Answer, weights: np.ndarray) -> list[tuple[int, int]]:
    """The learner's links; arrays and tuples are taken, too."""
    result = answer.call("align", weights)
    links = np.asarray(list(result) if isinstance(result, zip) else result)
    if links.shape == (len(weights),):
        raise Wrong(
            "Source words alone were returned; write pairs (target, source): [(0, 2), (1, 0), ...]"
        )
    if links.ndim != 2 or links.shape[1] != 2:
        raise Wrong("Return a list of pairs: [(0, 2), (1, 0), ...]")
    return [(int(target), int(source)) for target, source in links]


def _compare_links(answer: Answer, weights: np.ndarray) -> None:
    """Compare with the right links, then with those of misconceptions."""
    right = [(target, int(source)) for target, source in enumerate(weights.argmax(1))]
    by_source = [(source, int(target)) for source, target in enumerate(weights.argmax(0))]
    got = _links(answer, weights)
    if got == right:
        return
    if got == [(target + 1, source + 1) for target, source in right]:
        raise Wrong("You count words from 1; count from 0.")
    if got == [(source, target) for target, source in right]:
        raise Wrong("Your pairs are (source, target); write (target, source).")
    if got in (by_source, [(target, source) for source, target in by_source]):
        raise Wrong(
            "You choose a target word for each source word: the maximum ran over axis 0. Each "
            "target word (row) is written while the decoder looks at the source: take the maximum "
            "of each row, axis 1."
        )
    raise Wrong(f"The links of {weights.tolist()} are {got}; {right} was expected.")


def _links_by_hand(answer: Answer) -> None:
    """The old stone house, la vieille maison de pierre: five target words, four source words."""
    rows = [[8, 1, 1, 0], [1, 7, 1, 1], [0, 2, 1, 7], [1, 0, 5, 4], [0, 0, 9, 1]]
    _compare_links(answer, np.array(rows) / 10)


def _links_of_unequal_lengths(answer: Answer) -> None:
    """Every target word has one link; a source word may have several or none."""
    rows = [[0.1, 0.6, 0.3, 0.0], [0.2, 0.5, 0.2, 0.1], [0.3, 0.1, 0.2, 0.4]]
    _compare_links(answer, np.array(rows))


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "3",
        "one step of additive attention",
        PAGE,
        ADDITIVE,
        (_additive_weights, _additive_context),
        "This is equation 6 of Bahdanau, Cho and Bengio 2015 and the two lines around it. "
        "regard.scores.Additive and layers.BahdanauAttention compute it for a batch.",
    ),
    Exercise(
        "3b",
        "links from a map",
        PAGE,
        ALIGN,
        (_links_by_hand, _links_of_unequal_lengths),
        "A soft alignment became a hard one. How good it is, gold links say: the alignment error "
        "rate in `regard trust --links`.",
    ),
)
