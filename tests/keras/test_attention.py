"""Keras's published numbers for `Attention` and `AdditiveAttention`, and every other score by hand.

Runs on whichever backend `KERAS_BACKEND` names: torch in `make test`, all three in `make keras`.
"""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("keras")

import keras

import regard
from regard.keras import AdditiveAttention, Attention

QUERY = np.array([[[1.0, 0.0], [0.0, 1.0]]])
KEY = np.array([[[0.0, 1.0], [1.0, 0.0]]])
VALUE = np.array([[[1.0, 2.0], [3.0, 4.0]]])


def numpy(tensor):
    return np.asarray(keras.ops.convert_to_numpy(keras.ops.cast(tensor, "float32")))


def random(*shape, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)


# Keras's own numbers


@pytest.mark.parametrize(
    ("layer", "output", "weights"),
    [
        (Attention(), [[2.462, 3.462], [1.538, 2.538]], [[0.269, 0.731], [0.731, 0.269]]),
        (
            Attention(score_mode="concat"),
            [[1.727, 2.727], [2.272, 3.272]],
            [[0.636, 0.363], [0.363, 0.636]],
        ),
        (
            AdditiveAttention(use_scale=False),
            [[1.727, 2.727], [2.272, 3.272]],
            [[0.636, 0.363], [0.363, 0.636]],
        ),
    ],
    ids=["dot", "concat", "additive"],
)
def test_against_keras_numbers(layer, output, weights):
    found, scores = layer([QUERY, VALUE, KEY], return_attention_scores=True)
    np.testing.assert_allclose(numpy(found)[0], output, atol=1e-3)
    np.testing.assert_allclose(numpy(scores)[0], weights, atol=1e-3)


@pytest.mark.parametrize("layer", [Attention(), AdditiveAttention(use_scale=False)])
def test_against_keras_masks(layer):
    value = np.ones((1, 2, 2))
    masks = [np.array([[True, False]]), np.array([[True, False]])]
    output, scores = layer([QUERY, value], mask=masks, return_attention_scores=True)
    np.testing.assert_allclose(numpy(output)[0], [[1.0, 1.0], [0.0, 0.0]])
    np.testing.assert_allclose(numpy(scores)[0], [[1.0, 0.0], [1.0, 0.0]])


# Differences from Keras


def test_difference_a_fully_masked_row_gives_zeros():
    masks = [None, np.array([[False, False]])]
    output, scores = Attention()([QUERY, VALUE], mask=masks, return_attention_scores=True)
    assert not numpy(output).any()
    assert not numpy(scores).any()


def test_the_map_is_the_scores():
    _, scores, weights = Attention()(
        [QUERY, VALUE, KEY], return_attention_scores=True, return_attention_map=True
    )
    assert isinstance(weights, regard.AttentionMap)
    np.testing.assert_allclose(numpy(weights.dense()), numpy(scores), atol=1e-6)
