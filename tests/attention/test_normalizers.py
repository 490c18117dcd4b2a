"""Each normaliser by hand and against bisection; sampling; a toy task learned by hard attention."""

import math

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

from regard.attention import normalizers
from regard.attention.normalizers import (
    Entmax,
    Entmax15,
    GumbelHard,
    Hard,
    MovingBaseline,
    Sigmoid,
    Softmax,
    Sparsemax,
    reinforce,
    sample,
)
from regard.errors import InputError, ShapeError

INF = math.inf
EVERY = [Softmax(), Sparsemax(), Entmax15(), Entmax(1.3), Sigmoid(), Hard(), GumbelHard()]
SMOOTH = [Softmax(), Softmax(sink=-1), Sparsemax(), Entmax15(), Entmax(1.3), Sigmoid()]


def name(x):
    return type(x).__name__


def test_softmax_by_hand():
    np.testing.assert_allclose(
        Softmax()(np.log([[1.0, 2.0, 5.0]])), [[0.125, 0.25, 0.625]], rtol=1e-12
    )


def test_sinks_by_hand():
    """exp(0) = 1 below the line, and a sink for each head, log 8 and log 2."""
    row = np.log([[1.0, 2.0, 5.0]])
    np.testing.assert_allclose(Softmax(sink=0)(row), [[1 / 9, 2 / 9, 5 / 9]], rtol=1e-12)
    sinks = Softmax(sink=np.log([8.0, 2.0]))(np.stack([row, row])[None])
    expected = [[[1 / 16, 2 / 16, 5 / 16]], [[0.1, 0.2, 0.5]]]
    np.testing.assert_allclose(sinks[0], expected, rtol=1e-12)


@pytest.mark.parametrize("shape", [(), (1,), (4,), (4, 1, 1), (2, 1, 1, 1), (2, 4, 1, 1)])
def test_a_sink_is_a_column_that_is_left_out(shape, library, rng):
    """gpt-oss's own code: the sink appended to the scores, softmax, and its column dropped."""
    scores = rng.normal(size=(2, 4, 5, 7)) * 5
    scores[rng.random(scores.shape) < 0.3] = -INF
    scores[0, 0, 0] = -INF
    sink = rng.normal(size=shape) * 3
    column = sink[:, None, None] if shape == (4,) else sink
    joined = np.concatenate((scores, np.broadcast_to(column, (2, 4, 5, 1))), -1)
    raised = np.exp(joined - joined.max(-1, keepdims=True))
    expected = (raised / raised.sum(-1, keepdims=True))[..., :-1]
    found = Softmax(sink=library(np.asarray(sink)))(library(scores))
    np.testing.assert_allclose(np.asarray(found), expected, rtol=1e-5, atol=1e-7)
    assert not np.asarray(found)[0, 0, 0].any()


def test_sinks_that_are_no_finite_numbers(library):
    """-inf is no sink, +inf takes all; scores far below 0 keep their weights beside both."""
    rows = np.array([[[[-5000.0, -5000.0], [-INF, -INF], [0.0, 0.0]]] * 3])[0]
    sinks = library(np.array([-INF, INF, 0.0]))
    found = np.asarray(Softmax(sink=sinks)(library(np.asarray(rows))))
    np.testing.assert_allclose(found[0], [[0.5, 0.5], [0.0, 0.0], [0.5, 0.5]])
    assert not found[1].any()
    np.testing.assert_allclose(found[2], [[0.0, 0.0], [0.0, 0.0], [1 / 3, 1 / 3]], rtol=1e-6)


@pytest.mark.unchecked
@pytest.mark.parametrize("sink", [math.nan, INF, True, "0", [1.0]])
def test_a_sink_is_a_number_or_an_array(sink):
    with pytest.raises(InputError, match=r"sink is .*; expected a finite number"):
        Softmax(sink)


@pytest.mark.parametrize("shape", [(3,), (5,), (2, 4), (1, 4, 5, 1), (4, 1, 7)])
def test_a_sink_that_fits_no_heads_is_refused(shape, library):
    sink = library(np.zeros(shape, np.float32))
    with pytest.raises(ShapeError, match=r"softmax has a sink of shape .*; expected one number"):
        Softmax(sink)(library(np.zeros((2, 4, 5, 7), np.float32)))


