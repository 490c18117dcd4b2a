"""Lesson 6: the Transformer block, BERT and GPT shapes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from regard.learn.answer import Answer, Array, Wrong, check_close
from regard.learn.exercise import Exercise
from regard.learn.lessons.reference import draw

__all__ = ["EXERCISES"]

PAGE = "6-block"

NORM = '''import numpy as np


def layer_norm(x, gain, bias, eps=1e-5):
    """Layer normalisation (Ba, Kiros and Hinton 2016): the features of each position get mean 0 and
    variance 1, then a gain and a bias that are learned.

        (x - mean) / sqrt(variance + eps) * gain + bias

    The variance is the mean of the squared deviations (divided by width, not by width - 1).

    x: array of shape (batch, length, width)
    gain, bias: arrays of shape (width,)
    returns: array of the shape of x
    """
    raise NotImplementedError  # your code here
'''

BLOCK = '''import torch


def block(x, norm1, attention, norm2, feedforward):
    """A Transformer block with the norms first, as in GPT-2 (Radford et al. 2019).

    Two parts, each added to what came in (the residual connection): attention of the normed input,
    then feed-forward of the normed result.

    x: tensor of shape (batch, length, width)
    norm1, attention, norm2, feedforward: functions (modules) from such a tensor to one
    returns: tensor of the shape of x
    """
    raise NotImplementedError  # your code here
'''

COUNT = '''def parameters(width, feedforward, heads):
    """How many numbers one block learns.

    It has four projections (query, key, value, output) from width to width, a feed-forward network
    from width to feedforward and back to width, all six with biases, and two layer norms, each with
    a gain and a bias for every feature.

    width, feedforward, heads: int
    returns: int
    """
    raise NotImplementedError  # your code here
'''


def _norm(x: Array, gain: Array, bias: Array, eps: float, axis: Any = -1, ddof: int = 0) -> Array:
    deviation = np.sqrt(x.var(axis, keepdims=True, ddof=ddof) + eps)
    return np.asarray((x - x.mean(axis, keepdims=True)) / deviation * gain + bias)


def _norm_numbers(answer: Answer) -> None:
    """The features of each position are normalised, then scaled and shifted."""
    x, gain, bias, eps = draw(100, 2, 3, 5) * 3 + 2, draw(101, 5), draw(102, 5), 1e-5
    one, zero = np.ones(5), np.zeros(5)
    mistakes = [
        (
            _norm(x, gain, bias, eps, 0),
            "You normalise over the batch (axis 0): that is batch normalisation, and the answer of "
            "a sentence would depend on its neighbours. Use axis=-1.",
        ),
        (
            _norm(x, gain, bias, eps, 1),
            "You normalise over the positions (axis 1); normalise over the features: axis=-1.",
        ),
        (
            _norm(x, gain, bias, eps, None),
            "One mean and one variance for the whole array: give axis=-1, keepdims=True.",
        ),
        (
            _norm(x, gain, bias, eps, (1, 2)),
            "One mean for each sentence; each position has its own: axis=-1.",
        ),
        (_norm(x, one, zero, eps), "Gain and bias are not used."),
        (_norm(x, gain, zero, eps), "The bias is not added."),
        (_norm(x, one, bias, eps), "The gain is not used."),
        (
            _norm(x, gain, bias, eps, -1, 1),
            "The variance is divided by width - 1 (ddof=1, the default of torch.std). Layer "
            "normalisation divides by width.",
        ),
        (
            (x - x.mean(-1, keepdims=True)) / (x.var(-1, keepdims=True) + eps) * gain + bias,
            "You divide by the variance; divide by its square root.",
        ),
        (
            (x - x.mean(-1, keepdims=True)) * gain + bias,
            "You subtract the mean and do not divide by the standard deviation.",
        ),
    ]
    got = answer.array("layer_norm", x, gain, bias, eps)
    check_close(got, _norm(x, gain, bias, eps), what="layer_norm", mistakes=mistakes)


def _norm_constant(answer: Answer) -> None:
    """A position whose features are equal gives the bias, not NaN: eps is under the root."""
    x, gain, bias = np.full((1, 1, 4), 7.0), np.full(4, 2.0), np.array([1.0, 2.0, 3.0, 4.0])
    with np.errstate(all="ignore"):
        got = answer.array("layer_norm", x, gain, bias, 1e-5)
    if np.isnan(got).any():
        raise Wrong("NaN where all features are equal: the variance is 0. Add eps under the root.")
    check_close(got, bias[None, None], what="layer_norm of equal features")
    x = np.array([[[1.0, -1.0, 1.0, -1.0]]])
    mistakes = [(x / (1 + 3) * gain + bias, "eps belongs under the root: sqrt(variance + eps).")]
    got = answer.array("layer_norm", x, gain, bias, 3.0)
    check_close(got, x / 2 * gain + bias, what="layer_norm with eps = 3", mistakes=mistakes)


def _block_numbers(answer: Answer) -> None:
    """Norms first, and both residual connections."""
    import torch

    def part(name: str, function: Callable[[Array], Array]) -> Callable[[Any], Any]:
        def module(x: Any) -> Any:
            return torch.from_numpy(function(x.detach().numpy()))

        module.__name__ = name
        return module

    n1, att, n2, ff = _functions()
    x = draw(110, 2, 3, 4)
    names = ("norm1", "attention", "norm2", "feedforward")
    modules = [part(n, f) for n, f in zip(names, (n1, att, n2, ff), strict=True)]
    got = answer.array("block", torch.from_numpy(x.copy()), *modules)
    half = x + att(n1(x))
    first = n1(x)
    mistakes = [
        (
            n2(n1(x + att(x)) + ff(n1(x + att(x)))),
            "The norms come after the additions: that is the block of Vaswani et al. 2017 and BERT "
            "(post-norm). Here each part gets the normed input, and the sum is not normed.",
        ),
        (
            ff(n2(att(n1(x)))),
            "There is no residual connection: add what came in to the result of each part.",
        ),
        (
            half + ff(half),
            "The feed-forward network gets its input without norm2.",
        ),
        (
            x + att(x) + ff(n2(x + att(x))),
            "Attention gets its input without norm1.",
        ),
        (
            first + att(first) + ff(n2(first + att(first))),
            "You add the attention to the normed input. The residual connection goes around the "
            "norm as well: x + attention(norm1(x)).",
        ),
        (
            n2(half) + ff(n2(half)),
            "You add the feed-forward network to the normed result. The residual connection goes "
            "around the norm as well.",
        ),
        (
            x + ff(n2(half)),
            "The second residual connection adds the block's input again, and what attention gave "
            "is lost but for the feed-forward network. Add to the sum after attention.",
        ),
        (half, "The feed-forward part is missing."),
        (x + ff(n2(x)), "The attention part is missing."),
        (
            half + ff(n1(half)),
            "You use norm1 twice; the second part has a norm of its own, norm2.",
        ),
        (x + att(n1(x)) + ff(n2(x)), "Both parts get the block's input; the second gets the sum."),
    ]
    check_close(got, half + ff(n2(half)), what="block", mistakes=mistakes)


def _functions() -> tuple[Callable[[Array], Array], ...]:
    """Functions that can be told apart, in place of a block's modules."""
    return (
        lambda x: x - x.mean(-1, keepdims=True),
        lambda x: np.tanh(x.cumsum(1)) * 2,
        lambda x: 0.5 * x - 1,
        lambda x: x**2 + 1,
    )


