"""Lesson 4, self-attention and heads: in NumPy, torch and Keras."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import numpy as np

from regard.learn.answer import Answer, Array, Wrong, check_close
from regard.learn.exercise import Exercise
from regard.learn.lessons.reference import attention, draw, softmax

__all__ = ["EXERCISES"]

PAGE = "4-self-attention"

SPLIT = '''import numpy as np


def split_heads(x, heads):
    """The features of every position, cut into equal slices, one for each head.

    Head h has the features h * d to (h + 1) * d - 1 of every position, where d = width / heads.

    x: array of shape (batch, length, width)
    returns: array of shape (batch, heads, length, width / heads)
    """
    raise NotImplementedError  # your code here
'''

MULTI_HEAD = '''import torch


def multi_head(x, W_q, W_k, W_v, W_o, heads):
    """Multi-head self-attention (Vaswani et al. 2017, section 3.2.2), without mask and dropout.

    Queries, keys and values are x @ W_q, x @ W_k, x @ W_v, cut into heads of width / heads features;
    each head attends on its own, scaled by the root of its own number of features; the results are
    laid side by side again and multiplied with W_o.

    x: tensor of shape (batch, length, width)
    W_q, W_k, W_v, W_o: tensors of shape (width, width)
    returns: tensor of shape (batch, length, width)
    """
    raise NotImplementedError  # your code here
'''

KERAS = '''import keras  # KERAS_BACKEND is "torch" unless you set it


def attend(query, key, value):
    """Scaled dot-product attention with Keras: keras.layers.Attention, or keras.ops.

    Mind what the layer is: the order of its inputs, and whether it divides by sqrt(d).

    query: tensor of shape (batch, queries, d)
    key: tensor of shape (batch, keys, d)
    value: tensor of shape (batch, keys, d)
    returns: tensor of shape (batch, queries, d)
    """
    raise NotImplementedError  # your code here
'''


def _split(x: Array, heads: int) -> Array:
    batch, length, width = x.shape
    return x.reshape(batch, length, heads, width // heads).transpose(0, 2, 1, 3)


def _join(x: Array) -> Array:
    batch, heads, length, features = x.shape
    return x.transpose(0, 2, 1, 3).reshape(batch, length, heads * features)


def _check_split(answer: Answer, x: Array, heads: int) -> None:
    batch, length, width = x.shape
    features = width // heads
    mistakes = [
        (
            x.reshape(batch, heads, length, features),
            "The shape is right and the numbers are mixed up: one `reshape` to (batch, heads, "
            "length, d) cuts along the length, so that a head gets some positions whole. First "
            "reshape to (batch, length, heads, d), then swap the two axes in the middle.",
        ),
        (
            x.reshape(batch, length, heads, features),
            "The axes are (batch, length, heads, d): swap the two in the middle. Otherwise the "
            "heads of a position attend to each other, not positions to positions.",
        ),
        (
            x.reshape(batch, length, features, heads).transpose(0, 3, 1, 2),
            "Head h has every heads-th feature. Cut contiguous slices: reshape to (batch, length, "
            "heads, d), with the heads before d.",
        ),
        (
            _split(x, heads).transpose(1, 0, 2, 3),
            "The heads come before the batch; (batch, heads, length, d) is wanted.",
        ),
    ]
    got = answer.array("split_heads", x, heads)
    check_close(got, _split(x, heads), what="split_heads", mistakes=mistakes)


def _split_two(answer: Answer) -> None:
    """Two heads of one short sentence."""
    _check_split(answer, np.arange(12.0).reshape(1, 3, 4), 2)


def _split_batch(answer: Answer) -> None:
    """Heads of a batch, also with as many heads as positions."""
    _check_split(answer, draw(40, 2, 4, 12), 3)
    _check_split(answer, draw(41, 3, 4, 8), 4)
    _check_split(answer, draw(42, 2, 5, 6), 1)


def _multi_head(x: Array, weights: list[Array], heads: int, scale: float | None = None) -> Array:
    """The right result, in NumPy."""
    query, key, value = (_split(x @ weight, heads) for weight in weights[:3])
    return np.asarray(_join(attention(query, key, value, scale)) @ weights[3])


def _call_multi_head(answer: Answer, seed: int, batch: int, length: int, heads: int) -> Any:
    """Inputs, and the learner's result."""
    import torch

    width = 4 * heads
    x, weights = draw(seed, batch, length, width), [draw(seed + i, width, width) for i in range(4)]
    weights = [weight / width**0.25 for weight in weights]
    tensors = [torch.from_numpy(each.copy()) for each in (x, *weights)]
    return x, weights, answer.array("multi_head", *tensors, heads)


