"""Keras's published numbers for `Attention` and `AdditiveAttention`, and every other score."""

from __future__ import annotations

import keras
import numpy as np
import pytest

import regard
from regard.errors import InputError, SettingsError, ShapeError
from regard.keras import AdditiveAttention, Attention, backend
from regard.keras.computing import attention_by_ops

QUERY = np.array([[[1.0, 0.0], [0.0, 1.0]]], np.float32)
KEY = np.array([[[0.0, 1.0], [1.0, 0.0]]], np.float32)
VALUE = np.array([[[1.0, 2.0], [3.0, 4.0]]], np.float32)
MODES = ["dot", "scaled_dot", "general", "cosine", "location", "additive", "concat"]


def test_against_keras_numbers(numpy):
    dot = [[[2.462, 3.462], [1.538, 2.538]]], [[[0.269, 0.731], [0.731, 0.269]]]
    tanh = [[[1.727, 2.727], [2.272, 3.272]]], [[[0.636, 0.363], [0.363, 0.636]]]
    for layer, (output, weights) in [
        (Attention(), dot),
        (Attention(score_mode="concat"), tanh),
        (AdditiveAttention(use_scale=False), tanh),
    ]:
        found, scores = layer([QUERY, VALUE, KEY], return_attention_scores=True)
        np.testing.assert_allclose(numpy(found), output, atol=1e-3)
        np.testing.assert_allclose(numpy(scores), weights, atol=1e-3)


@pytest.mark.parametrize("kind", [Attention, AdditiveAttention])
def test_against_keras_masks(kind, numpy):
    masks = [np.array([[True, False]]), np.array([[True, False]])]
    output, scores = kind()(
        [QUERY, np.ones((1, 2, 2), np.float32)], mask=masks, return_attention_scores=True
    )
    np.testing.assert_allclose(numpy(output), [[[1.0, 1.0], [0.0, 0.0]]])
    np.testing.assert_allclose(numpy(scores), [[[1.0, 0.0], [1.0, 0.0]]])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (Attention, keras.layers.Attention),
        (AdditiveAttention, keras.layers.AdditiveAttention),
    ],
)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("scaled", [False, True])
def test_against_keras_layer_and_its_gradients(
    ours, theirs, causal, scaled, numpy, random, gradients
):
    query, value, key = random(2, 3, 4), random(2, 5, 6, seed=1), random(2, 5, 4, seed=2)
    mask = [None, np.array([[True, True, False, True, True], [True, True, True, True, False]])]
    layers = [ours(use_scale=scaled), theirs(use_scale=scaled)]
    for layer in layers:
        layer.build([query.shape, value.shape, key.shape])
        if scaled:
            layer.scale.assign(np.full(layer.scale.shape, 0.7, np.float32))
    found, wanted = (
        layer([query, value, key], mask=mask, use_causal_mask=causal, return_attention_scores=True)
        for layer in layers
    )
    for mine, keras_own in zip(found, wanted, strict=True):
        np.testing.assert_allclose(numpy(mine), numpy(keras_own), atol=1e-5)
    upstream = random(2, 3, 6, seed=3)
    found_gradients, wanted_gradients = (
        gradients(
            lambda q, v, k, layer=layer: layer([q, v, k], mask=mask, use_causal_mask=causal),
            query,
            value,
            key,
            upstream=upstream,
        )
        for layer in layers
    )
    for mine, keras_own in zip(found_gradients, wanted_gradients, strict=True):
        np.testing.assert_allclose(mine, keras_own, atol=2e-5)


def test_difference_a_fully_masked_row_gives_zeros(numpy):
    masks = [None, np.array([[False, False]])]
    ours, scores = Attention()([QUERY, VALUE], mask=masks, return_attention_scores=True)
    theirs = keras.layers.Attention()([QUERY, VALUE], mask=masks)
    assert not numpy(ours).any()
    assert not numpy(scores).any()
    assert numpy(theirs).all()  # an average of what is masked


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_difference_a_masked_place_gets_no_weight_however_large_its_score(dtype, numpy):
    query = np.array([[[200.0, 0.0]]])
    value = np.array([[[-150.0, 1.0], [150.0, 1.0]]])  # Keras subtracts 65504, or 1e9, from a score
    output, scores = Attention(dtype=dtype)(
        [query, value], mask=[None, np.array([[True, False]])], return_attention_scores=True
    )
    np.testing.assert_array_equal(numpy(scores), [[[1.0, 0.0]]])
    np.testing.assert_array_equal(numpy(output), [[[-150.0, 1.0]]])


def test_difference_nan_in_the_padding_reaches_nothing(numpy, gradients):
    value = VALUE.copy()
    value[:, 1] = np.nan
    mask = [None, np.array([[True, False]])]
    np.testing.assert_array_equal(
        numpy(Attention()([QUERY, value], mask=mask))[0], VALUE[0, [0, 0]]
    )
    found = gradients(
        lambda q, v: Attention()([q, v], mask=mask), QUERY, value, upstream=np.ones_like(VALUE)
    )
    assert np.isfinite(found[0]).all()


