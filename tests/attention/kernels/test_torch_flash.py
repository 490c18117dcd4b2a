"""torch's flash kernel and its algebra against the tiles: every mask, grouped heads, large scores."""

import math

import numpy as np
import pytest
import torch

import regard
from regard import scores
from regard.attention.kernels import limits, torch_flash
from regard.attention.problem import Problem

MASKS = {
    "none": lambda L, S: None,
    "causal": lambda L, S: regard.causal(),
    "padding": lambda L, S: regard.padding([S, 0]),
    "queries": lambda L, S: regard.padding([S, 5], queries=[L, 3]),
    "window": lambda L, S: regard.window(5, 2),
    "both": lambda L, S: regard.causal() & regard.padding([S - 3, 4]),
    "either": lambda L, S: regard.window(3) | regard.padding([2, 0]),
    "array": lambda L, S: torch.rand(2, 1, L, S, generator=torch.Generator().manual_seed(0)) < 0.5,
    "heads": lambda L, S: torch.rand(6, L, S, generator=torch.Generator().manual_seed(0)) < 0.5,
}


def problem_of(weights):
    """The problem behind a map."""
    assert isinstance(weights._source, Problem)
    return weights._source


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("lengths", [(61, 61), (7, 53), (53, 7)])
@pytest.mark.parametrize("size", [1.0, 40.0])
@pytest.mark.parametrize("small", [True, False])
def test_the_algebra_is_the_matrix(mask, lengths, size, small, reference, monkeypatch):
    monkeypatch.setattr(limits, "FLASH_BLOCK_QUERIES", 16)
    if not small:
        monkeypatch.setattr(limits, "FLASH_MIN_WEIGHTS_FLOAT32", 0)
    torch.manual_seed(1)
    L, S = lengths
    q, k, v = torch.randn(2, 6, L, 8) * size, torch.randn(2, 3, S, 8), torch.randn(2, 3, S, 11)
    mask = MASKS[mask](L, S)
    output, weights = regard.attend(q, k, v, mask=mask)
    p = problem_of(weights)
    allowed = (
        True
        if mask is None
        else (
            mask
            if isinstance(mask, torch.Tensor)
            else mask.tile(p.layout, slice(0, L), slice(0, S))
        )
    )
    expected = reference(q, k, v, allowed=np.asarray(allowed))
    entropy, received = torch_flash.entropy(p), torch_flash.received(p)
    assert entropy is not None
    assert received is not None
    np.testing.assert_allclose(entropy, expected.entropy(), atol=2e-6, rtol=0)
    np.testing.assert_allclose(received, expected.received(), atol=2e-6, rtol=2e-6)
    g = torch.randn(2, 6, L, 3)
    product = torch_flash.rmatmul(p, g)
    assert product is not None
    np.testing.assert_allclose(
        product, expected.weights.swapaxes(-1, -2) @ g.double().numpy(), atol=2e-5
    )
    # The output itself is torch's own float32, whose rounding grows with the scores.
    np.testing.assert_allclose(output, expected.output, atol=2e-6 * size, rtol=0)
    assert torch_flash.matmul(p, v) is not None


@pytest.mark.parametrize(
    "score",
    [
        scores.Dot(),
        scores.ScaledDot(0.3),
        scores.Cosine(4.0),
        scores.General(torch.randn(8, 8)),
        scores.Location(torch.randn(60, 8)),
    ],
)
def test_every_dot_product_takes_it(score):
    torch.manual_seed(1)
    q, k, v = torch.randn(2, 6, 7, 8), torch.randn(2, 3, 53, 8), torch.randn(2, 3, 53, 5)
    output, weights = regard.attend(q, k, v, score=score)
    p = problem_of(weights)
    assert torch_flash.matmul(p, v) is not None
    torch.testing.assert_close(output, weights.dense() @ v.repeat_interleave(2, 1))
    torch.testing.assert_close(torch_flash.entropy(p), torch.special.entr(weights.dense()).sum(-1))


def test_a_bias_is_given_to_the_kernel_in_pieces(monkeypatch):
    monkeypatch.setattr(limits, "FLASH_BLOCK_QUERIES", 16)
    q, k = torch.randn(2, 6, 53, 8), torch.randn(2, 3, 53, 8)
    output, weights = regard.attend(
        q, k, k, bias=regard.positions.ALiBi(), mask=regard.window(9, 0)
    )
    assert torch_flash.matmul(problem_of(weights), k) is not None
    torch.testing.assert_close(output, weights.dense() @ k.repeat_interleave(2, 1))


def test_what_it_leaves_to_the_tiles():
    q = torch.randn(1, 2, 5, 4)
    bias = torch.zeros(5, 5, requires_grad=True)
    assert torch_flash.matmul(problem_of(regard.attend(q, q, q, bias=bias)[1]), q) is None
    assert torch_flash.entropy(problem_of(regard.attend(q, q, q, bias=bias)[1])) is None
    sparse = regard.attend(q, q, q, normalizer=regard.normalizers.Sparsemax())[1]
    assert torch_flash.matmul(problem_of(sparse), q) is None
    wanted = regard.attend(q.requires_grad_(), q, q)[1]
    assert torch_flash.received(problem_of(wanted)) is None
    with torch.no_grad():
        assert torch_flash.received(problem_of(wanted)) is not None