def test_a_sink_goes_where_the_scores_are():
    """torch's meta device stands in for a GPU."""
    weights = Softmax(torch.zeros(4))(torch.zeros(2, 4, 5, 7, device="meta"))
    assert weights.device.type == "meta"


def test_sparsemax_by_hand():
    # tau = (1.0 + 0.8 - 1) / 2 = 0.4; 0.1 is below it.
    np.testing.assert_allclose(Sparsemax()(np.array([[1.0, 0.8, 0.1]])), [[0.6, 0.4, 0.0]])
    np.testing.assert_allclose(Sparsemax()(np.array([[3.0, 1.0, -INF]])), [[1, 0, 0]])


def test_entmax_by_hand():
    # Two equal scores: (s / 2 - tau)^2 = 1/2 each; a third 2 sqrt(1/2) below gets exactly nothing.
    low = -2 * math.sqrt(0.5)
    np.testing.assert_allclose(Entmax15()(np.array([[0.0, 0.0, low]])), [[0.5, 0.5, 0]], atol=1e-12)


@pytest.mark.parametrize("shape", [(4,), (2, 4), (4, 1), (2, 3, 5, 1)])
def test_an_alpha_that_does_not_fit_the_heads(shape):
    scores = torch.zeros(2, 3, 5, 7)
    with pytest.raises(ShapeError, match=r"alpha of Entmax has shape .*; expected one number"):
        Entmax(torch.full(shape, 1.5))(scores)


@pytest.mark.parametrize("alpha", [0, -1.0, INF, math.nan, True, "2", None])
def test_an_alpha_that_is_no_positive_number(alpha):
    with pytest.raises(InputError, match="expected a number above 0"):
        Entmax(alpha)


def test_an_alpha_of_integers():
    with pytest.raises(InputError, match=r"alpha of Entmax holds torch\.int64; expected floats"):
        Entmax(torch.tensor([1, 2]))(torch.zeros(1, 2, 3, 4))


@pytest.mark.parametrize("library", [np.asarray, torch.asarray])
def test_alpha_for_each_head(library, rng):
    scores = rng.normal(size=(2, 3, 5, 7))
    alpha = np.array([1.0, 1.4, 2.0])
    found = np.asarray(Entmax(library(alpha))(library(scores)))
    for head, one in enumerate(alpha):
        alone = np.asarray(Entmax(float(one))(library(scores[:, head])))
        np.testing.assert_allclose(found[:, head], alone, atol=1e-6)
    twice = np.asarray(Entmax(library(np.tile(alpha, (2, 1))[..., None, None]))(library(scores)))
    np.testing.assert_array_equal(twice, found)


def test_half_precision_is_summed_in_float32():
    scores = torch.randn(4, 3000, generator=torch.Generator().manual_seed(0)).half()
    found = Entmax(1.2)(scores)
    assert found.dtype == torch.float16
    torch.testing.assert_close(found, Entmax(1.2)(scores.double()).half())


def test_sigmoid_by_hand():
    found = Sigmoid()(np.array([[0.0, math.log(3), -math.log(3), 1e4, -1e4, -INF]]))
    np.testing.assert_allclose(found, [[0.5, 0.75, 0.25, 1, 0, 0]])


def test_hard_takes_the_first_of_equals():
    np.testing.assert_array_equal(Hard()(np.array([[1.0, 3.0, 3.0, -INF]])), [[0, 1, 0, 0]])


@pytest.mark.parametrize("which", ["Softmax", "Sparsemax", "Entmax15", "Sigmoid", "Hard"])
@pytest.mark.parametrize("size", [0.1, 1.0, 30.0])
def test_against_one_row_at_a_time(which, size, rows, library, rng):
    scores = rng.normal(size=(3, 7, 101)) * size
    scores[rng.random(scores.shape) < 0.3] = -INF
    scores[0, 0] = -INF
    found = getattr(normalizers, which)()(library(scores.astype(np.float32)))
    expected = [
        rows[which](row) for row in scores.astype(np.float32).reshape(-1, 101).astype(float)
    ]
    np.testing.assert_allclose(np.asarray(found).reshape(-1, 101), expected, atol=1e-6)


@pytest.mark.parametrize("normalizer", EVERY, ids=name)
def test_rows_without_keys_and_masked_rows_are_zero(normalizer, library):
    for shape in ((1, 1, 2, 0), (1, 1, 0, 3), (1, 1, 2, 3)):
        found = np.asarray(normalizer(library(np.full(shape, -INF, np.float32))))
        assert found.shape == shape
        assert not found.any()


