"""`attend` against the float64 reference, in every library, with every part."""

import math
import re

import numpy as np
import pytest
import torch

import regard
from regard import normalizers, scores
from regard.attention.masks import local
from regard.errors import InputError, SettingsError, ShapeError

CLASSIC = (
    np.array([[1.0, 0, 1]]),
    np.array([[1.0, 0, 0], [0, 1, 0], [1, 0, 1]]),
    np.array([[1.0, 2], [3, 4], [5, 6]]),
)


def arrays(rng, lead=(2, 6), key_lead=(2, 3), queries=7, keys=11, d=5, dv=3):
    shapes = (*lead, queries, d), (*key_lead, keys, d), (*key_lead, keys, dv)
    return [rng.normal(size=s).astype(np.float32) for s in shapes]


def test_the_classic_example(library):
    query, key, value = (library(x) for x in CLASSIC)
    output, weights = regard.attend(query, key, value, score=scores.Dot())
    e = np.exp([1.0, 0.0, 2.0])
    np.testing.assert_allclose(np.asarray(weights.dense())[0], e / e.sum(), rtol=1e-6)
    np.testing.assert_allclose(np.asarray(output)[0], [3.84102497, 4.84102497], rtol=1e-7)


def learned(which, library, rng, d=5):
    """A score of this name, with its parameters, and its formula for one query and one key."""
    w = [rng.normal(size=s).astype(np.float32) for s in ((d, d), (d, 4), (d, 4), (4,))]
    W, U, K, v = (x.astype(float) for x in w)
    a = [library(x) for x in w]
    unit = lambda x: x / np.linalg.norm(x)  # noqa: E731
    return {
        "Dot": (scores.Dot(), lambda q, k: q @ k),
        "ScaledDot": (scores.ScaledDot(), lambda q, k: q @ k / math.sqrt(d)),
        "General": (scores.General(a[0]), lambda q, k: q @ W @ k),
        "Additive": (scores.Additive(a[3], a[1], a[2]), lambda q, k: v @ np.tanh(q @ U + k @ K)),
        "Concat": (
            scores.Concat(a[3], library(np.concatenate((w[1], w[2])))),
            lambda q, k: v @ np.tanh(np.concatenate((q, k)) @ np.concatenate((U, K))),
        ),
        "Cosine": (scores.Cosine(3.0), lambda q, k: 3 * unit(q) @ unit(k)),
    }[which]


@pytest.mark.parametrize("normalizer", ["Softmax", "Sparsemax", "Entmax15", "Sigmoid", "Hard"])
@pytest.mark.parametrize("score", ["Dot", "ScaledDot", "General", "Additive", "Concat", "Cosine"])
def test_every_score_with_every_normaliser(score, normalizer, library, reference, rows, rng):
    q, k, v = arrays(rng)
    which, one = learned(score, library, rng)
    mask = rng.random((2, 1, 7, 11)) < 0.7
    mask[0, 0, 2] = False
    bias = rng.normal(size=(6, 7, 11)).astype(np.float32)
    output, weights = regard.attend(
        *(library(x) for x in (q, k, v)),
        score=which,
        normalizer=getattr(normalizers, normalizer)(),
        mask=library(mask),
        bias=library(bias),
    )
    expected = reference(q, k, v, one=one, row=rows[normalizer], allowed=mask, bias=bias)
    np.testing.assert_allclose(np.asarray(output), expected.output, atol=2e-6)
    np.testing.assert_allclose(np.asarray(weights.dense()), expected.weights, atol=2e-6)
    assert not np.asarray(output)[0, :, 2].any()


def test_location_depends_on_the_query_and_the_position(library, rng):
    q, k, v = arrays(rng, lead=(2,), key_lead=(2,))
    w = rng.normal(size=(20, 5)).astype(np.float32)
    _, weights = regard.attend(*(library(x) for x in (q, k, v)), score=scores.Location(library(w)))
    logits = np.einsum("bld,sd->bls", q, w[:11]).astype(float)
    expected = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
    np.testing.assert_allclose(np.asarray(weights.dense()), expected, atol=1e-6)


