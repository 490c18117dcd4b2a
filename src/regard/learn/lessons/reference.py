"""Attention in a few lines of NumPy, float64: what answers are compared with."""

from __future__ import annotations

from typing import Any

import numpy as np

from regard.learn.answer import Array

__all__ = ["attention", "draw", "softmax"]


def draw(seed: int, *shape: int) -> Array:
    """Normally distributed numbers, the same in every run."""
    return np.random.default_rng(seed).normal(size=shape)


def softmax(scores: Any, axis: int | tuple[int, ...] | None = -1) -> Array:
    """Softmax along an axis; 0 in a row that is -inf everywhere."""
    scores = np.asarray(scores, np.float64)
    highest = scores.max(axis, keepdims=True)
    raised = np.exp(scores - np.where(np.isfinite(highest), highest, 0))
    total = raised.sum(axis, keepdims=True)
    return np.asarray(np.divide(raised, total, out=np.zeros_like(raised), where=total > 0))


def attention(query: Array, key: Array, value: Array, scale: float | None = None) -> Array:
    """Scaled dot-product attention, `(..., queries, values)`."""
    scale = key.shape[-1] ** -0.5 if scale is None else scale
    return np.asarray(softmax(query @ np.swapaxes(key, -1, -2) * scale) @ value)
