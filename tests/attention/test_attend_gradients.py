"""float64 gradcheck through every score and normaliser, on the tiles and on torch's flash path."""

import math
from collections.abc import Callable

import pytest
import torch

import regard
from regard import normalizers, positions, scores
from regard.attention import kernels
from regard.attention.masks import local

torch.manual_seed(0)
Q, K, V = (
    torch.randn(2, 4, 5, 3, dtype=torch.float64),
    torch.randn(2, 2, 7, 3, dtype=torch.float64),
    torch.randn(2, 2, 7, 2, dtype=torch.float64),
)
LENGTHS = regard.padding([7, 4], queries=[5, 0])
SMOOTH = ["Softmax", "Sparsemax", "Entmax15", "Sigmoid"]


def check(function, *inputs):
    assert torch.autograd.gradcheck(function, [x.clone().requires_grad_() for x in inputs])


@pytest.mark.parametrize("normalizer", SMOOTH)
@pytest.mark.parametrize("mask", [None, regard.causal() & LENGTHS, torch.rand(2, 4, 5, 7) < 0.6])
def test_every_normaliser(normalizer, mask):
    made = getattr(normalizers, normalizer)()
    check(lambda q, k, v: regard.attend(q, k, v, normalizer=made, mask=mask)[0], Q, K, V)


PARAMETERS: dict[str, tuple[Callable[..., scores.Score], list[tuple[int, ...]]]] = {
    "General": (lambda w: scores.General(w), [(3, 3)]),
    "Additive": (lambda v, w, u: scores.Additive(v, w, u), [(4,), (3, 4), (3, 4)]),
    "Concat": (lambda v, w: scores.Concat(v, w), [(4,), (6, 4)]),
    "Cosine": (lambda t: scores.Cosine(t), [(4, 1, 1)]),
    "Location": (lambda w: scores.Location(w), [(9, 3)]),
    "Capped": (lambda v: scores.Capped(scores.Additive(v), 0.5), [(3,)]),
}


@pytest.mark.parametrize("score", PARAMETERS)
def test_every_score_and_its_parameters(score):
    make, shapes = PARAMETERS[score]
    weights = [torch.randn(s, dtype=torch.float64) for s in shapes]
    check(
        lambda q, k, v, *w: regard.attend(q, k, v, score=make(*w), mask=LENGTHS)[0],
        Q,
        K,
        V,
        *weights,
    )


def test_additive_in_chunks(monkeypatch):
    monkeypatch.setattr(scores, "ADDITIVE_CHUNK", 200)
    test_every_score_and_its_parameters("Additive")


def test_biases_and_centres():
    check(
        lambda q, k, v, b: regard.attend(q, k, v, bias=b)[0],
        Q,
        K,
        V,
        torch.randn(5, 7, dtype=torch.float64),
    )
    check(
        lambda q, k, v, t: regard.attend(q, k, v, bias=positions.Relative(t), mask=LENGTHS)[0],
        Q,
        K,
        V,
        torch.randn(4, 8, dtype=torch.float64),
    )
    centres = torch.rand(2, 1, 5, dtype=torch.float64) * 7

    def around(q, k, v, c):
        bias = positions.Gaussian(c, 3)
        return regard.attend(q, k, v, bias=bias, mask=local(centres, 3))[0]

    check(around, Q, K, V, centres)


def test_a_sink():
    def answers(q, k, v, sink):
        output, w = regard.attend(q, k, v, normalizer=normalizers.Softmax(sink), mask=LENGTHS)
        return output, w.entropy()

    check(answers, Q, K, V, torch.randn(4, dtype=torch.float64))


def test_dropout():
    check(lambda q, k, v: regard.attend(q, k, v, dropout=0.4, seed=5, mask=LENGTHS)[0], Q, K, V)


def test_the_map_carries_gradients():
    def answers(q, k, v):
        _, w = regard.attend(q, k, v, mask=regard.padding([5, 3], queries=[4, 0]))
        return (
            w.dense(),
            w.entropy(),
            w.received(),
            w.distance(),
            w @ v,
            w.T @ q,
            w[..., 2, :],
            w.topk(3).values,
            *w.pool(2, 3),
        )

    check(answers, Q[:, :, :4, :2], K[:, :, :5, :2], V[:, :, :5, :1])