@pytest.mark.parametrize(
    ("length", "which"),
    [(61, "numpy"), (61, "torch"), (61, "jax"), (2039, "numpy"), (2039, "torch")],
)
def test_float32_is_within_two_millionths(length, which, libraries, reference, rng):
    library = libraries[which]
    q, k, v = arrays(rng, (1, 1), (1, 1), length, length, 16, 16)
    output, weights = regard.attend(*(library(x) for x in (q, k, v)), mask=regard.causal())
    expected = reference(q, k, v, allowed=np.tri(length, dtype=bool))
    found = {
        "output": (output, expected.output),
        "entropy": (weights.entropy(), expected.entropy()),
        "received": (weights.received() / length, expected.received() / length),
        "topk": (weights.topk(5).values, expected.topk(5)),
        "distance": (weights.distance() / length, expected.distance() / length),
        "rows": (weights[..., 3:9, :], expected.weights[..., 3:9, :]),
    }
    for name, (ours, theirs) in found.items():
        np.testing.assert_allclose(np.asarray(ours), theirs, atol=2e-6, rtol=0, err_msg=name)


def test_bfloat16_is_as_good_as_bfloat16_allows(rng):
    q, k, v = (torch.from_numpy(x) for x in arrays(rng, queries=67, keys=131, d=16, dv=16))
    small = [x.bfloat16() for x in (q, k, v)]
    exact, _ = regard.attend(*(x.double() for x in small))
    output, weights = regard.attend(*small)
    keys, values = (x.repeat_interleave(2, 1) for x in small[1:])
    dense = torch.softmax(small[0] @ keys.mT / 4, -1) @ values
    assert output.dtype == torch.bfloat16
    assert weights.entropy().dtype == weights.dtype == torch.float32
    assert (output - exact).abs().max() <= 2 * (dense - exact).abs().max()


def test_two_and_three_axes_are_one_head(library, rng, reference):
    q, k, v = arrays(rng, (2, 1), (2, 1))
    expected = reference(q, k, v)
    output, weights = regard.attend(*(library(x[:, 0]) for x in (q, k, v)))
    assert weights.shape == (2, 7, 11)
    np.testing.assert_allclose(np.asarray(output), expected.output[:, 0], atol=1e-6)
    output, weights = regard.attend(*(library(x[1, 0]) for x in (q, k, v)))
    assert weights.shape == (7, 11)
    np.testing.assert_allclose(np.asarray(output), expected.output[1, 0], atol=1e-6)


def test_one_batch_is_shared(library, rng, reference):
    q, k, v = arrays(rng, (1, 6), (2, 3))
    output, _ = regard.attend(*(library(x) for x in (q, k, v)), mask=regard.padding([11, 4]))
    lengths = np.arange(11) < np.array([11, 4])[:, None, None, None]
    expected = reference(np.repeat(q, 2, axis=0), k, v, allowed=lengths)
    np.testing.assert_allclose(np.asarray(output), expected.output, atol=1e-6)


def test_local_attention(library, rng, reference):
    q, k, v = arrays(rng, (2, 1), (2, 1))
    centres = (rng.random((2, 7)) * 10).astype(np.float32)
    output, _ = regard.attend(
        *(library(x[:, 0]) for x in (q, k, v)),
        mask=local(library(centres), 3),
        bias=regard.positions.Gaussian(library(centres), 3),
    )
    away = np.arange(11) - centres[:, None, :, None].astype(float)
    expected = reference(q, k, v, allowed=abs(away) <= 3, bias=-(away**2) / (2 * 1.5**2))
    np.testing.assert_allclose(np.asarray(output), expected.output[:, 0], atol=2e-6)


