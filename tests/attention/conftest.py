"""Dense float64 attention written for the tests alone: loops and bisection, nothing of `regard`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import numpy.typing as npt
import pytest
import torch

LIBRARIES: dict[str, Callable[[Any], Any]] = {
    "numpy": np.asarray,
    "torch": lambda x: torch.from_numpy(np.array(x)),
    "jax": jnp.asarray,
}


def dense_scores(query: Any, key: Any, one: Callable[[Any, Any], float]) -> np.ndarray:
    """`one(q, k)` of every pair, `(batch, heads, queries, keys)`, grouped heads included."""
    query, key = np.asarray(query, np.float64), np.asarray(key, np.float64)
    group = query.shape[1] // key.shape[1]
    return np.array(
        [
            [
                [[one(q, k) for k in key[b, h // group]] for q in query[b, h]]
                for h in range(query.shape[1])
            ]
            for b in range(query.shape[0])
        ]
    ).reshape(*query.shape[:3], key.shape[2])


def softmax_row(row: np.ndarray) -> np.ndarray:
    if not len(row) or row.max() == -math.inf:
        return np.zeros_like(row)
    e = np.exp(row - row.max())
    return e / e.sum()


def bisected(power: float) -> Callable[[np.ndarray], np.ndarray]:
    """Sparsemax (power 1, of the scores) or entmax-1.5 (power 2, of half the scores), by bisection."""

    def of(row: np.ndarray) -> np.ndarray:
        if not len(row) or row.max() == -math.inf:
            return np.zeros_like(row)
        z = row / power
        low, high = z.max() - 1, z.max()
        for _ in range(200):
            middle = (low + high) / 2
            if (np.maximum(z - middle, 0) ** power).sum() > 1:
                low = middle
            else:
                high = middle
        return np.maximum(z - low, 0) ** power

    return of


def sigmoid_row(row: np.ndarray) -> np.ndarray:
    return np.array([0.0 if x == -math.inf else 1 / (1 + math.exp(-x)) for x in row])


def hard_row(row: np.ndarray) -> np.ndarray:
    weights = np.zeros_like(row)
    if len(row) and row.max() > -math.inf:
        weights[np.argmax(row)] = 1
    return weights


ROWS = {
    "Softmax": softmax_row,
    "Sparsemax": bisected(1),
    "Entmax15": bisected(2),
    "Sigmoid": sigmoid_row,
    "Hard": hard_row,
}


class Reference:
    """The dense matrix of one problem, and each statistic computed from it."""

    def __init__(
        self,
        query: Any,
        key: Any,
        value: Any,
        *,
        one: Callable[[Any, Any], float] | None = None,
        row: Callable[[np.ndarray], np.ndarray] = softmax_row,
        allowed: Any = True,
        bias: Any = 0.0,
    ) -> None:
        query, key, value = (np.asarray(x, np.float64) for x in (query, key, value))
        if one is None:
            keys = np.repeat(key, query.shape[1] // key.shape[1], axis=1)
            scores = np.einsum("bhld,bhsd->bhls", query, keys) / math.sqrt(query.shape[-1])
        else:
            scores = dense_scores(query, key, one)
        with np.errstate(invalid="ignore"):
            scores = np.where(allowed, scores + bias, -math.inf)
        flat = scores.reshape(-1, scores.shape[-1])
        rows = [row(r) for r in flat] if scores.size else flat
        self.weights: npt.NDArray[np.float64] = np.array(rows).reshape(scores.shape)
        self.value = np.repeat(value, query.shape[1] // value.shape[1], axis=1)
        self.output = self.weights @ self.value

    def entropy(self) -> np.ndarray:
        w = self.weights
        return -(w * np.log(np.where(w > 0, w, 1))).sum(-1)

    def received(self) -> np.ndarray:
        return self.weights.sum(-2)

    def distance(self) -> np.ndarray:
        rows, keys = self.weights.shape[-2:]
        return (self.weights * abs(np.arange(rows)[:, None] - np.arange(keys))).sum(-1)

    def topk(self, k: int) -> np.ndarray:
        return -np.sort(-self.weights, axis=-1)[..., :k]

    def pool(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        L, S = self.weights.shape[-2:]
        a, b = math.ceil(L / rows), math.ceil(S / columns)
        blocks = [
            [self.weights[..., i : i + a, j : j + b] for j in range(0, S, b)]
            for i in range(0, L, a)
        ]
        mean = np.stack([np.stack([x.mean((-1, -2)) for x in line], -1) for line in blocks], -2)
        maximum = np.stack([np.stack([x.max((-1, -2)) for x in line], -1) for line in blocks], -2)
        return mean, maximum


@pytest.fixture(scope="session")
def reference() -> type[Reference]:
    return Reference


@pytest.fixture(scope="session")
def rows() -> dict[str, Callable[[np.ndarray], np.ndarray]]:
    """The normalisers, one row at a time, in float64."""
    return ROWS


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Callable[[Any], Any]:
    """Makes an array of NumPy, torch and JAX in turn."""
    return LIBRARIES[request.param]


@pytest.fixture(scope="session")
def libraries() -> dict[str, Callable[[Any], Any]]:
    return LIBRARIES


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(7)
