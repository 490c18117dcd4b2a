"""Fixtures of the tests of Keras layers, which run on the backend that `KERAS_BACKEND` names."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

pytest.importorskip("keras")

from regard.keras import backend


@pytest.fixture
def numpy() -> Callable[[Any], Any]:
    """Function that gives the numbers of a tensor of any backend."""
    return backend.numpy_of


@pytest.fixture
def random() -> Callable[..., Any]:
    """Function that gives the same random numbers for the same shape and seed, as float32."""

    def random(*shape: int, seed: int = 0) -> Any:
        return np.random.default_rng(seed).standard_normal(shape).astype(np.float32)

    return random


@pytest.fixture
def gradients() -> Callable[..., list[Any]]:
    """Function that gives the gradients of `sum(function(*arrays) * upstream)`, on any backend."""

    def gradients(function: Callable[..., Any], *arrays: Any, upstream: Any) -> list[Any]:
        if backend.name() == "torch":
            import torch

            tensors: list[Any] = [torch.tensor(x, requires_grad=True) for x in arrays]
            (function(*tensors) * torch.tensor(upstream)).sum().backward()
            return [x.grad.numpy() for x in tensors]
        if backend.name() == "jax":
            import jax

            found = jax.grad(lambda *x: (function(*x) * upstream).sum(), tuple(range(len(arrays))))
            return [np.asarray(x) for x in found(*map(jax.numpy.asarray, arrays))]
        import tensorflow as tf

        tensors = [tf.Variable(x) for x in arrays]
        with tf.GradientTape() as tape:
            total = tf.reduce_sum(function(*(tf.convert_to_tensor(x) for x in tensors)) * upstream)
        return [np.asarray(x) for x in tape.gradient(total, tensors)]

    return gradients
