"""Positions by hand and by their defining properties."""

import math

import numpy as np
import pytest
import torch

import regard
from regard import positions
from regard.errors import InputError, ShapeError


def test_sinusoidal_by_hand():
    found = positions.sinusoidal(3, 5)
    angle = 2 / 10_000 ** (2 / 5)
    np.testing.assert_allclose(
        found[2, :4], [math.sin(2), math.cos(2), math.sin(angle), math.cos(angle)], rtol=1e-6
    )
    assert found.shape == (3, 5)
    np.testing.assert_array_equal(found[0], [0, 1, 0, 1, 0])


def test_sinusoidal_shifts_are_rotations():
    """The dot product of two positions depends on their distance only."""
    p = positions.sinusoidal(40, 16).astype(float)
    products = p @ p.T
    for distance in (0, 1, 7):
        line = np.diagonal(products, distance)
        np.testing.assert_allclose(line, line[0], atol=1e-5)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_by_hand(interleaved, library):
    x = library(np.array([[[1.0, 0, 0, 0], [1, 0, 0, 0]]], np.float32))
    found = np.asarray(positions.rotary(x, interleaved=interleaved))
    np.testing.assert_allclose(found[0, 0], [1, 0, 0, 0])
    partner = 1 if interleaved else 2
    np.testing.assert_allclose(found[0, 1, [0, partner]], [math.cos(1), math.sin(1)], rtol=1e-6)


@pytest.mark.parametrize("interleaved", [False, True])
def test_rotary_scores_depend_on_distance_only(interleaved, library, rng):
    q, k = (library(rng.normal(size=(1, 2, 1, 8)).repeat(30, axis=2)) for _ in range(2))
    q, k = (
        positions.rotary(q, interleaved=interleaved),
        positions.rotary(k, interleaved=interleaved),
    )
    products = np.asarray(
        q @ np.asarray(k).swapaxes(-1, -2) if isinstance(q, np.ndarray) else q @ k.mT
    )
    for distance in (-9, 0, 4):
        line = np.diagonal(products, distance, 2, 3)
        np.testing.assert_allclose(line, line[..., :1] + 0 * line, rtol=1e-4, atol=1e-5)


def test_rotary_positions_are_those_of_a_cache(rng):
    x = torch.randn(2, 3, 9, 6)
    whole = positions.rotary(x)
    torch.testing.assert_close(positions.rotary(x[:, :, 5:], torch.arange(5, 9)), whole[:, :, 5:])
    own = positions.rotary(x, torch.stack((torch.arange(9), torch.arange(9) + 3))[:, None])
    torch.testing.assert_close(own[0], whole[0])
    with pytest.raises(ShapeError, match="rotary got 5 features; expected an even number"):
        positions.rotary(x[..., :5])


def dense_bias(bias, queries, keys, heads):
    zeros = np.zeros((1, heads, queries, 2), np.float32), np.zeros((1, heads, keys, 2), np.float32)
    _, weights = regard.attend(zeros[0], zeros[1], zeros[1], bias=bias)
    p = weights._source
    return np.asarray(bias.tile(p.layout, slice(0, queries), slice(0, keys)))[0]


def test_alibi_slopes_and_distances():
    np.testing.assert_allclose(positions.ALiBi().slopes(8), 2.0 ** -np.arange(1, 9))
    np.testing.assert_allclose(
        positions.ALiBi().slopes(12)[8:], 2.0 ** -np.array([0.5, 1.5, 2.5, 3.5])
    )
    found = dense_bias(positions.ALiBi(), 3, 5, 2)  # the last query sits at the last key
    away = abs(np.arange(5) - np.arange(2, 5)[:, None])
    np.testing.assert_allclose(found, -np.array([1 / 16, 1 / 256])[:, None, None] * away)


@pytest.mark.parametrize("bidirectional", [True, False])
def test_relative_buckets_are_those_of_t5(bidirectional, library):
    from transformers.models.t5.modeling_t5 import T5Attention

    relative = np.arange(-300, 301)
    expected = T5Attention._relative_position_bucket(
        torch.from_numpy(relative), bidirectional=bidirectional, num_buckets=32, max_distance=128
    )
    found = positions.relative_position_bucket(
        library(relative), buckets=32, bidirectional=bidirectional, max_distance=128
    )
    np.testing.assert_array_equal(np.asarray(found), expected)


def test_relative_looks_its_table_up(rng):
    table = rng.normal(size=(2, 8))
    found = dense_bias(positions.Relative(table), 4, 4, 2)
    # buckets of 8, both ways: 0, then 1 before, 5 ahead.
    np.testing.assert_allclose(np.diagonal(found, 0, 1, 2), table[:, [0] * 4])
    np.testing.assert_allclose(np.diagonal(found, -1, 1, 2), table[:, [1] * 3])
    np.testing.assert_allclose(np.diagonal(found, 1, 1, 2), table[:, [5] * 3])
    with pytest.raises(
        ShapeError, match=r"relative bias has a table of shape \(2, 8\); expected \(3"
    ):
        dense_bias(positions.Relative(table), 4, 4, 3)
    for refused in (
        positions.Relative(table[:, :3]),
        positions.Relative(table[:, :1], bidirectional=False),
        positions.Relative(table, max_distance=2),
    ):
        with pytest.raises(ShapeError, match="buckets, and max_distance beyond the"):
            dense_bias(refused, 4, 4, 2)


def test_gaussian_by_hand():
    found = dense_bias(positions.Gaussian(np.array([1.0, 3.5]), 4), 2, 5, 1)
    np.testing.assert_allclose(found[0, 0], -((np.arange(5) - 1) ** 2) / 8)
    np.testing.assert_allclose(found[0, 1], -((np.arange(5) - 3.5) ** 2) / 8)
    with pytest.raises(InputError, match="Gaussian got a width of 0"):
        positions.Gaussian(np.zeros(2), 0)