@pytest.mark.parametrize("lowest", [-1e9, torch.finfo(torch.float32).min])
def test_gradients_of_rows_whose_every_bias_is_a_huge_negative_number(lowest):
    """torch's kernel took each weight of such a row for 1 in its backward pass."""
    torch.manual_seed(0)
    q, k, v = (torch.randn(1, 2, n, 8) for n in (5, 40, 40))
    q[:, :, 2] = 0  # equal scores: what float32 leaves of others beside -1e9
    bias = torch.zeros(5, 40)
    bias[:, 30:] = bias[2] = lowest
    inputs = [x.requires_grad_() for x in (q, k, v)]
    exact = [x.detach().double().requires_grad_() for x in inputs]
    weights = (exact[0] @ exact[1].mT / 8**0.5 + bias).softmax(-1)
    expected = torch.autograd.grad((weights @ exact[2]).square().sum(), exact)
    output, _ = regard.attend(*inputs, bias=bias)
    for one, other in zip(
        torch.autograd.grad(output.square().sum(), inputs), expected, strict=True
    ):
        torch.testing.assert_close(one.double(), other, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("size", [1e8, 1e15])
def test_statistics_of_scores_beyond_what_a_float64_can_add_to(size):
    """Each query attends to one key; read from a sum that rounding hides, a key received infinitely much."""
    torch.manual_seed(0)
    q, k = torch.randn(1, 2, 9, 8) * size, torch.randn(1, 2, 11, 8) * size
    _, weights = regard.attend(q, k, k)
    one_hot = torch.nn.functional.one_hot((q.double() @ k.double().mT).argmax(-1), 11).float()
    torch.testing.assert_close(weights.received(), one_hot.sum(2))
    torch.testing.assert_close(weights.T @ torch.ones(1, 2, 9, 1), one_hot.sum(2)[..., None])
    assert not weights.entropy().any()


@pytest.mark.parametrize("keys", [1, 2, 7, 8, 15, 16, 17, 33])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
def test_what_is_not_a_number_is_not_hidden_by_few_keys(keys, dtype):
    q, k, v = (torch.randn(1, 2, n, 8).to(dtype) for n in (5, keys, keys))
    q[0, 1, 3] = float("nan")
    output, weights = regard.attend(q, k, v)
    assert (output.isnan().any(-1) == q.isnan().any(-1)).all()
    assert ((weights @ v).isnan().any(-1) == q.isnan().any(-1)).all()
    output, _ = regard.attend(torch.ones_like(q), k * float("nan"), v)
    assert output.isnan().all()


@pytest.mark.parametrize("keys", [7, 15, 16])
def test_a_parameter_that_is_not_a_number_is_not_hidden_by_a_mask(keys):
    q, k, v = (torch.randn(1, 2, n, 8) for n in (7, keys, keys))
    for score in (scores.General(torch.eye(8) * float("nan")), scores.Cosine(float("nan"))):
        output, weights = regard.attend(q, k, v, score=score, mask=regard.causal())
        assert output.isnan().all()
        assert (weights @ v).isnan().all()


def test_memory_does_not_follow_the_square(monkeypatch):
    """No tensor as large as the matrix, nor a sixteenth of it, is ever made."""
    from torch.utils._python_dispatch import TorchDispatchMode

    largest = 0

    class Sizes(TorchDispatchMode):
        def __torch_dispatch__(self, function, types, args=(), kwargs=None):
            nonlocal largest
            result = function(*args, **(kwargs or {}))
            for x in result if isinstance(result, tuple) else (result,):
                if isinstance(x, torch.Tensor):
                    largest = max(largest, x.untyped_storage().nbytes())
            return result

    q, k, v = (torch.randn(1, 4, 2048, 32) for _ in range(3))
    with Sizes():
        for mask in (None, regard.causal(), regard.window(100) & regard.padding([2000])):
            output, weights = regard.attend(q, k, v, mask=mask)
            p = problem_of(weights)
            (
                torch_flash.entropy(p),
                torch_flash.received(p),
                torch_flash.rmatmul(p, output),
                weights.topk(4),
            )
            weights.pool(), weights.distance()
    assert largest <= 4 * 2048 * 2048 * 4 / 4


def test_gradients_where_several_keys_share_all_the_weight():
    """The kernel's log-sum-exp loses how many they are, and its gradients would be those of one key."""
    q, k, v = (torch.randn(1, 1, 6, 4, dtype=torch.float64).requires_grad_() for _ in range(3))
    bias = torch.zeros(6, 6, dtype=torch.float64)
    bias[2, 3:5] = math.inf
    output, weights = regard.attend(q, k, v, bias=bias)
    grad = torch.randn_like(output)
    output.backward(grad)
    assert weights[0, 0, 2, 3:5].tolist() == [0.5, 0.5]
    torch.testing.assert_close(v.grad, weights.dense().detach().mT @ grad, rtol=0, atol=1e-14)