def test_difference_the_mask_of_the_key_counts(numpy):
    masks = [None, None, np.array([[True, False]])]
    scores = Attention()([QUERY, VALUE, KEY], mask=masks, return_attention_scores=True)[1]
    np.testing.assert_array_equal(numpy(scores), [[[1.0, 0.0], [1.0, 0.0]]])


def test_difference_scores_are_those_before_dropout(numpy):
    layer = Attention(dropout=0.5, seed=0)
    outputs = [
        layer([QUERY, VALUE, KEY], training=True, return_attention_scores=True) for _ in range(8)
    ]
    for _, scores in outputs:
        np.testing.assert_allclose(numpy(scores).sum(-1), 1, atol=1e-6)
    assert len({numpy(output).tobytes() for output, _ in outputs}) > 1
    np.testing.assert_allclose(
        numpy(layer([QUERY, VALUE, KEY])), numpy(Attention()([QUERY, VALUE, KEY])), atol=1e-6
    )


def test_dropout_scales_what_is_kept_and_is_repeated_by_its_seed(numpy):
    value = np.ones((1, 2000, 1), np.float32)
    query = np.zeros((1, 4, 1), np.float32)
    first, second = (
        numpy(Attention(dropout=0.5, seed=7)([query, value], training=True)) for _ in range(2)
    )
    np.testing.assert_array_equal(first, second)
    np.testing.assert_allclose(first, 1, atol=0.15)


@pytest.mark.parametrize("mode", MODES)
def test_every_score_against_its_slow_twin(mode, numpy, random):
    query, value, key = random(2, 3, 4), random(2, 5, 6, seed=1), random(2, 5, 4, seed=2)
    layer = Attention(score_mode=mode, use_scale=mode in ("dot", "concat"))
    mask = np.array([[True, True, False, True, True], [False] * 5])
    output, scores = layer([query, value, key], mask=[None, mask], return_attention_scores=True)
    tensors = [keras.ops.convert_to_tensor(x) for x in (query, key, value)]
    score, projected_query, projected_key = layer.score(*tensors[:2])
    from regard.keras.allowed import Allowed

    wanted = attention_by_ops(
        projected_query,
        projected_key,
        tensors[2],
        score=score,
        allowed=Allowed(keys=keras.ops.convert_to_tensor(mask)),
    )
    np.testing.assert_allclose(numpy(output), numpy(wanted.output), atol=1e-5)
    np.testing.assert_allclose(numpy(scores), numpy(wanted.weights), atol=1e-5)
    assert (numpy(scores)[0, :, 2] == 0).all()
    assert not numpy(output)[1].any()


@pytest.mark.parametrize(
    "score",
    [
        regard.scores.Dot(),
        regard.scores.ScaledDot(0.3),
        regard.scores.Cosine(2.0),
        regard.scores.General(np.eye(4, dtype=np.float32) * 2),
        regard.scores.Location(np.ones((5, 4), np.float32)),
        regard.scores.Additive(np.ones(4, np.float32)),
        regard.scores.Concat(np.ones(3, np.float32), np.ones((8, 3), np.float32)),
        regard.scores.Capped(regard.scores.Additive(np.ones(4, np.float32)), 0.5),
    ],
    ids=lambda score: type(score).__name__,
)
def test_a_score_object_gives_what_attend_gives_and_survives_its_config(score, numpy, random):
    query, value = random(2, 3, 4), random(2, 5, 4, seed=1)
    wanted, weights = regard.attend(query, value, value, score=score)
    layer = Attention.from_config(Attention(score_mode=score).get_config())
    output, scores = layer([query, value], return_attention_scores=True)
    np.testing.assert_allclose(numpy(output), wanted, atol=1e-5)
    np.testing.assert_allclose(numpy(scores), weights.dense(), atol=1e-5)


def test_projections_of_additive_attention_take_any_widths(numpy, random):
    query, value = random(2, 3, 4), random(2, 5, 7, seed=1)
    layer = AdditiveAttention(units=6)
    scores = layer([query, value], return_attention_scores=True)[1]
    w, u, v = layer.get_weights()
    by_hand = np.tanh((query @ w)[:, :, None] + (value @ u)[:, None]) @ v
    by_hand = np.exp(by_hand) / np.exp(by_hand).sum(-1, keepdims=True)
    np.testing.assert_allclose(numpy(scores), by_hand, atol=1e-5)


def test_the_map_is_the_scores(numpy):
    output, scores, weights = Attention()(
        [QUERY, VALUE, KEY], return_attention_scores=True, return_attention_map=True
    )
    assert isinstance(weights, regard.AttentionMap)
    assert weights.shape == (1, 2, 2)
    np.testing.assert_allclose(numpy(weights.dense()), numpy(scores), atol=1e-6)
    np.testing.assert_allclose(numpy(scores) @ VALUE, numpy(output), atol=1e-6)