@pytest.mark.parametrize("rows", [1, 2])
def test_checkpointed_tiles_against_the_whole(rows, monkeypatch):
    def gradients():
        inputs = [x.clone().requires_grad_() for x in (Q, K, V)]
        projections = [torch.eye(3, dtype=torch.float64, requires_grad=True) for _ in range(2)]
        score = scores.Additive(torch.ones(3, dtype=torch.float64), *projections)
        output, _ = regard.attend(*inputs, score=score, dropout=0.2, mask=LENGTHS)
        output.square().sum().backward()
        return [x.grad for x in (*inputs, *projections)]

    whole = gradients()
    monkeypatch.setattr(
        "regard.attention.problem.split_rows",
        lambda n, _: [slice(i, min(n, i + rows)) for i in range(0, n, rows)],
    )
    for a, b in zip(gradients(), whole, strict=True):
        torch.testing.assert_close(a, b)


MASKS = {
    "none": None,
    "causal": regard.causal(),
    "padding": LENGTHS,
    "both": regard.causal() & regard.padding([6, 3]),
    "window": regard.window(2, 0),
    "either": regard.window(1) | regard.padding([2, 0]),
    "array": torch.rand(2, 1, 5, 7) < 0.5,
}


@pytest.mark.parametrize("mask", MASKS)
@pytest.mark.parametrize("queries", [5, 7])
def test_gradients_of_the_kernels_against_the_tiles(mask, queries, monkeypatch):
    from regard.attention.kernels import limits

    monkeypatch.setattr(limits, "FLASH_BLOCK_QUERIES", 3)
    mask = MASKS[mask]
    if isinstance(mask, torch.Tensor):
        mask = torch.cat((mask, mask[:, :, :2]), 2)[:, :, :queries]
    elif mask is LENGTHS:
        mask = regard.padding([7, 4], queries=[5, 0])

    def gradients():
        inputs = [
            x.clone().requires_grad_()
            for x in (torch.cat((Q, Q[:, :, :2]), 2)[:, :, :queries], K, V)
        ]
        output, _ = regard.attend(*inputs, mask=mask)
        return [output, *torch.autograd.grad(output.square().sum(), inputs)]

    fast = gradients()
    monkeypatch.setattr(kernels, "matmul", lambda *_: None)
    for a, b in zip(fast, gradients(), strict=True):
        torch.testing.assert_close(a, b)


@pytest.mark.parametrize("argument", ["query", "key", "value"])
@pytest.mark.parametrize("bad", [math.nan, math.inf])
@pytest.mark.parametrize("slow", [False, True])
def test_nan_at_a_masked_position_has_no_effect(argument, bad, slow, monkeypatch):
    if slow:
        monkeypatch.setattr(kernels, "matmul", lambda *_: None)
    weight = torch.randn(3, 3, dtype=torch.float64, requires_grad=True)

    def run(filler):
        arrays = {"query": Q.clone(), "key": K.clone(), "value": V.clone()}
        if argument == "query":
            arrays["query"][1] = filler  # example 1 has no real queries
        else:
            arrays[argument][1, :, 4:] = filler
            # Hidden from all but the last query by the causal mask.
            arrays[argument][0, :, 6] = filler
        inputs = [x.requires_grad_() for x in arrays.values()]
        mask = regard.causal() & (LENGTHS if argument == "query" else regard.padding([6, 4]))
        output, weights = regard.attend(*inputs, mask=mask, score=scores.General(weight))
        gradients = torch.autograd.grad(output.square().sum(), [*inputs, weight])
        return [output, weights.entropy(), weights.received(), weights.dense(), *gradients]

    for found, expected in zip(run(bad), run(0.0), strict=True):
        torch.testing.assert_close(found, expected)


def test_nan_at_an_allowed_position_reaches_the_queries_that_may_attend_to_it(library, rng):
    import numpy as np

    q, k, v = (rng.normal(size=(5, 3)) for _ in range(3))
    for array in (k, v):
        array[3] = math.nan
        output, _ = regard.attend(library(q), library(k), library(v), mask=regard.causal())
        bad = np.isnan(np.asarray(output)).any(-1)
        np.testing.assert_array_equal(bad, [False, False, False, True, True])
