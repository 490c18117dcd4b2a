"""Inputs of several types: integers, lists, vectors and mixed floats, in every library."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch

import regard
from regard import scores
from regard.attention.inputs import as_inputs
from regard.errors import InputError, ShapeError

QUERY, KEY, VALUE = [1, 0, 1], [[1, 0, 0], [0, 1, 0], [1, 0, 1]], [[1, 2], [3, 4], [5, 6]]


@pytest.mark.unchecked
def test_the_classic_example_as_it_is_written() -> None:
    """Lists of integers and one vector as query: what `worked` computes."""
    steps = regard.worked(QUERY, KEY, VALUE, show=False)
    output, weights = regard.attend(QUERY, KEY, VALUE)
    assert output.dtype == np.float64
    assert output.shape == (1, 2)
    np.testing.assert_allclose(output, steps.output, rtol=1e-12)
    np.testing.assert_allclose(weights.dense(), steps.weights, rtol=1e-12)


def test_integers_become_the_librarys_default(library: Callable[[Any], Any]) -> None:
    arrays = [library(np.array(x, np.int32)) for x in ([QUERY], KEY, VALUE)]
    output, weights = regard.attend(*arrays)
    default = {np.ndarray: np.float64, torch.Tensor: torch.float32}.get(type(output), jnp.float32)
    assert output.dtype == default
    steps = regard.worked(QUERY, KEY, VALUE, show=False)
    np.testing.assert_allclose(np.asarray(output), steps.output, rtol=1e-6)
    np.testing.assert_allclose(np.asarray(weights.dense()), steps.weights, rtol=1e-6)


@pytest.mark.unchecked
def test_integers_and_lists_take_the_others_type(library: Callable[[Any], Any]) -> None:
    value = library(np.array(VALUE, np.float32))
    steps = regard.worked(QUERY, KEY, VALUE, show=False)
    for query, key in (
        (QUERY, KEY),
        (library(np.array(QUERY)), [[1.0, 0, 0], [0, 1, 0], [1, 0, 1]]),
    ):
        output, _ = regard.attend(query, key, value)
        assert output.dtype == value.dtype
        np.testing.assert_allclose(np.asarray(output), steps.output, rtol=1e-6)


@pytest.mark.parametrize("length", [5, 600])
@pytest.mark.parametrize("which", [0, 1, 2])
@pytest.mark.parametrize(
    ("narrow", "wide", "expected"),
    [
        (torch.float16, torch.float32, torch.float32),
        (torch.bfloat16, torch.float32, torch.float32),
        (torch.float32, torch.float64, torch.float64),
        (torch.bfloat16, torch.float16, torch.float32),
    ],
)
def test_mixed_floats_are_widened(
    length: int, which: int, narrow: torch.dtype, wide: torch.dtype, expected: torch.dtype
) -> None:
    torch.manual_seed(0)
    arrays = [torch.randn(1, length, 8).to(narrow) for _ in range(3)]
    arrays[which] = torch.randn(1, length, 8).to(wide)
    widened = [x.to(expected) for x in arrays]
    for x in (*arrays, *widened):
        x.requires_grad_()
    output, weights = regard.attend(*arrays, mask=regard.causal())
    plain, _ = regard.attend(*widened, mask=regard.causal())
    assert output.dtype == expected
    torch.testing.assert_close(output, plain)
    for found, given, same in zip(
        torch.autograd.grad(output.square().sum(), arrays),
        arrays,
        torch.autograd.grad(plain.square().sum(), widened),
        strict=True,
    ):
        assert found.dtype == given.dtype
        torch.testing.assert_close(found, same.to(given.dtype))
    with torch.no_grad():
        torch.testing.assert_close(
            weights.received(), regard.attend(*widened, mask=regard.causal())[1].received()
        )


def test_mixed_floats_in_other_libraries(library: Callable[[Any], Any]) -> None:
    rng = np.random.default_rng(0)
    q, k = (
        rng.normal(size=(2, 5, 8)).astype(np.float32),
        rng.normal(size=(2, 5, 8)).astype(np.float16),
    )
    output, _ = regard.attend(library(q), library(k), library(k))
    expected, _ = regard.attend(
        library(q), library(k.astype(np.float32)), library(k.astype(np.float32))
    )
    assert output.dtype == library(q).dtype
    np.testing.assert_array_equal(np.asarray(output), np.asarray(expected))


def test_mixed_floats_under_autocast() -> None:
    """Autocast makes projections narrow; what joins them in float32 is not rounded without a word."""
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(8, 8), torch.randn(2, 5, 8)
    with torch.autocast("cpu", torch.bfloat16), torch.no_grad():
        key = layer(x)
        assert key.dtype == torch.bfloat16
        output, _ = regard.attend(x, key, key)
    expected, _ = regard.attend(x, key.float(), key.float())
    assert output.dtype == torch.float32
    torch.testing.assert_close(output, expected)


@pytest.mark.parametrize("length", [5, 600])
@pytest.mark.parametrize("weight", [torch.float32, torch.float64])
def test_scores_with_parameters_of_another_type(weight: torch.dtype, length: int) -> None:
    torch.manual_seed(0)
    w, u, v = torch.randn(8, 8), torch.randn(8, 8), torch.randn(8)
    q, k = torch.randn(2, 1, length, 8, dtype=torch.float64).unbind(0)
    for make in (
        lambda dtype: scores.General(w.to(dtype)),
        lambda dtype: scores.Additive(v.to(dtype), w.to(dtype), u.to(dtype)),
        lambda dtype: scores.Concat(v.to(dtype), torch.cat([w, u]).to(dtype)),
    ):
        expected, _ = regard.attend(q, k, k, score=make(torch.float64))
        for dtype in (torch.float32, torch.float64):
            arrays = q.to(dtype), k.to(dtype), k.to(dtype)
            output, _ = regard.attend(*arrays, score=make(weight))
            assert output.dtype == dtype
            torch.testing.assert_close(output.double(), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.unchecked
@pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="torch.compile before torch 2.13 cannot trace how attend finds the library of its arrays",
)
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_mixed_floats_are_traced_as_one_graph() -> None:
    x = torch.randn(2, 5, 8)
    traced = torch.compile(
        lambda x: regard.attend(x, x.bfloat16(), x.bfloat16())[0], fullgraph=True, backend="eager"
    )
    torch.testing.assert_close(traced(x), regard.attend(x, x.bfloat16(), x.bfloat16())[0])


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        (([[1.0, 2.0]], [[1.0, 2.0]], [1.0, 2.0, 3.0]), None),
        ((np.zeros((2, 2), "M8[s]"), KEY, VALUE), "query holds datetime64"),
        (([None], KEY, VALUE), "query is a list; expected a NumPy array"),
    ],
)
@pytest.mark.unchecked
def test_what_holds_no_numbers_is_refused(arrays: Any, message: str | None) -> None:
    if message is None:
        _, found = as_inputs(*arrays)
        assert found[2].shape == (1, 3)
        return
    with pytest.raises(InputError, match=message):
        as_inputs(*arrays)


@pytest.mark.unchecked
def test_too_many_axes_are_refused() -> None:
    with pytest.raises(ShapeError, match=r"key has shape \(1, 1, 1, 3, 3\); expected 2 to 4"):
        regard.attend(QUERY, [[[KEY]]], VALUE)


REFUSED = {
    "float8": (
        lambda x: x.to(torch.float8_e4m3fn),
        r"holds torch\.float8_e4m3fn; expected .* 16 to 64 bits",
    ),
    "sparse": (
        lambda x: x.to_sparse(),
        r"is a tensor of layout torch\.sparse_coo; expected a dense one",
    ),
    "quantized": (
        lambda x: torch.quantize_per_tensor(x, 0.1, 0, torch.qint8),
        r"holds torch\.qint8",
    ),
    "masked": (lambda x: np.ma.masked_greater(x.numpy(), 1.0), r"is a masked array .*filled\(0\)"),
    "extended": (
        lambda x: x.numpy().astype(np.longdouble),
        r"holds float.*; expected .* 16 to 64 bits",
    ),
}


@pytest.mark.unchecked
@pytest.mark.filterwarnings("ignore:.*quantize")
@pytest.mark.parametrize("kind", REFUSED)
def test_arrays_whose_numbers_would_be_lost(kind):
    """float128 was rounded to float32, and what a masked array hides was attended to or broke the shapes."""
    make, message = REFUSED[kind]
    x = make(torch.randn(4, 6))
    if kind == "extended" and x.dtype.itemsize == 8:
        pytest.skip("the long double of this platform is float64")
    with pytest.raises(InputError, match=message):
        regard.attend(x, x, x)


@pytest.mark.parametrize("argument", ["mask", "bias"])
def test_masked_arrays_as_mask_and_bias(argument):
    x = np.ones((3, 4))
    ones = np.ones((3, 3), bool if argument == "mask" else float)
    given: dict[str, Any] = {argument: np.ma.masked_array(ones, mask=False)}
    with pytest.raises(InputError, match=f"{argument} is a masked array of NumPy"):
        regard.attend(x, x, x, **given)


@pytest.mark.filterwarnings("ignore:the matrix subclass")
def test_matrices_of_numpy_are_arrays():
    """Their `*` is a matrix product."""
    x = np.random.default_rng(0).normal(size=(5, 4))
    output, weights = regard.attend(*[np.asmatrix(x)] * 3)
    expected, others = regard.attend(x, x, x)
    np.testing.assert_array_equal(output, expected)
    np.testing.assert_array_equal(weights.entropy(), others.entropy())


@pytest.mark.parametrize("options", [{}, {"mask": regard.causal()}, {"watch": ("entropy",)}])
def test_shapes_alone_on_the_meta_device(options):
    x = torch.zeros(1, 2, 600, 8, device="meta")
    output, _ = regard.attend(x, x, x, **options)
    assert output.shape == x.shape
    assert output.device.type == "meta"
