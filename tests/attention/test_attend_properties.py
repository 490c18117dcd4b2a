"""Properties of attention that hold for any shapes, masks and numbers (hypothesis)."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import regard
from regard import normalizers, positions, scores
from regard.attention import kernels

LENGTHS = st.sampled_from([0, 1, 2, 3, 5, 7, 13])
SLOW = [HealthCheck.too_slow]
PROFILE = settings(max_examples=60, deadline=None, suppress_health_check=SLOW)
WITH_FIXTURE = settings(PROFILE, suppress_health_check=[*SLOW, HealthCheck.function_scoped_fixture])


@st.composite
def problems(draw, *, least=0):
    """Arrays, mask and bias; then what the mask and bias allow, as a matrix."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32)))
    lengths = LENGTHS.filter(lambda n: n >= least)
    batch, key_heads, group = (draw(st.sampled_from([1, 2, 3])) for _ in range(3))
    queries, keys = draw(lengths), draw(lengths)
    features, values = draw(st.sampled_from([1, 3, 5])), draw(st.sampled_from([1, 2, 7]))
    size = draw(st.sampled_from([1.0, 1e2, 1e4]))
    q = rng.normal(size=(batch, key_heads * group, queries, features)) * size
    k = rng.normal(size=(batch, key_heads, keys, features))
    v = rng.normal(size=(batch, key_heads, keys, values))
    if draw(st.booleans()):  # not contiguous, as layers make them
        q, k, v = (x.swapaxes(1, 2).copy().swapaxes(1, 2) for x in (q, k, v))
    full = (batch, key_heads * group, queries, keys)
    mask, allowed = draw(masks(full, rng))
    bias = None
    if draw(st.booleans()):
        bias = rng.normal(size=(queries, keys)) * size
        bias[rng.random(bias.shape) < 0.2] = -math.inf
        allowed = allowed & (bias > -math.inf)
    return (q, k, v), mask, bias, np.broadcast_to(allowed, full)


@st.composite
def masks(draw, full, rng):
    batch, _, queries, keys = full
    away = np.arange(keys) - (np.arange(queries) + keys - queries)[:, None]
    lengths, rows = (rng.integers(0, n + 1, batch) for n in (keys, queries))
    ids = np.sort(rng.integers(0, 3, (batch, max(queries, keys))))
    array = rng.random((batch, 1, queries, keys)) < 0.5
    broken = rng.integers(0, 3, (batch, max(queries, keys)))
    choices = [
        (None, np.True_),
        (regard.causal(), away <= 0),
        (regard.window(2), abs(away) <= 2),
        (regard.window(3, 0), (away <= 0) & (away >= -3)),
        (regard.padding(lengths), np.arange(keys) < lengths[:, None, None, None]),
        (
            regard.padding(lengths, queries=rows),
            (np.arange(keys) < lengths[:, None, None, None])
            & (np.arange(queries) < rows[:, None])[:, None, :, None],
        ),
        (array, array),
        *(
            (
                regard.documents(x[:, :queries], x[:, :keys]),
                (x[:, :queries, None] == x[:, None, :keys])[:, None],
            )
            for x in (ids, broken)
        ),
        (~regard.causal(), away > 0),
        (~regard.padding(lengths), np.arange(keys) >= lengths[:, None, None, None]),
        (
            regard.causal(align="upper left"),
            np.arange(keys) <= np.arange(queries)[:, None],
        ),
        (
            regard.masks.where(lambda b, h, i, j: (i + j + h) % 3 > 0),
            (np.arange(keys) + np.arange(queries)[:, None] + np.arange(full[1])[:, None, None]) % 3
            > 0,
        ),
    ]
    first, second = draw(st.sampled_from(choices)), draw(st.sampled_from(choices[1:6]))
    how = draw(st.sampled_from(["one", "and", "or"]))
    if how == "one" or first[0] is None:
        return first
    if how == "and":
        return second[0] & first[0], second[1] & first[1]
    return second[0] | first[0], second[1] | first[1]


