"""Lesson 7, does attention explain: leaving words out, entropy, comprehensiveness."""

from __future__ import annotations

import numpy as np

from regard.learn.answer import Answer, Wrong, check_close
from regard.learn.exercise import Exercise
from regard.learn.lessons.reference import softmax

__all__ = ["EXERCISES"]

PAGE = "7-explanation"

ENTROPY = '''import numpy as np


def entropy(weights):
    """How spread each row of weights is, in nats: -sum of w log w over the keys, where 0 log 0 = 0.

    weights: array of shape (..., queries, keys); each row sums to 1
    returns: array of shape (..., queries)
    """
    raise NotImplementedError  # your code here
'''

LEAVE_OUT = '''def leave_one_out(probability, tokens):
    """How much each word matters to an answer: the fall of its probability when the word is left out.

    A word that speaks for the answer has a positive number, one that speaks against it a negative.

    probability: function from a list of words to a number
    tokens: list of words; one may occur several times, and each occurrence is left out on its own
    returns: list of numbers, one for each word
    """
    raise NotImplementedError  # your code here
'''

COMPREHENSIVENESS = '''def comprehensiveness(probability, tokens, scores, count):
    """How far an explanation names what the answer depends on (DeYoung et al. 2020).

    The fall of the answer's probability when the words with the highest scores are left out, all
    together; the rest keeps its order.

    probability: function from a list of words to a number
    tokens: list of words
    scores: list of numbers, one for each word: the explanation, such as attention weights
    count: int, how many words are left out
    returns: number
    """
    raise NotImplementedError  # your code here
'''

_COUNTS = {"good": 2.0, "very": 0.7, "bad": -1.5}


def _probability(tokens: list[str]) -> float:
    """A small classifier: words add up, "not" turns what follows, and position counts a little."""
    total, sign = 0.0, 1.0
    for place, word in enumerate(list(tokens)):
        total += 0.01 * place + (0 if word == "not" else sign * _COUNTS.get(word, 0.1))
        sign = -sign if word == "not" else sign
    return float(1 / (1 + np.exp(-total)))


def _entropy_numbers(answer: Answer) -> None:
    """Equal weights on four keys have the entropy log 4 = 1.386; softmax rows lie below."""
    weights = np.stack([np.full(4, 0.25), softmax(np.array([0.0, 1.0, 2.0, 3.0]))])
    terms = weights * np.log(weights)
    mistakes = [
        (terms.sum(-1), "The sign is turned round: entropy is minus the sum, and never negative."),
        (
            -(weights * np.log2(weights)).sum(-1),
            "This is in bits: log2. In nats it is the natural logarithm, np.log.",
        ),
        (-terms.mean(-1), "You take the mean over the keys; entropy is the sum."),
        (-terms.sum(), "All rows are summed; each query has an entropy of its own: axis=-1."),
        (-terms.sum(0), "You sum over the queries, axis 0; sum over the keys: axis=-1."),
        (-np.log(weights).sum(-1), "The weights before the logarithm are missing: w log w."),
    ]
    got = answer.array("entropy", weights)
    check_close(got, -terms.sum(-1), what="entropy", mistakes=mistakes)


def _entropy_zeros(answer: Answer) -> None:
    """One key with all the weight has the entropy 0, not NaN."""
    weights = np.array([[[0.0, 1.0, 0.0], [0.5, 0.5, 0.0]]])
    with np.errstate(all="ignore"):
        got = answer.array("entropy", weights)
    if np.isnan(got).any():
        raise Wrong(
            "NaN for weights of 0: 0 * log(0) is 0 * -inf. The limit of w log w is 0; leave such "
            "keys out, for example with np.where or scipy.special.xlogy."
        )
    check_close(got, [[0.0, np.log(2)]], what="entropy", atol=1e-4)


def _fall(tokens: list[str], left_out: set[int]) -> float:
    return _probability(tokens) - _probability(
        [token for place, token in enumerate(tokens) if place not in left_out]
    )


def _leave_out_numbers(answer: Answer) -> None:
    """The fall of the probability, word by word."""
    tokens = ["a", "good", "film", "bad", "end"]
    right = [_fall(tokens, {place}) for place in range(len(tokens))]
    without = [_probability([*tokens[:i], *tokens[i + 1 :]]) for i in range(len(tokens))]
    alone = [_probability([token]) for token in tokens]
    mistakes = [
        (
            [-fall for fall in right],
            "The sign is turned round: the fall is the probability of the whole text minus that "
            "without the word, so a word that speaks for the answer is positive.",
        ),
        (
            without,
            "These are the probabilities without each word; subtract them from that of the whole.",
        ),
        (alone, "You keep one word and leave out the others; leave out one and keep the others."),
        (
            [abs(fall) for fall in right],
            "You take the absolute value; a word against the answer is to be negative.",
        ),
    ]
    got = answer.array("leave_one_out", _probability, tokens)
    check_close(got, right, what="leave_one_out", mistakes=mistakes)


