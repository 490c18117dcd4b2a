"""Each score by hand, against loops, and its wrong shapes."""

import math
import re

import numpy as np
import pytest
import torch

import regard
from regard.attention import scores
from regard.attention.kernels import limits
from regard.errors import InputError, ShapeError


def weights_of(score, query, key, f=np.asarray):
    """The score of 2-D arrays, as a plain matrix."""
    q, k = score.project(f(query)[None, None], f(key)[None, None])
    return np.asarray(score.pairwise(q, k))[0, 0]


def test_dot_by_hand():
    np.testing.assert_allclose(
        weights_of(scores.Dot(), [[1.0, 2.0]], [[3.0, 4.0], [0.0, -1.0]]), [[11, -2]]
    )


def test_scaled_dot_by_hand():
    q, k = [[2.0, 0.0, 0.0, 2.0]], [[3.0, 9.0, 9.0, 1.0]]
    np.testing.assert_allclose(weights_of(scores.ScaledDot(), q, k), [[4]])  # 8 / sqrt(4)
    np.testing.assert_allclose(weights_of(scores.ScaledDot(0.25), q, k), [[2]])


def test_general_by_hand():
    weight = np.array([[1.0, 0, 2], [0, 1, 0]])  # (1, 2) W = (1, 2, 2)
    np.testing.assert_allclose(
        weights_of(scores.General(weight), [[1.0, 2.0]], [[1.0, 1, 1], [0, 0, 3]]), [[5, 6]]
    )


def test_general_with_a_weight_for_each_head():
    rng = np.random.default_rng(0)
    q, k, w = (
        rng.normal(size=(2, 3, 5, 4)),
        rng.normal(size=(2, 3, 7, 2)),
        rng.normal(size=(3, 4, 2)),
    )
    score = scores.General(w)
    np.testing.assert_allclose(
        score.pairwise(*score.project(q, k)), np.einsum("bhld,hde,bhse->bhls", q, w, k)
    )


def test_additive_by_hand():
    score = scores.Additive(
        np.array([1.0, -2.0]), np.array([[1.0, 0.0]]), np.array([[0.0, 1.0], [1.0, 0.0]])
    )
    # W q = (0.5, 0); U k = (k_2, k_1)
    expected = math.tanh(0.5 + 2) - 2 * math.tanh(1)
    np.testing.assert_allclose(weights_of(score, [[0.5]], [[1.0, 2.0]]), [[expected]])


def test_concat_by_hand_is_additive_with_the_weight_cut_in_two():
    rng = np.random.default_rng(0)
    q, k = rng.normal(size=(3, 2)), rng.normal(size=(5, 4))
    w, v = rng.normal(size=(6, 7)), rng.normal(size=7)
    expected = [[v @ np.tanh(np.concatenate((a, b)) @ w) for b in k] for a in q]
    np.testing.assert_allclose(weights_of(scores.Concat(v, w), q, k), expected)
    np.testing.assert_allclose(weights_of(scores.Additive(v, w[:2], w[2:]), q, k), expected)


def test_projected_keys_are_taken_as_they_are():
    rng = np.random.default_rng(0)
    q, k, v = rng.normal(size=(3, 7)), rng.normal(size=(5, 7)), rng.normal(size=7)
    expected = [[v @ np.tanh(a + b) for b in k] for a in q]
    np.testing.assert_allclose(weights_of(scores.Additive(v), q, k), expected)


def test_cosine_by_hand():
    found = weights_of(scores.Cosine(2.0), [[3.0, 4.0]], [[4.0, 3.0], [-6.0, -8.0], [0.0, 0.0]])
    np.testing.assert_allclose(found, [[2 * 24 / 25, -2, 0]])


@pytest.mark.parametrize("size", [1.0, 30.0])
def test_cosine_of_vectors_whose_squares_float16_does_not_hold(library, rng, size):
    q, k = (size * rng.normal(size=(1, 1, n, 300)) for n in (5, 7))
    q, k = (np.asarray(x, np.float16) for x in (q, k))
    unit = [
        x / np.linalg.norm(x, axis=-1, keepdims=True) for x in (q.astype(float), k.astype(float))
    ]
    score = scores.Cosine(8.0)
    found = score.pairwise(*score.project(library(q), library(k)))
    np.testing.assert_allclose(np.asarray(found), 8 * unit[0] @ unit[1].swapaxes(2, 3), atol=2e-2)


def test_gemma_2_caps_scores_at_50_by_hand():
    """`50 tanh(s / 50)`: 1 loses a part in 7,500, and 1000 becomes 50 (Gemma 2, section 2)."""
    score = scores.Capped(scores.Dot(), 50)
    found = weights_of(score, [[1.0]], [[1.0], [25.0], [-100.0], [1000.0]])
    expected = [1 - 1 / 7500, 50 * math.tanh(0.5), -50 * math.tanh(2), 50]
    np.testing.assert_allclose(found, [expected], rtol=1e-7)