def test_dropout_applies_to_the_output_and_not_to_the_map(libraries, rng):
    q, k, v = arrays(rng, (2, 2), (2, 2), 50, 60)
    outputs = []
    for make in libraries.values():
        q_, k_, v_ = (make(x) for x in (q, k, v))
        plain, weights = regard.attend(q_, k_, v_)
        output, same = regard.attend(q_, k_, v_, dropout=0.6, seed=11)
        np.testing.assert_array_equal(np.asarray(weights.dense()), np.asarray(same.dense()))
        np.testing.assert_allclose(np.asarray(same @ v_), np.asarray(plain), atol=2e-6)
        outputs.append(np.asarray(output))
    np.testing.assert_allclose(outputs[0], outputs[1], atol=2e-6)
    np.testing.assert_allclose(outputs[0], outputs[2], atol=2e-6)
    # On average over seeds nothing is lost.
    mean = np.mean([regard.attend(q, k, v, dropout=0.6, seed=s)[0] for s in range(300)], axis=0)
    plain, _ = regard.attend(q, k, v)
    assert abs(mean - plain).mean() < 0.03
    assert abs(outputs[0] - plain).mean() > 0.1


def test_several_tiles_against_one(monkeypatch, rng):
    q, k, v = arrays(rng)
    mask, hard = regard.causal() | regard.padding([2, 3]), normalizers.GumbelHard(seed=3)
    whole, weights = regard.attend(q, k, v, normalizer=hard, dropout=0.3, mask=mask)
    dense = weights.dense()
    monkeypatch.setattr(
        "regard.attention.problem.split_rows",
        lambda rows, _: [slice(i, min(rows, i + 2)) for i in range(0, rows, 2)],
    )
    parts, weights = regard.attend(q, k, v, normalizer=hard, dropout=0.3, mask=mask)
    np.testing.assert_allclose(parts, whole, rtol=1e-6)
    np.testing.assert_array_equal(weights.dense(), dense)


def test_infinite_bias_takes_all_or_nothing(library, rng):
    q, k, v = arrays(rng, (), ())
    bias = np.zeros((7, 11), np.float32)
    bias[0, 3] = bias[1, 3] = bias[1, 5] = math.inf
    bias[2, :10] = bias[3] = -math.inf
    output, weights = regard.attend(*(library(x) for x in (q, k, v)), bias=library(bias))
    dense, output = np.asarray(weights.dense()), np.asarray(output)
    np.testing.assert_allclose(output[0], v[3], rtol=1e-6)
    np.testing.assert_allclose(output[1], (v[3] + v[5]) / 2, rtol=1e-5)
    np.testing.assert_allclose(output[2], v[10], rtol=1e-6)
    assert not output[3].any()
    assert not dense[3].any()
    assert np.isfinite(dense).all()


def test_jax_traces_and_differentiates():
    import jax
    import jax.numpy as jnp

    rng = np.random.default_rng(0)
    q, k, v = (jnp.asarray(x) for x in arrays(rng))

    def loss(q, k, v):
        output, weights = regard.attend(q, k, v, mask=regard.causal(), dropout=0.2)
        return (output**2).sum() + weights.entropy().sum()

    value = jax.jit(loss)(q, k, v)
    np.testing.assert_allclose(value, loss(q, k, v), rtol=1e-5)
    found = jax.jit(jax.grad(loss, argnums=(0, 1, 2)))(q, k, v)
    tensors = [torch.tensor(np.asarray(x), requires_grad=True) for x in (q, k, v)]
    output, weights = regard.attend(*tensors, mask=regard.causal(), dropout=0.2)
    ((output**2).sum() + weights.entropy().sum()).backward()
    for ours, theirs in zip(found, tensors, strict=True):
        assert theirs.grad is not None
        np.testing.assert_allclose(np.asarray(ours), theirs.grad.numpy(), atol=3e-5)


