"""Sums of biases: with arrays, numbers and each other, in every library, with gradients at every size."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard.attention.kernels import limits
from regard.attention.positions import ALiBi, Relative
from regard.errors import InputError, ShapeError


def alibi(heads: int, length: int) -> np.ndarray:
    slopes = ALiBi().slopes(heads)[:, None, None]
    return -slopes * abs(np.arange(length)[:, None] - np.arange(length))


def weights(bias: Any, make: Callable[[Any], Any]) -> np.ndarray:
    x = make(np.zeros((2, 4, 6, 8), np.float32))
    return np.asarray(regard.attend(x, x, x, bias=bias)[1].dense())


def softmax(scores: np.ndarray) -> np.ndarray:
    e = np.exp(scores - scores.max(-1, keepdims=True))
    return e / e.sum(-1, keepdims=True)


def test_a_bias_and_an_array_in_either_order(library: Callable[[Any], Any]) -> None:
    array = np.random.default_rng(0).normal(size=(6, 6)).astype(np.float32)
    expected = softmax(np.broadcast_to(alibi(4, 6) + array, (2, 4, 6, 6)))
    for bias in (ALiBi() + library(array), library(array) + ALiBi()):
        np.testing.assert_allclose(weights(bias, library), expected, atol=1e-6)


def test_sums_of_objects_numbers_and_lists_of_them(library: Callable[[Any], Any]) -> None:
    table = np.random.default_rng(0).normal(size=(4, 8)).astype(np.float32)
    relative = Relative(library(table))
    alone = np.log(weights(relative, library)) + alibi(4, 6)
    expected = softmax(alone)
    for bias in (ALiBi() + relative, relative + ALiBi() + 2, sum([ALiBi(), relative])):
        np.testing.assert_allclose(weights(bias, library), expected, atol=1e-6)


def test_minus_infinity_masks_whatever_is_added(library: Callable[[Any], Any]) -> None:
    masked, infinite = np.zeros((6, 6), np.float32), np.zeros((6, 6), np.float32)
    masked[:, 2:] = -math.inf
    infinite[:, 1], infinite[:, 3] = math.inf, math.inf
    found = weights(ALiBi() + library(masked) + library(infinite), library)
    np.testing.assert_array_equal(found, np.broadcast_to(np.arange(6) == 1, found.shape))


def test_every_part_is_checked() -> None:
    x = np.zeros((2, 4, 6, 8))
    with pytest.raises(ShapeError, match=r"bias has shape \(5, 6\); expected"):
        regard.attend(x, x, x, bias=ALiBi() + np.zeros((5, 6)))
    with pytest.raises(ShapeError, match="relative bias has a table"):
        regard.attend(x, x, x, bias=ALiBi() + Relative(np.zeros((3, 8))))
    with pytest.raises(InputError, match="bias holds bool"):
        ALiBi() + np.zeros((6, 6), bool)
    with pytest.raises(InputError, match="it is a mask: pass it as mask="):
        ALiBi() + regard.causal()  # type: ignore[operator]
    with pytest.raises(InputError, match="it is a bias: pass it as bias="):
        regard.causal() & ALiBi()
    with pytest.raises(InputError, match=r"bias is a list.*summed by \+"):
        regard.attend(x, x, x, bias=[ALiBi(), ALiBi()])
    with pytest.raises(InputError, match="bias is a str"):
        ALiBi() + "a"  # type: ignore[operator]


@pytest.mark.parametrize("length", [5, 400])
@pytest.mark.parametrize("watch", [(), ("entropy",)])
def test_gradients_of_the_parts_at_every_size(length: int, watch: tuple[str, ...]) -> None:
    torch.manual_seed(0)
    assert 2 * 5 * 5 < limits.FUSED_MIN_WEIGHTS < 2 * 400 * 400
    q, k, v = torch.randn(3, 1, 2, length, 8).unbind(0)
    table = torch.randn(2, 8, requires_grad=True)
    array = torch.randn(length, length, requires_grad=True)
    output, _ = regard.attend(q, k, v, bias=ALiBi() + Relative(table) + array, watch=watch)
    found = torch.autograd.grad(output.square().sum(), (table, array))
    relative = Relative(table.double())
    layout = regard.attend(q, k, v)[1]._source.layout
    added = relative.tile(layout, slice(0, length), slice(0, length)) + array.double()
    scores = q.double() @ k.double().mT / math.sqrt(8) + torch.from_numpy(alibi(2, length)) + added
    expected = torch.autograd.grad((scores.softmax(-1) @ v.double()).square().sum(), (table, array))
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-4, rtol=1e-4)