@pytest.fixture(params=["numpy", "torch", "tiles"])
def attend(request):
    """`attend` on NumPy arrays, computed by NumPy, by torch, and by torch without its kernels."""
    make = np.asarray if request.param == "numpy" else torch.from_numpy

    def of(arrays, **settings):
        settings = {
            name: make(x) if isinstance(x, np.ndarray) else x for name, x in settings.items()
        }
        output, weights = regard.attend(*(make(np.array(x)) for x in arrays), **settings)
        return np.asarray(output), weights, make

    with pytest.MonkeyPatch.context() as patch:
        if request.param == "tiles":
            for name in ("matmul", "rmatmul", "statistics"):
                patch.setattr(kernels, name, lambda *_: None)
            patch.setattr(
                "regard.attention.problem.split_rows",
                lambda n, _: [slice(i, min(n, i + 2)) for i in range(0, max(n, 1), 2)],
            )
        yield of


@WITH_FIXTURE
@given(problem=problems())
def test_sums_of_rows_and_columns_and_the_output(attend, problem):
    arrays, mask, bias, allowed = problem
    output, weights, make = attend(arrays, mask=mask, bias=bias)
    dense = np.asarray(weights.dense())
    valid = allowed.any(-1)
    assert dense.shape == allowed.shape
    np.testing.assert_allclose(dense.sum(-1), valid.astype(float), atol=1e-9)
    assert (dense >= 0).all()
    assert not dense[~allowed].any()
    np.testing.assert_allclose(np.asarray(weights.received()).sum(-1), valid.sum(-1), atol=1e-9)
    assert not output[~valid].any()
    np.testing.assert_allclose(np.asarray(weights @ make(arrays[2])), output, atol=1e-9)
    group = arrays[0].shape[1] // arrays[2].shape[1]
    np.testing.assert_allclose(dense @ arrays[2].repeat(group, axis=1), output, atol=1e-9)
    entropy = np.asarray(weights.entropy())
    assert (entropy >= -1e-9).all()
    assert (entropy <= np.log(np.maximum(allowed.sum(-1), 1)) + 1e-9).all()


@WITH_FIXTURE
@given(problem=problems(), normalizer=st.sampled_from(["Sparsemax", "Entmax15", "Sigmoid", "Hard"]))
def test_other_normalisers_respect_the_mask(attend, problem, normalizer):
    arrays, mask, bias, allowed = problem
    which = getattr(normalizers, normalizer)()
    output, weights, _ = attend(arrays, mask=mask, bias=bias, normalizer=which)
    dense = np.asarray(weights.dense())
    assert np.isfinite(dense).all()
    assert not dense[~allowed].any()
    assert not output[~allowed.any(-1)].any()
    if normalizer != "Sigmoid":
        np.testing.assert_allclose(dense.sum(-1), allowed.any(-1), atol=1e-7)


@WITH_FIXTURE
@given(
    problem=problems(least=1), extra=st.integers(1, 4), filler=st.sampled_from([0.0, 1e4, math.nan])
)
def test_padding_changes_nothing(attend, problem, extra, filler):
    arrays, _, _, _ = problem
    plain, weights, _ = attend(arrays)
    q, k, v = arrays
    wide = [np.pad(x, [(0, 0), (0, 0), (0, extra), (0, 0)], constant_values=filler) for x in (k, v)]
    lengths = np.full(q.shape[0], k.shape[2])
    padded, more, _ = attend((q, *wide), mask=regard.padding(lengths))
    np.testing.assert_allclose(padded, plain, atol=1e-9)
    dense = np.asarray(more.dense())
    np.testing.assert_allclose(dense[..., :-extra], np.asarray(weights.dense()), atol=1e-9)
    assert not dense[..., -extra:].any()
    assert not np.asarray(more.received())[..., -extra:].any()
    np.testing.assert_allclose(np.asarray(more.entropy()), np.asarray(weights.entropy()), atol=1e-9)