def test_four_axes_as_keras_takes_them(numpy, random):
    """Keras's own layer fails on them with torch before 3.15, so the truth is written out."""
    query = random(2, 3, 4, 5)
    output, weights = Attention()([query, query], return_attention_scores=True)
    plain = np.asarray(numpy(query), np.float64)
    raised = np.exp(plain @ plain.swapaxes(-1, -2))
    wanted = raised / raised.sum(-1, keepdims=True)
    np.testing.assert_allclose(numpy(weights), wanted, atol=1e-5)
    np.testing.assert_allclose(numpy(output), wanted @ plain, atol=1e-5)


def test_symbolic_tensors_give_shapes_and_no_map():
    query, value = keras.Input((3, 5)), keras.Input((4, 5))
    output, scores = Attention()([query, value], return_attention_scores=True)
    assert output.shape == (None, 3, 5)
    assert scores.shape == (None, 3, 4)
    with pytest.raises(InputError, match=r"a map is no tensor.*regard.keras.record"):
        Attention()([query, value], return_attention_map=True)


@pytest.mark.parametrize("policy", ["mixed_bfloat16", "mixed_float16", "float64"])
@pytest.mark.parametrize("kind", [Attention, AdditiveAttention])
def test_other_precisions(kind, policy, numpy, random):
    if backend.name() == "jax" and policy == "float64":
        pytest.skip("JAX has float64 only with jax_enable_x64")
    query, value = random(2, 3, 4), random(2, 5, 4, seed=1)
    half, single = kind(use_scale=True, dtype=policy), kind(use_scale=True)
    output, scores = half([query, value], return_attention_scores=True)
    single.build([query.shape, value.shape])
    single.set_weights(half.get_weights())
    expected = policy.removeprefix("mixed_")
    assert {keras.backend.standardize_dtype(x.dtype) for x in (output, scores)} == {expected}
    np.testing.assert_allclose(numpy(output), numpy(single([query, value])), atol=0.03)


def test_the_mask_of_an_embedding_is_passed_on(numpy):
    embedded = keras.layers.Embedding(9, 4, mask_zero=True)(np.array([[1, 2, 0]]))
    output, scores = Attention()([embedded, embedded], return_attention_scores=True)
    assert (numpy(scores)[..., 2] == 0).all()
    assert not numpy(output)[:, 2].any()
    np.testing.assert_array_equal(numpy(backend.mask_of(output)), [[True, True, False]])


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (QUERY, "must be called on a list"),
        ([QUERY] * 4, "length 2 or 3"),
        ([QUERY[:, 0], VALUE], r"query has shape \(1, 2\).*query\[:, None\]"),
        (
            [QUERY, VALUE, KEY[:, :1]],
            "value has 2 positions on axis 1 and key 1.*query, value, key",
        ),
        ([QUERY, np.ones((3, 2, 2)), KEY], "batch size 1 on axis 0 and value 3"),
        (
            [QUERY, np.ones((1, 2, 2)), np.ones((1, 2, 5))],
            "query has 2 features on axis 2 and key 5.*are value and key exchanged",
        ),
        ([QUERY, np.ones((1, 2, 5))], "try score_mode='general'"),
    ],
)
def test_errors_name_the_axis(inputs, message):
    with pytest.raises(InputError, match=message):
        Attention()(inputs)


def test_errors_of_masks_and_settings():
    with pytest.raises(InputError, match="layer mask must be a list"):
        Attention()([QUERY, VALUE], mask=np.ones((1, 2), bool))
    with pytest.raises(InputError, match="length 2 or 3"):
        Attention()([QUERY, VALUE], mask=[np.ones((1, 2), bool)])
    with pytest.raises(SettingsError, match=r"Invalid value for argument score_mode.*'dot'"):
        Attention(score_mode="dott")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="use_scale=True with score_mode='general'"):
        Attention(score_mode="general", use_scale=True)
    with pytest.raises(InputError, match=r"dropout is 1\.5"):
        Attention(dropout=1.5)
    with pytest.raises(InputError, match=r"AdditiveAttention\(units=64\)"):
        AdditiveAttention(64)  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match=r"'location'.*Input\(\(20, features\)\)"):
        Attention(score_mode="location")([keras.Input((3, 4)), keras.Input((None, 4))])


class Distance(regard.scores.Score):
    """A score of a user's own, over arrays."""

    def project(self, query, key):
        return query, key

    def pairwise(self, query, key):
        return -((query[..., :, None, :] - key[..., None, :, :]) ** 2).sum(-1)


def test_a_score_of_ones_own_needs_arrays(numpy, random):
    query = random(1, 3, 4)
    layer = Attention(score_mode=Distance())
    if backend.name() == "tensorflow":
        with pytest.raises(InputError, match="KERAS_BACKEND to torch or jax"):
            layer([query, query])
        return
    scores = layer([query, query], return_attention_scores=True)[1]
    wanted = regard.attend(query, query, query, score=Distance())[1].dense()
    np.testing.assert_allclose(numpy(scores), wanted, atol=1e-5)
    with pytest.raises(InputError, match="register_keras_serializable"):
        layer.get_config()