def _multi_head_numbers(answer: Answer) -> None:
    """Two heads, numbers compared with a computation in NumPy."""
    heads, batch, length = 2, 2, 5
    x, weights, got = _call_multi_head(answer, 43, batch, length, heads)
    query, key, value = (_split(x @ weight, heads) for weight in weights[:3])
    width = x.shape[-1]
    context = attention(query, key, value)
    raw = [x @ weight for weight in weights[:3]]
    cut = [each.reshape(batch, heads, length, -1) for each in raw]
    over_heads = [each.reshape(batch, length, heads, -1) for each in raw]
    over_queries = softmax(query @ key.swapaxes(-1, -2) / 2, -2) @ value
    mistakes = [
        (
            _multi_head(x, weights, heads, width**-0.5),
            "You divide by the root of the whole width; each head has width / heads features: "
            "divide by the root of that.",
        ),
        (_multi_head(x, weights, heads, 1.0), "The scores are not scaled by 1 / sqrt(d)."),
        (
            _multi_head(x, weights, 1),
            "This is the result of a single head: the features were not cut into slices.",
        ),
        (_join(context), "W_o is missing: multiply the heads, laid side by side, with it."),
        (
            context.reshape(batch, length, width) @ weights[3],
            "The heads were not put back beside each other: swap heads and length again before "
            "you reshape to (batch, length, width).",
        ),
        (
            _join(attention(*cut)) @ weights[3],
            "`reshape` to (batch, heads, length, d) cut along the length. Reshape to (batch, "
            "length, heads, d), then swap the two axes in the middle.",
        ),
        (
            attention(*over_heads).reshape(batch, length, width) @ weights[3],
            "The heads of each position attend to each other: heads and length are swapped. "
            "Transpose to (batch, heads, length, d) before the scores.",
        ),
        (
            _join(over_queries) @ weights[3],
            "Your weights sum to 1 over the queries; softmax over the keys: dim=-1.",
        ),
    ]
    if got.shape == context.shape:
        raise Wrong(
            "The heads are still apart: the result has the shape (batch, heads, length, d). Swap heads "
            "and length, reshape to (batch, length, width), and multiply with W_o."
        )
    check_close(got, _multi_head(x, weights, heads), what="multi_head", mistakes=mistakes)


def _multi_head_sizes(answer: Answer) -> None:
    """Other numbers of heads, one head, and a single position."""
    for seed, batch, length, heads in ((50, 1, 3, 4), (60, 2, 4, 1), (70, 3, 1, 3)):
        x, weights, got = _call_multi_head(answer, seed, batch, length, heads)
        check_close(got, _multi_head(x, weights, heads), what=f"multi_head of {heads} heads")


def _keras_numbers(answer: Answer) -> None:
    """Numbers compared with a computation in NumPy."""
    keras = import_module("keras")  # may be absent where types are checked
    query, key, value = draw(80, 2, 3, 16), draw(81, 2, 5, 16), draw(82, 2, 5, 16)
    tensors = [keras.ops.convert_to_tensor(x.astype("float32")) for x in (query, key, value)]
    mistakes = [
        (
            attention(query, key, value, 1.0),
            "The scores are not scaled. `keras.layers.Attention` is Luong's dot product and does "
            "not divide by sqrt(d): divide the query by it first, or write it with keras.ops.",
        ),
        (
            attention(query, value, key),
            "Key and value are exchanged: the inputs of `keras.layers.Attention` are [query, "
            "value, key], in this order.",
        ),
        (
            attention(query, value, key, 1.0),
            "Key and value are exchanged, and the scores are not scaled: the inputs of "
            "`keras.layers.Attention` are [query, value, key], and it does not divide by sqrt(d).",
        ),
        (
            attention(query, value, value),
            "The values are taken for keys: `keras.layers.Attention` with two inputs, [query, "
            "value], has no other keys. Give all three: [query, value, key].",
        ),
        (
            softmax(query @ key.swapaxes(-1, -2) / 4, 1) @ value,
            "Your weights sum to 1 over the queries: softmax over the keys, axis=-1.",
        ),
    ]
    got = answer.array("attend", *tensors)
    check_close(got, attention(query, key, value), what="attend", mistakes=mistakes)


EXERCISES: tuple[Exercise, ...] = (
    Exercise(
        "4",
        "cutting features into heads",
        PAGE,
        SPLIT,
        (_split_two, _split_batch),
        "Reshape, then transpose. No shape check can see that heads and length were swapped, "
        "which is why the numbers were compared.",
    ),
    Exercise(
        "4b",
        "multi-head self-attention in PyTorch",
        PAGE,
        MULTI_HEAD,
        (_multi_head_numbers, _multi_head_sizes),
        "This is torch.nn.MultiheadAttention and regard.layers.MultiHeadAttention, without biases.",
        needs=("torch",),
    ),
    Exercise(
        "4c",
        "scaled dot-product attention in Keras",
        PAGE,
        KERAS,
        (_keras_numbers,),
        "keras.layers.Attention takes [query, value, key] and does not scale; now you have met both.",
        needs=("keras",),
    ),
)
