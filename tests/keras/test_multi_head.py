"""`MultiHeadAttention` and `GroupedQueryAttention` against Keras's own layers."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import regard
from regard.errors import InputError, ShapeError
from regard.keras import GroupedQueryAttention, MultiHeadAttention, backend


def pair(ours, theirs, *shapes):
    """Both layers with the same weights; biases are not zero."""
    for layer in (ours, theirs):
        layer.build(*shapes)
    rng = np.random.default_rng(5)
    weights = [rng.standard_normal(x.shape).astype(np.float32) / 2 for x in theirs.get_weights()]
    for layer in (ours, theirs):
        layer.set_weights(weights)
    return ours, theirs


HEADS = [
    (MultiHeadAttention, keras.layers.MultiHeadAttention, (2, 4)),
    (GroupedQueryAttention, keras.layers.GroupQueryAttention, (4, 4, 2)),
]


@pytest.mark.parametrize(("ours", "theirs", "sizes"), HEADS)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("masked", ["no", "mask", "heads"])
def test_against_keras_layer(ours, theirs, sizes, causal, masked, numpy, random):
    query, value = random(2, 5, 8), random(2, 5, 8, seed=1)
    ours, theirs = pair(ours(*sizes), theirs(*sizes), query.shape, value.shape)
    mask = np.tril(np.ones((5, 5), bool), 1)
    given = {"no": None, "mask": np.stack([mask, mask | mask.T]), "heads": mask[None, None]}[masked]
    for requested in (False, True):
        found, wanted = (
            layer(
                query,
                value,
                attention_mask=given,
                use_causal_mask=causal,
                return_attention_scores=requested,
            )
            for layer in (ours, theirs)
        )
        for mine, keras_own in zip(
            *((x if requested else (x,)) for x in (found, wanted)), strict=True
        ):
            np.testing.assert_allclose(numpy(mine), numpy(keras_own), atol=1e-5)


@pytest.mark.parametrize(("ours", "theirs", "sizes"), HEADS)
def test_against_keras_gradients(ours, theirs, sizes, random, gradients):
    query, value, key = (random(2, 4, 8, seed=seed) for seed in range(3))
    ours, theirs = pair(ours(*sizes), theirs(*sizes), query.shape, value.shape)
    found, wanted = (
        gradients(
            lambda q, v, k, layer=layer: layer(q, v, k, use_causal_mask=True),
            query,
            value,
            key,
            upstream=random(2, 4, 8, seed=9),
        )
        for layer in (ours, theirs)
    )
    for mine, keras_own in zip(found, wanted, strict=True):
        np.testing.assert_allclose(mine, keras_own, atol=5e-5)


@pytest.mark.parametrize("axes", [1, 2, (1, 2), -2])
def test_against_keras_attention_over_chosen_axes(axes, numpy, random):
    query = random(2, 3, 4, 6)
    arguments = {"num_heads": 2, "key_dim": 4, "attention_axes": axes}
    layers = pair(
        MultiHeadAttention(**arguments),
        keras.layers.MultiHeadAttention(**arguments),
        query.shape,
        query.shape,
    )
    lengths = [3, 4] if axes == (1, 2) else [3] if axes == 1 else [4]
    mask = np.random.default_rng(0).random((2, *lengths, *lengths)) < 0.7
    mask |= np.eye(int(np.prod(lengths)), dtype=bool).reshape(*lengths, *lengths)
    found, wanted = (
        layer(query, query, attention_mask=mask, return_attention_scores=True) for layer in layers
    )
    for mine, keras_own in zip(found, wanted, strict=True):
        np.testing.assert_allclose(numpy(mine), numpy(keras_own), atol=1e-5)


def test_masks_of_embeddings_are_joined_and_passed_on(numpy):
    query = keras.layers.Embedding(4, 8, mask_zero=True)(
        np.array([[1, 2, 3, 0, 0], [3, 3, 1, 1, 2]])
    )
    value = keras.layers.Embedding(6, 8, mask_zero=True)(np.array([[5, 4, 0], [3, 0, 0]]))
    output, scores = MultiHeadAttention(2, 2)(query, value, return_attention_scores=True)
    allowed = np.array([[[1, 1, 0]] * 3 + [[0, 0, 0]] * 2, [[1, 0, 0]] * 5], bool)
    np.testing.assert_array_equal(numpy(scores) > 0, np.stack([allowed] * 2, 1))
    np.testing.assert_array_equal(
        numpy(backend.mask_of(output)), [[True, True, True, False, False], [True] * 5]
    )


def test_difference_the_inputs_keep_their_masks(numpy):
    x = keras.layers.Embedding(4, 8, mask_zero=True)(np.array([[1, 2, 0]]))
    MultiHeadAttention(2, 2)(x, x)
    np.testing.assert_array_equal(numpy(backend.mask_of(x)), [[True, True, False]])
    keras.layers.MultiHeadAttention(2, 2)(x, x)
    assert backend.mask_of(x) is None


@pytest.mark.parametrize(("ours", "theirs", "sizes"), HEADS)
def test_difference_a_query_without_keys_gets_zeros_from_every_head(
    ours, theirs, sizes, numpy, random
):
    x = random(1, 3, 8)
    ours, theirs = pair(
        ours(*sizes, use_bias=False), theirs(*sizes, use_bias=False), x.shape, x.shape
    )
    nothing = np.zeros((1, 3, 3), bool)
    output, scores = ours(x, x, attention_mask=nothing, return_attention_scores=True)
    assert not numpy(output).any()
    assert not numpy(scores).any()
    # Keras averages the values, masked ones too; and zeros come out when the scores are asked for.
    assert numpy(theirs(x, x, attention_mask=nothing)).any()
    assert not numpy(ours(x, x, attention_mask=nothing)).any()


def test_difference_scores_of_cross_attention_have_the_shape_they_have():
    query, value = keras.Input((3, 8)), keras.Input((5, 8))
    scores = MultiHeadAttention(2, 4)(query, value, return_attention_scores=True)[1]
    assert scores.shape == (None, 2, 3, 5)


def test_sliding_window(numpy, random):
    if "sliding_window" not in keras.layers.MultiHeadAttention(2, 4).get_config():
        pytest.skip("this Keras has no sliding_window")
    x = random(1, 6, 8)
    layer = MultiHeadAttention(2, 4, sliding_window=3)
    for causal in (False, True):
        scores = layer(x, x, use_causal_mask=causal, return_attention_scores=True)[1]
        i, j = np.indices((6, 6))
        near = (abs(i - j) < 3) & ((j <= i) | (not causal))
        np.testing.assert_array_equal(numpy(scores)[0, 0] > 0, near)


def test_gate(numpy, random):
    if "use_gate" not in keras.layers.MultiHeadAttention(2, 4).get_config():
        pytest.skip("this Keras has no use_gate")
    x = random(2, 4, 8)
    layers = pair(
        MultiHeadAttention(2, 4, use_gate=True),
        keras.layers.MultiHeadAttention(2, 4, use_gate=True),
        x.shape,
        x.shape,
    )
    found, wanted = (numpy(layer(x, x)) for layer in layers)
    np.testing.assert_allclose(found, wanted, atol=1e-5)


@pytest.mark.parametrize(("ours", "theirs", "sizes"), HEADS)
def test_map_dropout_and_config(ours, theirs, sizes, numpy, random):
    x = random(2, 4, 8)
    layer = ours(*sizes, dropout=0.5, seed=3)
    output, scores, weights = layer(
        x, x, return_attention_scores=True, return_attention_map=True, training=True
    )
    assert isinstance(weights, regard.AttentionMap)
    np.testing.assert_allclose(numpy(weights.dense()), numpy(scores), atol=1e-6)
    np.testing.assert_allclose(numpy(scores).sum(-1), 1, atol=1e-6)  # before dropout
    assert np.abs(numpy(output) - numpy(layer(x, x))).max() > 1e-3
    assert ours.from_config(layer.get_config()).get_config() == layer.get_config()


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16"])
def test_mixed_precision(policy, numpy, random):
    x = random(2, 4, 8)
    half = MultiHeadAttention(2, 4, dtype=policy)
    output = half(x, x, use_causal_mask=True)
    assert keras.backend.standardize_dtype(output.dtype) == policy.removeprefix("mixed_")
    single = MultiHeadAttention(2, 4)
    single.build(x.shape, x.shape)
    single.set_weights(half.get_weights())
    np.testing.assert_allclose(numpy(output), numpy(single(x, x, use_causal_mask=True)), atol=0.03)


def test_errors_name_the_axis(random):
    layer = MultiHeadAttention(2, 4)
    with pytest.raises(ShapeError, match=r"query has shape \(2, 8\).*query\[:, None\]"):
        layer(random(2, 8), random(2, 3, 8))
    with pytest.raises(ShapeError, match=r"must be equal.*Keras's order is query, value, key"):
        MultiHeadAttention(2, 4)(random(2, 3, 8), random(2, 4, 8), random(2, 5, 8))
    with pytest.raises(ShapeError, match="batch size 2 on axis 0 and value 3"):
        MultiHeadAttention(2, 4)(random(2, 3, 8), random(3, 4, 8))
    x = random(1, 2, 3, 8)
    with pytest.raises(InputError, match="2 attention axes, which have no order"):
        MultiHeadAttention(2, 4, attention_axes=(1, 2))(x, x, use_causal_mask=True)