@pytest.mark.parametrize("normalizer", EVERY, ids=name)
def test_huge_scores_stay_finite(normalizer, library):
    scores = np.array([[[[1e4, -1e4, 0.0], [-1e4, -1e4, -INF], [1e30, 0.0, -1e30]]]], np.float32)
    found = np.asarray(normalizer(library(scores)))
    assert np.isfinite(found).all()
    if name(normalizer) != "Sigmoid":
        np.testing.assert_allclose(found.sum(-1), 1, atol=1e-6)


@pytest.mark.parametrize("normalizer", SMOOTH, ids=name)
def test_gradients(normalizer):
    torch.manual_seed(0)
    scores = torch.randn(3, 11, dtype=torch.float64) * 2
    scores[:, 4] = -INF
    scores[1] = -INF
    free = torch.isfinite(scores)

    def of(x):
        return normalizer(torch.full_like(scores, -INF).masked_scatter(free, x))

    assert torch.autograd.gradcheck(of, scores[free].requires_grad_())


@pytest.mark.parametrize("normalizer", SMOOTH, ids=name)
def test_masked_rows_have_no_gradient_and_no_nan(normalizer):
    scores = torch.full((2, 3), -INF)
    scores[0, 0] = 1.0
    scores.requires_grad_()
    normalizer(scores).square().sum().backward()
    assert scores.grad is not None
    assert torch.isfinite(scores.grad).all()
    assert not scores.grad[1].any()


def test_gumbel_draws_from_softmax(rng):
    scores = np.broadcast_to(np.log([0.1, 0.2, 0.7]), (1, 1, 20_000, 3))
    drawn = GumbelHard(seed=3)(scores)
    np.testing.assert_array_equal(drawn.sum(-1), 1)
    np.testing.assert_allclose(drawn.mean((0, 1, 2)), [0.1, 0.2, 0.7], atol=0.012)  # 3.5 sigma


def test_gumbel_noise_does_not_depend_on_the_tiling(library, rng):
    scores = library(rng.normal(size=(2, 3, 10, 7)))
    whole = np.asarray(GumbelHard(seed=5)(scores))
    parts = [GumbelHard(seed=5)(scores[:, :, i : i + 3], first_row=i) for i in range(0, 10, 3)]
    np.testing.assert_array_equal(np.concatenate([np.asarray(p) for p in parts], 2), whole)
    assert (np.asarray(GumbelHard(seed=6)(scores)) != whole).any()


def test_gumbel_gradient_against_softmax():
    scores = torch.randn(1, 1, 4, 5, dtype=torch.float64, requires_grad=True)
    values = torch.randn(5, dtype=torch.float64)
    (hard,) = torch.autograd.grad((GumbelHard(0.5, seed=1)(scores) @ values).sum(), scores)
    noise = normalizers._gumbel(scores.detach(), 1, 0)
    soft = torch.softmax((scores + noise) / 0.5, -1) @ values
    (expected,) = torch.autograd.grad(soft.sum(), scores)
    torch.testing.assert_close(hard, expected)


def test_a_temperature_must_be_positive():
    with pytest.raises(InputError, match="temperature is 0; expected more than 0"):
        GumbelHard(0)


@pytest.mark.parametrize("normalizer", [Softmax(), Entmax(1.3), Hard(), GumbelHard()])
def test_a_score_that_is_nan_makes_its_row_nan(normalizer, library):
    found = np.asarray(normalizer(library(np.array([[0.0, math.nan, 1.0], [0.0, 1.0, 2.0]]))))
    assert np.isnan(found[0]).all()
    assert np.isfinite(found[1]).all()


def test_sample_gives_positions_and_log_probabilities(library):
    weights = library(np.broadcast_to([0.25, 0.0, 0.75], (4000, 3)).astype(np.float32))
    drawn = sample(weights, seed=2)
    positions = np.asarray(drawn.position)
    assert set(np.unique(positions)) == {0, 2}
    assert abs((positions == 2).mean() - 0.75) < 0.025
    expected = np.log(np.where(positions == 2, 0.75, 0.25))
    np.testing.assert_allclose(np.asarray(drawn.log_probability), expected, rtol=1e-5)