def _leave_out_repeated(answer: Answer) -> None:
    """A word that occurs twice is left out once at a time."""
    tokens = ["good", "and", "not", "good"]
    right = [_fall(tokens, {place}) for place in range(len(tokens))]
    every = [_fall(tokens, {i for i, t in enumerate(tokens) if t == token}) for token in tokens]
    first = [_fall(tokens, {tokens.index(token)}) for token in tokens]
    mistakes = [
        (
            every,
            'Both "good" are left out at once. Leave out by position, not by word: '
            "tokens[:i] + tokens[i + 1:].",
        ),
        (
            first,
            'The first "good" is left out in place of the second (`remove` and `index` find the '
            "first). Leave out by position: tokens[:i] + tokens[i + 1:].",
        ),
    ]
    got = answer.array("leave_one_out", _probability, tokens)
    check_close(got, right, what="leave_one_out", mistakes=mistakes)


def _comprehensive_numbers(answer: Answer) -> None:
    """The fall without the words of the highest scores."""
    tokens = ["not", "a", "bad", "film", "very", "good"]
    scores = [0.30, 0.02, 0.25, 0.13, 0.10, 0.20]
    order = list(np.argsort(scores))
    for count in (1, 2, 3):
        top = {int(place) for place in order[-count:]}
        low = {int(place) for place in order[:count]}
        kept = [tokens[place] for place in sorted(top)]
        one_by_one = sum(_fall(tokens, {place}) for place in top)
        mistakes = [
            (
                _fall(tokens, low),
                "You leave out the words with the lowest scores; the highest are to be left out.",
            ),
            (
                _probability(tokens) - _probability(kept),
                "You keep the highest-scored words and leave out the others: that is sufficiency, "
                "where low is good.",
            ),
            (-_fall(tokens, top), "The sign is turned round: whole minus what is left."),
            (
                _probability([t for i, t in enumerate(tokens) if i not in top]),
                "This is the probability of what is left; subtract it from that of the whole.",
            ),
            (
                one_by_one if count > 1 else np.nan,
                "You leave the words out one at a time and add up; leave them out all together.",
            ),
            (
                _fall(tokens, set(range(count))),
                "You leave out the first words of the text; the scores decide which.",
            ),
        ]
        got = answer.array("comprehensiveness", _probability, tokens, scores, count, shape=())
        check_close(got, _fall(tokens, top), what="comprehensiveness", mistakes=mistakes)


def _comprehensive_ends(answer: Answer) -> None:
    """Nothing left out is no fall; equal words are told apart by position."""
    tokens, scores = ["good", "good", "film"], [0.1, 0.7, 0.2]
    got = answer.array("comprehensiveness", _probability, tokens, scores, 0, shape=())
    mistakes = [
        (
            _fall(tokens, {0, 1, 2}),
            "With count = 0 everything is left out: a slice [-0:] is the whole list.",
        )
    ]
    check_close(got, 0.0, what="comprehensiveness with count = 0", mistakes=mistakes)
    got = answer.array("comprehensiveness", _probability, tokens, scores, 1, shape=())
    both = _fall(tokens, {0, 1})
    mistakes = [(both, 'Both "good" are left out; leave out by position, not by word.')]
    check_close(got, _fall(tokens, {1}), what="comprehensiveness", mistakes=mistakes, atol=1e-7)


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "7",
        "leaving out one word at a time",
        PAGE,
        LEAVE_OUT,
        (_leave_out_numbers, _leave_out_repeated),
        "This is what attention is compared with when people ask whether it explains: what the "
        "answer depends on, found by changing the input.",
    ),
    Exercise(
        "7b",
        "entropy of attention",
        PAGE,
        ENTROPY,
        (_entropy_numbers, _entropy_zeros),
        "weights.entropy() gives it for any map, without the matrix. Low entropy says that a head "
        "looks at few keys, and nothing about whether they matter.",
    ),
    Exercise(
        "7c",
        "comprehensiveness",
        PAGE,
        COMPREHENSIVENESS,
        (_comprehensive_numbers, _comprehensive_ends),
        "`regard trust` measures it on your model and texts, beside random words, and puts the "
        "result in a sentence.",
    ),
)