def test_every_score_may_be_capped(library, rng):
    q, k = rng.normal(size=(1, 2, 3, 4)), rng.normal(size=(1, 1, 5, 4))
    weight, vector = rng.normal(size=(4, 4)), rng.normal(size=4)
    table, both = rng.normal(size=(5, 4)), rng.normal(size=(8, 4))
    weight, vector, table, both = (library(x) for x in (weight, vector, table, both))
    for score in (
        scores.Dot(), scores.ScaledDot(), scores.ScaledDot(-2.0), scores.Cosine(3.0), scores.General(weight),
        scores.Location(table), scores.Additive(vector), scores.Concat(vector, both),
    ):  # fmt: skip
        projected = score.project(library(q), library(k))
        plain = np.asarray(score.pairwise(*projected))
        capped = scores.Capped(score, 0.7)
        found = np.asarray(capped.pairwise(*capped.project(library(q), library(k))))
        np.testing.assert_allclose(found, 0.7 * np.tanh(plain / 0.7), rtol=1e-5, atol=1e-6)


@pytest.mark.unchecked
@pytest.mark.parametrize("cap", [0, -50.0, math.inf, math.nan, None, True, "50"])
def test_a_cap_is_a_number_above_0(cap):
    with pytest.raises(InputError, match=r"cap is .*; expected a finite number above 0"):
        scores.Capped(scores.Dot(), cap)


@pytest.mark.unchecked
def test_only_scores_are_capped():
    with pytest.raises(InputError, match=r"score is 50; .* as in Capped\(ScaledDot\(\), 50\)"):
        scores.Capped(50, scores.ScaledDot())  # type: ignore[arg-type]


def test_location_scores_depend_on_positions_not_on_keys():
    weight = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [9.0, 9.0]])
    found = weights_of(scores.Location(weight), [[2.0, 3.0]], np.full((3, 8), 5.0))
    np.testing.assert_allclose(found, [[2, 3, 5]])


def test_additive_in_chunks_is_additive_at_once(monkeypatch, library, rng):
    q, k, v = (rng.normal(size=s) for s in ((2, 6, 5, 7), (2, 3, 11, 7), (7,)))
    expected = np.einsum(
        "d,bhlsd->bhls", v, np.tanh(q[:, :, :, None] + np.repeat(k, 2, axis=1)[:, :, None])
    )
    for chunk in (1, 2 * 6 * 5 * 7 * 4, 2**18):
        monkeypatch.setattr(scores, "ADDITIVE_CHUNK", chunk)
        found = scores.Additive(library(v)).pairwise(library(q), library(k))
        np.testing.assert_allclose(np.asarray(found), expected, atol=2e-6)


@pytest.mark.parametrize("kind", ["float16", "bfloat16"])
@pytest.mark.parametrize("kernel", [True, False])
def test_additive_in_half_precision(kernel, kind, monkeypatch):
    """float16 is widened before the score projects, bfloat16 after."""
    if kernel:
        monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)
    torch.manual_seed(1)
    shapes = (1, 2, 5, 6), (1, 2, 7, 6), (8,), (6, 8), (6, 8)
    q, k, *learned = (torch.randn(shape).to(getattr(torch, kind)) for shape in shapes)
    learned[0].requires_grad_()
    score = scores.Additive(*learned)
    output, weights = regard.attend(q, k, k, score=score, watch=("entropy",))
    wide = torch.float32 if kind == "float16" else torch.bfloat16
    pairs = zip((q, k), learned[1:], strict=True)
    a, b = ((x.to(wide) @ w.to(wide)).double() for x, w in pairs)
    both = torch.tanh(a[:, :, :, None] + b[:, :, None])
    expected = torch.softmax(both @ learned[0].double(), -1)
    assert weights.dtype == torch.float32
    torch.testing.assert_close(weights.dense().double(), expected, rtol=0, atol=2e-6)
    entropy = torch.special.entr(expected).sum(-1)
    torch.testing.assert_close(weights.entropy().double(), entropy, rtol=0, atol=2e-6)
    found = torch.autograd.grad(output.float().square().sum(), learned[0])[0]
    exact = torch.autograd.grad((expected @ k.double()).square().sum(), learned[0])[0]
    assert found.dtype == learned[0].dtype
    torch.testing.assert_close(found, exact, rtol=0.05, atol=0.05)


def test_grouped_heads_score_like_repeated_keys(library, rng):
    q, k = rng.normal(size=(2, 6, 5, 4)), rng.normal(size=(2, 3, 7, 4))
    found = scores.Dot().pairwise(library(q), library(k))
    expected = np.einsum("bhld,bhsd->bhls", q, np.repeat(k, 2, axis=1))
    np.testing.assert_allclose(np.asarray(found), expected, atol=1e-5)