def test_reinforce_against_the_gradient_of_the_expected_reward():
    scores = torch.tensor([0.3, -0.2, 0.9], dtype=torch.float64, requires_grad=True)
    reward = torch.tensor([1.0, 5.0, 2.0], dtype=torch.float64)
    (expected,) = torch.autograd.grad(-(torch.softmax(scores, 0) @ reward), scores)
    weights = torch.softmax(scores.expand(40_000, 3), -1)
    for baseline in (0.0, 2.0):
        drawn = sample(weights, seed=4)
        loss = reinforce(drawn.log_probability, reward[drawn.position], baseline=baseline)
        (found,) = torch.autograd.grad(loss, scores, retain_graph=True)
        torch.testing.assert_close(found, expected, atol=0.05, rtol=0)


def find_the_marked_word(step, steps):
    """Accuracy after training by `step`; the task is to copy the value whose key is marked."""
    generator = torch.Generator().manual_seed(0)
    vector = torch.zeros(4, requires_grad=True)
    optimizer = torch.optim.Adam([vector], lr=0.1)

    def batch():
        keys = torch.randn(64, 6, 4, generator=generator) * 0.3
        marked = torch.randint(6, (64,), generator=generator)
        keys[torch.arange(64), marked, 2] += 2
        values = torch.randn(64, 6, generator=generator)
        return keys @ vector, values, values[torch.arange(64), marked], marked

    for n in range(steps):
        scores, values, target, _ = batch()
        optimizer.zero_grad()
        step(scores, values, target, n).backward()
        optimizer.step()
    scores, _, _, marked = batch()
    picked = Hard()(scores.detach()).argmax(-1)
    return float((picked == marked).float().mean())


def test_straight_through_gumbel_learns():
    def step(scores, values, target, n):
        picked = GumbelHard(seed=n)(scores)
        return ((picked * values).sum(-1) - target).square().mean()

    assert find_the_marked_word(step, 60) > 0.95


def test_reinforce_learns():
    baseline = MovingBaseline()

    def step(scores, values, target, n):
        nonlocal baseline
        drawn = sample(Softmax()(scores), seed=n)
        picked = values.gather(1, drawn.position[:, None])[:, 0]
        reward = -(picked - target).square()
        loss = reinforce(drawn.log_probability, reward, baseline=baseline.value)
        baseline = baseline.update(float(reward.mean()))
        return loss

    assert find_the_marked_word(step, 120) > 0.95


def paper_jacobian(weights):
    """`diag(s) - s s^T / |s|` of the support `s` (Martins and Astudillo 2016, equation 9)."""
    support = (weights > 0).double()
    return torch.diag(support) - torch.outer(support, support) / support.sum()


@pytest.mark.parametrize(
    ("scores", "weights"),
    [
        ([1.0, 0.0], [1.0, 0.0]),
        ([0.0, 1.0, 0.0, 0.5], [0.0, 0.75, 0.0, 0.25]),
        ([0.5, 0.5, 0.0], [0.5, 0.5, 0.0]),
        ([2.0, 2.0, 1.5, 1.0], [0.5, 0.5, 0.0, 0.0]),
        ([3.0, 1.0, 2.0], [1.0, 0.0, 0.0]),
    ],
)
def test_sparsemax_at_the_edge_of_its_support(scores, weights):
    """A score that just gets a weight of 0 has no derivative either, in torch and in JAX."""
    z = torch.tensor(scores, dtype=torch.float64, requires_grad=True)
    assert Sparsemax()(z).tolist() == weights
    expected = paper_jacobian(torch.tensor(weights))
    found = torch.autograd.functional.jacobian(Sparsemax(), z)
    torch.testing.assert_close(found, expected)
    in_jax = jax.jacobian(Sparsemax())(jnp.asarray(scores))
    np.testing.assert_allclose(np.asarray(in_jax), expected.numpy(), atol=1e-6)


def test_the_derivative_of_sparsemax_keeps_the_sum():
    """Each row of the Jacobian sums to 0, also where rounding decides about the edge."""
    generator = torch.Generator().manual_seed(0)
    steps = torch.randint(-8, 8, (200, 7), generator=generator)
    for row in (steps / 8).requires_grad_(), (steps / 10).requires_grad_():
        weights = Sparsemax()(row)
        assert (weights.sum(-1) - 1).abs().max() < 1e-6
        assert weights.min() >= 0
        (slope,) = torch.autograd.grad(weights[:, 0].sum(), row)
        assert slope.sum(-1).abs().max() < 1e-6
