"""Batch 0, length 0, features 0: shapes as for any other size, finite numbers, gradients."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard import masks, normalizers, positions, scores

SIZES = {"batch": 2, "queries": 5, "keys": 5, "features": 6, "values": 3}
EMPTY = ["batch", "queries", "keys", "features", "values", "queries keys", "batch features"]


def problem(empty: str, make: Callable[[Any], Any]) -> tuple[Any, Any, Any]:
    n = SIZES | dict.fromkeys(empty.split(), 0)
    rng = np.random.default_rng(0)
    shapes = (
        (n["batch"], 4, n["queries"], n["features"]),
        (n["batch"], 2, n["keys"], n["features"]),
        (n["batch"], 2, n["keys"], n["values"]),
    )
    q, k, v = (make(rng.normal(size=shape).astype(np.float32)) for shape in shapes)
    return q, k, v


def settings(q: Any, k: Any, make: Callable[[Any], Any]) -> list[dict[str, Any]]:
    batch, queries, keys = q.shape[0], q.shape[2], k.shape[2]
    return [
        {},
        {"mask": regard.causal()},
        {"mask": regard.padding(np.full(batch, min(3, keys)))},
        {"mask": ~regard.window(1) & masks.where(lambda b, h, i, j: i >= j)},
        {"mask": regard.documents(np.zeros(queries, int), np.zeros(keys, int))},
        {"bias": positions.ALiBi() + make(np.zeros((queries, keys), np.float32))},
        {
            "mask": masks.local(np.zeros(queries), 2),
            "bias": positions.Gaussian(np.zeros(queries), 2),
        },
        {"watch": ("entropy", "lse", "max_score", "topk", "pool", "received")},
        {"dropout": 0.5},
        {"normalizer": normalizers.Sparsemax(), "score": scores.Cosine()},
        {"normalizer": normalizers.Entmax15(), "score": scores.Dot()},
    ]


@pytest.mark.parametrize("empty", EMPTY)
def test_every_method_of_the_map(empty: str, library: Callable[[Any], Any]) -> None:
    q, k, v = problem(empty, library)
    full = (q.shape[0], 4, q.shape[2], k.shape[2])
    choices = settings(q, k, library)
    for choice in choices if isinstance(q, np.ndarray | torch.Tensor) else choices[1:2]:
        output, w = regard.attend(q, k, v, **choice)
        answers = [
            (output, (*full[:3], v.shape[3])),
            (w.dense(), full),
            (w.entropy(), full[:3]),
            (w.received(), (*full[:2], full[3])),
            (w.distance(), full[:3]),
            (w.topk(2).values, (*full[:3], min(2, full[3]))),
            (w.pool(2, 2).mean, (*full[:2], min(2, full[2]), min(2, full[3]))),
            (w @ v, output.shape),
            (w.T @ q, (*full[:2], full[3], q.shape[3])),
            (w.norms(v, library(np.ones((v.shape[3], 2), np.float32))).dense(), full),
            (w[..., ::-1], full),
        ]
        if full[2] == full[3]:
            answers.append((regard.rollout([w, w]), (full[0], full[2], full[3])))
        for answer, shape in answers:
            assert tuple(answer.shape) == tuple(shape)
            assert np.isfinite(np.asarray(answer)).all()


@pytest.mark.parametrize("empty", EMPTY)
def test_gradients(empty: str) -> None:
    q, k, v = problem(empty, lambda x: torch.from_numpy(x).requires_grad_())
    for choice in settings(q, k, torch.from_numpy):
        output, _ = regard.attend(q, k, v, **choice)
        found = torch.autograd.grad(output.sum(), (q, k, v), allow_unused=True)
        for gradient in found:
            assert gradient is None or torch.isfinite(gradient).all()


@pytest.mark.parametrize("length", [5, 600])
def test_vectors_without_features_match_equally(length: int) -> None:
    q, v = np.zeros((length, 0), np.float32), np.random.default_rng(0).random((length, 3))
    output, weights = regard.attend(q, q, v.astype(np.float32))
    np.testing.assert_allclose(output, np.broadcast_to(v.mean(0), (length, 3)), atol=1e-6)
    np.testing.assert_allclose(weights[0], 1 / length, rtol=1e-6)
