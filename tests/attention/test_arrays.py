"""Array operations that the standard does not name, in every library."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard.attention.arrays import (
    accumulation_dtype,
    all_finite,
    broadcast_heads,
    checkpointed,
    grouped_matmul,
    is_concrete,
    is_on_host,
    namespace,
    split_rows,
    stop_gradient,
    to_numpy,
    topk,
)
from regard.errors import InputError


@pytest.mark.parametrize("k", [1, 3, 7])
def test_topk_against_sorting(k, library, rng) -> None:
    x = rng.permutation(2 * 5 * 7).reshape(2, 5, 7).astype(np.float32)
    values, indices = topk(library(x), k)
    order = np.argsort(-x, axis=-1)[..., :k]
    np.testing.assert_array_equal(np.asarray(indices), order)
    np.testing.assert_array_equal(np.asarray(values), np.take_along_axis(x, order, -1))


def test_grouped_matmul_against_repeated_heads(library, rng) -> None:
    a, b = rng.normal(size=(2, 6, 5, 4)), rng.normal(size=(1, 3, 4, 7))
    found = np.asarray(grouped_matmul(library(a), library(b)))
    np.testing.assert_allclose(found, a @ b.repeat(2, axis=1), atol=1e-5)


@pytest.mark.parametrize(
    ("first", "second", "expected"), [(6, 6, 6), (2, 6, 6), (1, 3, 3), (2, 3, 6), (1, 1, 1)]
)
def test_broadcast_heads_against_repeating(first, second, expected, library, rng) -> None:
    a, b = rng.normal(size=(2, first, 3)), rng.normal(size=(2, second, 3))
    for found, x in zip(broadcast_heads(library(a), library(b), 6), (a, b), strict=True):
        repeated = x.repeat(expected // x.shape[1], axis=1)
        np.testing.assert_allclose(np.asarray(found), repeated, rtol=1e-6)


@pytest.mark.parametrize(("rows", "row_bytes", "size"), [(10, 100, 3), (10, 1000, 1), (10, 1, 10)])
def test_rows_are_split_by_memory(rows, row_bytes, size) -> None:
    parts = split_rows(rows, row_bytes, 350)
    assert [part.start for part in parts] == [0, *(part.stop for part in parts[:-1])]
    assert parts[-1].stop == rows
    assert max(part.stop - part.start for part in parts) == size


def test_rows_are_split_by_number_and_no_rows_are_one_slice() -> None:
    assert split_rows(5, 1, max_rows=2) == [slice(0, 2), slice(2, 4), slice(4, 5)]
    assert split_rows(0, 1) == [slice(0, 0)]


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_all_finite(bad, library) -> None:
    x = np.zeros((3, 4))
    assert all_finite(library(x), library(x))
    x[1, 2] = bad
    assert not all_finite(library(np.zeros(2)), library(x))


def test_traced_arrays_are_not_concrete() -> None:
    import jax
    import jax.numpy as jnp

    found = []

    def record(x):
        found.append((is_concrete(x), is_on_host(x)))
        return x

    for x in (np.zeros(2), torch.zeros(2), jnp.zeros(2)):
        record(x)
    torch.func.vmap(record)(torch.zeros(2))
    jax.jit(record)(jnp.zeros(2))
    assert found == [(True, True)] * 3 + [(False, False)] * 2
    assert not is_on_host(torch.zeros(2, device="meta"))


def test_what_is_no_array_and_several_libraries_are_refused() -> None:
    with pytest.raises(InputError, match="query is a list; expected a NumPy array"):
        namespace(query=[1.0])
    with pytest.raises(InputError, match="arrays of several libraries: query numpy, key torch"):
        namespace(query=np.zeros(1), key=torch.zeros(1))


def test_types_of_statistics() -> None:
    single, double = np.zeros(1, np.float32), np.zeros(1)
    xp = namespace(x=single)
    assert accumulation_dtype(xp, single, single.astype(np.float16)) == xp.float32
    assert accumulation_dtype(xp, single, double) == xp.float64


def test_gradients_stop_and_are_checkpointed() -> None:
    x = torch.tensor([2.0], requires_grad=True)
    factor = torch.tensor([3.0], requires_grad=True)
    function = checkpointed(lambda y: (y * factor).square(), x)
    (function(x) + stop_gradient(x)).backward()
    assert x.grad is not None
    assert factor.grad is not None
    assert (x.grad.item(), factor.grad.item()) == (36.0, 24.0)


def test_bfloat16_becomes_float32_in_numpy() -> None:
    found = to_numpy(torch.tensor([1.5], dtype=torch.bfloat16, requires_grad=True))
    assert found.dtype == np.float32
    assert found.tolist() == [1.5]


@pytest.mark.parametrize("k", [1, 2, 4])
def test_topk_puts_nan_first_in_every_library(k, library) -> None:
    """As torch does; a NaN that is left out would be an answer without a word."""
    values, indices = topk(library(np.array([[1.0, math.nan, 3.0, 2.0]])), k)
    assert np.asarray(indices)[0].tolist() == [1, 2, 3, 0][:k]
    np.testing.assert_array_equal(np.asarray(values)[0], [math.nan, 3.0, 2.0, 1.0][:k])


def products(jaxpr: Any) -> Iterator[Any]:
    """The matrix products of a traced function, those of functions inside too."""
    for equation in jaxpr.eqns:
        if equation.primitive.name == "dot_general":
            yield equation.params["precision"]
        for value in equation.params.values():
            for inner in value if isinstance(value, tuple | list) else (value,):
                if hasattr(inner := getattr(inner, "jaxpr", inner), "eqns"):
                    yield from products(inner)


@pytest.mark.parametrize("general", [False, True])
def test_products_of_jax_have_the_precision_of_their_numbers(general: bool) -> None:
    """By default a GPU would round float32 to 10 bits before it multiplies."""
    import jax
    import jax.numpy as jnp

    score = regard.scores.General(jnp.eye(4)) if general else regard.scores.ScaledDot()

    def answers(query: Any, key: Any) -> Any:
        output, weights = regard.attend(query, key, key, score=score, mask=regard.causal())
        return output, weights @ key, weights.rmatmul(query), weights.received()

    shapes = jnp.zeros((1, 2, 5, 4)), jnp.zeros((1, 1, 5, 4))
    found = list(products(jax.make_jaxpr(jax.grad(lambda *x: answers(*x)[0].sum()))(*shapes).jaxpr))
    found += products(jax.make_jaxpr(answers)(*shapes).jaxpr)
    assert len(found) > 6
    assert {str(part) for precision in found for part in precision or ("none",)} == {"HIGHEST"}
    with jax.default_matmul_precision("tensorfloat32"):
        chosen = list(products(jax.make_jaxpr(answers)(*shapes).jaxpr))
    assert {str(part) for precision in chosen for part in precision or ("none",)} == {"HIGH"}