def _count_base(answer: Answer) -> None:
    """BERT-base: width 768, feed-forward 3072, 12 heads: 7,087,872."""
    width, feedforward, heads = 768, 3072, 12
    projections, network, norms = width * width + width, 2 * width * feedforward, 4 * width
    network += width + feedforward
    right = 4 * projections + network + norms
    mistakes = [
        (
            right + (heads - 1) * 4 * projections,
            "You count the projections once for each head. The heads share the width: each has "
            "768 / 12 features, and all together one matrix of 768 x 768.",
        ),
        (
            right + (heads - 1) * 3 * projections,
            "You count query, key and value once for each head. The heads share the width.",
        ),
        (right - projections, "One projection is missing: query, key, value and output are four."),
        (right - norms, "The layer norms are missing: two, each with a gain and a bias."),
        (right - norms // 2, "There are two layer norms, each with a gain and a bias."),
        (
            4 * width**2 + 2 * width * feedforward + norms,
            "The biases are missing: one for every output of each of the six linear layers.",
        ),
        (
            4 * width**2 + 2 * width * feedforward,
            "Biases and layer norms are missing.",
        ),
        (
            right - width * feedforward - width,
            "The way back, from feedforward to width, is missing.",
        ),
        (
            right + feedforward - width,
            "The bias of the way back has one number for each of its outputs: width, not feedforward.",
        ),
        (12 * right, "This is twelve blocks; one is wanted."),
    ]
    got = answer.array("parameters", width, feedforward, heads)
    check_close(got, right, what="parameters(768, 3072, 12)", mistakes=mistakes, atol=0.5)
    if got != right:
        raise Wrong(f"parameters(768, 3072, 12) is {got}; {right} was expected.")


def _count_others(answer: Answer) -> None:
    """Other widths, and a number of heads that changes nothing."""
    for width, feedforward, heads in ((8, 20, 1), (8, 20, 4), (1024, 4096, 16)):
        right = 4 * (width**2 + width) + 2 * width * feedforward + feedforward + width + 4 * width
        got = answer.array("parameters", width, feedforward, heads, shape=())
        if got != right:
            raise Wrong(
                f"parameters({width}, {feedforward}, {heads}) is {got}; {right} was expected."
            )


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "6",
        "a Transformer block in PyTorch",
        PAGE,
        BLOCK,
        (_block_numbers,),
        "The residual connection is a straight way from the first layer to the last, for numbers "
        "and for gradients; every block only adds to it.",
        needs=("torch",),
    ),
    Exercise(
        "6b",
        "layer normalisation",
        PAGE,
        NORM,
        (_norm_numbers, _norm_constant),
        "Unlike batch normalisation it looks at one position only, so a sentence's answer does not "
        "depend on its batch.",
    ),
    Exercise(
        "6c",
        "how many numbers a block learns",
        PAGE,
        COUNT,
        (_count_base, _count_others),
        "Twelve of them are 85,054,464 of the 109,482,240 of BERT-base; "
        "two thirds of a block are its feed-forward network.",
    ),
)