@WITH_FIXTURE
@given(problem=problems(least=1), seed=st.integers(0, 1000))
def test_permuting_keys_permutes_weights(attend, problem, seed):
    (q, k, v), _, bias, _ = problem
    order = np.random.default_rng(seed).permutation(k.shape[2])
    plain, weights, _ = attend((q, k, v), bias=bias)
    permuted, permuted_weights, _ = attend(
        (q, k[:, :, order], v[:, :, order]), bias=None if bias is None else bias[:, order]
    )
    np.testing.assert_allclose(permuted, plain, atol=1e-9)
    np.testing.assert_allclose(
        np.asarray(permuted_weights.dense()), np.asarray(weights.dense())[..., order], atol=1e-9
    )
    rows = np.random.default_rng(seed + 1).permutation(q.shape[2])
    permuted, _, _ = attend((q[:, :, rows], k, v), bias=None if bias is None else bias[rows])
    np.testing.assert_allclose(permuted, plain[:, :, rows], atol=1e-9)


@WITH_FIXTURE
@given(problem=problems(least=1), argument=st.sampled_from(["key", "value"]))
def test_nan_at_a_masked_position_has_no_effect(problem, argument):
    arrays, mask, bias, allowed = problem
    hidden = ~allowed.reshape(-1, *allowed.shape[2:]).any(
        (0, 1)
    )  # keys that no query may attend to

    def run(filler):
        inputs = [torch.from_numpy(np.array(x)) for x in arrays]
        inputs[1 if argument == "key" else 2][:, :, hidden] = filler
        inputs = [x.requires_grad_() for x in inputs]
        settings = {"mask": mask, "bias": bias}
        settings = {
            n: torch.from_numpy(x.copy()) if isinstance(x, np.ndarray) else x
            for n, x in settings.items()
        }
        output, weights = regard.attend(*inputs, **settings)
        return output, weights.entropy(), *torch.autograd.grad(output.sum(), inputs)

    bad = 0.0 if mask is None and bias is None else math.nan
    for found, expected in zip(run(bad), run(0.0), strict=True):
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-9)
        assert torch.isfinite(found).all()


@pytest.mark.dependency
@pytest.mark.slow
@settings(PROFILE, max_examples=10)  # JAX compiles for each shape
@given(problem=problems(least=1))
def test_the_libraries_agree(problem):
    import jax.numpy as jnp

    arrays, mask, bias, _ = problem
    q, k, v = (x.astype(np.float32) for x in arrays)
    q = q / max(1.0, abs(q).max())
    answers = []
    for make in (np.asarray, lambda x: torch.from_numpy(np.array(x)), jnp.asarray):
        own_mask = make(mask) if isinstance(mask, np.ndarray) else mask
        own_bias = None if bias is None else make(bias.clip(-1, None).astype(np.float32))
        output, weights = regard.attend(make(q), make(k), make(v), mask=own_mask, bias=own_bias)
        answers.append([np.asarray(x) for x in (output, weights.dense(), weights.entropy())])
    for other in answers[1:]:
        for a, b in zip(other, answers[0], strict=True):
            np.testing.assert_allclose(a, b, atol=2e-6)


@PROFILE
@given(
    features=st.sampled_from([1, 3]),
    pairs=st.tuples(LENGTHS, LENGTHS),
    dim=st.sampled_from([1, 5]),
    seed=st.integers(0, 1000),
)
def test_additive_attention_of_any_shape(features, pairs, dim, seed):
    rng = np.random.default_rng(seed)
    L, S = pairs
    q, k, v = (
        rng.normal(size=(2, 4, L, features)),
        rng.normal(size=(2, 2, S, 3)),
        rng.normal(size=(2, 2, S, 2)),
    )
    w, u, vector = rng.normal(size=(features, dim)), rng.normal(size=(3, dim)), rng.normal(size=dim)
    output, weights = regard.attend(
        q, k, v, score=scores.Additive(vector, w, u), bias=positions.ALiBi(), mask=regard.window(3)
    )
    expected = np.tanh((q @ w)[:, :, :, None] + (k @ u).repeat(2, axis=1)[:, :, None]) @ vector
    away = abs(np.arange(S) - (np.arange(L) + S - L)[:, None])
    expected = expected - np.array([2.0 ** (-2 * (h + 1)) for h in range(4)])[:, None, None] * away
    expected = np.where(away <= 3, np.exp(expected), 0)
    expected /= np.maximum(expected.sum(-1, keepdims=True), 1e-300)
    np.testing.assert_allclose(weights.dense(), expected, atol=1e-9)
    np.testing.assert_allclose(output, expected @ v.repeat(2, axis=1), atol=1e-9)