def test_non_contiguous_and_broadcast_inputs(rng, reference):
    q = torch.randn(2, 7, 6, 5).transpose(1, 2)[..., :4]
    k = torch.randn(1, 1, 11, 1).expand(2, 3, 11, 4)
    v = torch.randn(2, 3, 3, 11).mT
    output, weights = regard.attend(q, k, v, mask=torch.ones(1, 11, dtype=torch.bool).expand(7, 11))
    expected = reference(q, k, v)
    np.testing.assert_allclose(output, expected.output, atol=1e-6)
    np.testing.assert_allclose(weights.received(), expected.received(), atol=2e-6)
    output, _ = regard.attend(*(x.numpy()[..., ::-1] for x in (q, k, v)))
    np.testing.assert_allclose(output, expected.output[..., ::-1], atol=1e-6)


ZEROS = np.zeros((2, 3, 5, 4))


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("arguments", "settings", "error", "message"),
    [
        ((ZEROS > 0, ZEROS, ZEROS), {}, InputError, "query holds bool; expected real numbers"),
        (
            (ZEROS * 1j, ZEROS, ZEROS),
            {},
            InputError,
            "query holds complex128; expected real numbers",
        ),
        ((ZEROS, None, ZEROS), {}, InputError, "key is a NoneType; expected a NumPy array"),
        (([[1.0], [1.0, 2.0]], ZEROS, ZEROS), {}, InputError, "query is a list; expected a NumPy"),
        ((["a"], ZEROS, ZEROS), {}, InputError, "query is a list; expected a NumPy array"),
        ((1.0, ZEROS, ZEROS), {}, ShapeError, "query has shape (); expected 2 to 4"),
        ((ZEROS, torch.zeros(2, 3, 5, 4), ZEROS), {}, InputError, "arrays of several libraries"),
        ((ZEROS[None], ZEROS, ZEROS), {}, ShapeError, "query has shape (1, 2, 3, 5, 4); expected"),
        ((ZEROS, ZEROS, ZEROS[:, :, :4]), {}, ShapeError, "key has 5 positions, value has 4"),
        ((ZEROS, ZEROS, ZEROS[:, :1]), {}, ShapeError, "batch or heads (got query (2, 3, 5, 4), "),
        (
            (ZEROS, ZEROS[:, :2], ZEROS[:, :2]),
            {},
            ShapeError,
            "query has 3 heads, key has 2; the query's must be a multiple",
        ),
        (
            (np.zeros((3, 3, 5, 4)), ZEROS, ZEROS),
            {},
            ShapeError,
            "query has a batch of 3, key of 2",
        ),
        (
            (ZEROS,) * 3,
            {"bias": np.ones((5, 5), bool)},
            InputError,
            "bias holds bool; expected floats (pass it as mask=)",
        ),
        ((ZEROS,) * 3, {"bias": np.ones((5, 5), int)}, InputError, "bias holds int64"),
        ((ZEROS,) * 3, {"bias": 3.0}, InputError, "bias is a float; expected a float array"),
        ((ZEROS,) * 3, {"bias": np.ones((4, 5))}, ShapeError, "bias has shape (4, 5); expected"),
        ((ZEROS,) * 3, {"dropout": 1.0}, InputError, "dropout is 1.0; expected a probability"),
        ((ZEROS,) * 3, {"score": "dot"}, InputError, "score is 'dot'; expected one such as"),
        ((ZEROS,) * 3, {"normalizer": max}, InputError, "normalizer is <built-in function max>"),
        ((ZEROS,) * 3, {"watch": ["entropi"]}, SettingsError, "did you mean 'entropy'?"),
        (
            (ZEROS,) * 3,
            {"watch": "entropy"},
            SettingsError,
            "watch got 'entropy'; expected several names",
        ),
    ],
)
def test_wrong_input_gets_one_clear_error(arguments, settings, error, message):
    with pytest.raises(error, match=re.escape(message)):
        regard.attend(*arguments, **settings)