@pytest.mark.unchecked
@pytest.mark.parametrize(
    ("score", "message"),
    [
        (
            regard.scores.ScaledDot,
            "scaled dot score needs query and key of one width; use General for different widths "
            "(got query (5, 64), key (3, 32), value (3, 32))",
        ),
        (regard.scores.Dot, "dot score needs query and key of one width"),
        (
            regard.scores.Cosine,
            "cosine score needs query and key of one width",
        ),
        (
            lambda: regard.scores.General(np.zeros((32, 64))),
            "general score has a weight of shape (32, 64); query and key need (64, 32)",
        ),
        (
            lambda: regard.scores.Additive(np.zeros(8), np.zeros((64, 8)), np.zeros((64, 8))),
            "additive score has a key_weight for 64 features, but the key has 32",
        ),
        (
            lambda: regard.scores.Additive(np.zeros(8)),
            "additive score has queries of 64 features and keys of 32 after projection",
        ),
        (
            lambda: regard.scores.Additive(np.zeros(9), np.zeros((64, 8)), np.zeros((32, 8))),
            "additive score has a vector of shape (9,); expected (8,)",
        ),
        (
            lambda: regard.scores.Concat(np.zeros(8), np.zeros((64, 8))),
            "concat score has a weight of shape (64, 8); expected 64 + 32 rows",
        ),
        (
            lambda: regard.scores.Location(np.zeros((2, 64))),
            "location score has a weight of shape (2, 64); expected at least 3 positions (keys) and 64",
        ),
    ],
)
def test_widths_that_do_not_fit_are_named(score, message):
    query, key, value = np.zeros((5, 64)), np.zeros((3, 32)), np.zeros((3, 32))
    with pytest.raises(ShapeError, match=re.escape(message)):
        regard.attend(query, key, value, score=score())


HEADS = (0.2, 0.5, 0.9)


@pytest.mark.parametrize("least", [0, 2**60])
@pytest.mark.parametrize("watch", [(), ("entropy",)])
@pytest.mark.parametrize("shape", [(), (1,), (3,), (3, 1, 1), (2, 3, 7, 1)])
def test_a_learned_scale_gets_its_gradient(monkeypatch, rng, shape, watch, least):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    made = np.resize(HEADS, shape).astype(np.float32)
    scale = torch.nn.Parameter(torch.from_numpy(made.reshape(shape)))
    query, key, value = (
        torch.from_numpy(rng.standard_normal((2, 3, length, 4)).astype(np.float32))
        for length in (7, 11, 11)
    )
    output, weights = regard.attend(query, key, value, score=scores.ScaledDot(scale), watch=watch)
    factor = scale.reshape(-1, 1, 1) if shape == (3,) else scale
    expected = (factor * (query @ key.mT)).softmax(-1)
    torch.testing.assert_close(output, expected @ value)
    torch.testing.assert_close(weights.dense(), expected)
    (found,) = torch.autograd.grad(output.square().sum(), scale)
    (slope,) = torch.autograd.grad((expected @ value).square().sum(), scale)
    torch.testing.assert_close(found, slope, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("library", ["numpy", "jax"])
def test_a_scale_for_each_head_in_other_libraries(libraries, library, rng):
    make = libraries[library]
    query, key = (rng.standard_normal((1, 3, 5, 4)).astype(np.float32) for _ in range(2))
    scale = np.array(HEADS, np.float32)
    _, weights = regard.attend(
        make(query), make(key), make(key), score=scores.ScaledDot(make(scale))
    )
    raised = np.exp(scale[:, None, None] * (query @ np.swapaxes(key, -1, -2)))
    np.testing.assert_allclose(
        np.asarray(weights.dense()), raised / raised.sum(-1, keepdims=True), rtol=1e-5
    )


@pytest.mark.parametrize("shape", [(4,), (2,), (1, 1, 4), (5, 4)])
def test_a_scale_of_the_features_is_refused(shape, rng):
    """It would broadcast along the features, or along the queries as if it were of the heads."""
    x = rng.standard_normal((1, 3, 5, 4))
    with pytest.raises(ShapeError, match="scaled dot score has a scale of shape"):
        regard.attend(x, x, x, score=scores.ScaledDot(np.ones(shape)))


@pytest.mark.parametrize("least", [0, 2**60])
@pytest.mark.parametrize("watch", [(), ("entropy", "received")])
@pytest.mark.parametrize("batch", [(1, 3), (3, 1), (1, 1)])
def test_location_with_a_batch_of_one(monkeypatch, library, rng, batch, watch, least):
    """The weight takes the place of the keys, whose batch may be the larger one."""
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    queries, keys = batch
    query = rng.standard_normal((queries, 2, 5, 4)).astype(np.float32)
    key = rng.standard_normal((keys, 2, 6, 3)).astype(np.float32)
    weight = rng.standard_normal((8, 4)).astype(np.float32)
    output, weights = regard.attend(
        *map(library, (query, key, key)), score=scores.Location(library(weight)), watch=watch
    )
    raised = np.exp(np.broadcast_to(query @ weight[:6].T, (max(batch), 2, 5, 6)))
    expected = raised / raised.sum(-1, keepdims=True)
    np.testing.assert_allclose(np.asarray(weights.dense()), expected, rtol=1e-5)
    np.testing.assert_allclose(np.asarray(output), expected @ key, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(np.asarray(weights.received()), expected.sum(-2), rtol=1e-5)
