"""Attention of JAX functions, through the transformations that hide it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

import regard
from regard.errors import InputError

jax = pytest.importorskip("jax")
jnp = pytest.importorskip("jax.numpy")


def array(*shape: int, seed: int = 0) -> Any:
    return jnp.asarray(np.random.default_rng(seed).standard_normal(shape), "float32")


def weights_of(query: Any, key: Any, causal: bool = True) -> Any:
    key = jnp.repeat(key, query.shape[2] // key.shape[2], 2)
    scores = jnp.einsum("bihd,bjhd->bhij", query, key) / query.shape[-1] ** 0.5
    if causal:
        scores = jnp.where(jnp.tril(jnp.ones(scores.shape[-2:], bool)), scores, -jnp.inf)
    return jax.nn.softmax(scores, -1)


def attend(x: Any, y: Any) -> Any:
    return jax.nn.dot_product_attention(x, y, y, is_causal=True)


def check(function: Any, args: tuple[Any, ...], *expected: Any) -> None:
    output, maps = regard.watch_jax(function)(*args)
    for found, true in zip(jax.tree.leaves(output), jax.tree.leaves(function(*args)), strict=True):
        np.testing.assert_array_equal(found, true)
    assert len(maps) == len(expected)
    for found, true in zip(maps, expected, strict=True):
        assert found.shape == true.shape
        np.testing.assert_allclose(found.dense(), true, atol=1e-6)


@pytest.mark.parametrize("key_heads", [1, 2, 4])
@pytest.mark.parametrize("transform", [lambda f: f, jax.jit, jax.checkpoint])
def test_dot_product_attention_of_jax(key_heads, transform):
    x, y = array(2, 5, 4, 8), array(2, 5, key_heads, 8, seed=1)
    check(transform(attend), (x, y), weights_of(x, y))


def test_vmap_adds_the_batch():
    x = array(2, 5, 4, 8)
    check(jax.vmap(lambda x: attend(x, x)), (x,), weights_of(x, x))


def layer(x: Any, w: Any) -> tuple[Any, None]:
    q, k, v = (jnp.einsum("bid,dhe->bihe", x, part) for part in w)
    return x + jax.nn.dot_product_attention(q, k, v).reshape(x.shape), None


def stack(w: Any, x: Any) -> Any:
    return jax.lax.scan(layer, x, w)[0]


def stack_with_remat(w: Any, x: Any) -> Any:
    return jax.lax.scan(jax.checkpoint(layer), x, w)[0]


@pytest.mark.parametrize(
    "function",
    [
        stack,
        jax.jit(stack),
        stack_with_remat,
        jax.grad(lambda w, x: stack(w, x).sum()),
        jax.grad(lambda w, x: stack_with_remat(w, x).sum()),
    ],
    ids=["scan", "jit", "remat", "grad", "grad of remat"],
)
def test_layers_of_a_scan_are_counted_once(function):
    w, x = tuple(array(3, 16, 4, 4, seed=n) * 0.3 for n in range(3)), array(2, 5, 16)
    expected, states = [], x
    for n in range(3):
        q, k, _ = (jnp.einsum("bid,dhe->bihe", states, part[n]) for part in w)
        expected.append(weights_of(q, k, causal=False))
        states = layer(states, [part[n] for part in w])[0]
    check(function, (w, x), *expected)


def test_loops_and_branches_are_followed():
    x = array(2, 5, 4, 8)
    y = attend(x, x)

    def loop(x: Any) -> Any:
        return jax.lax.fori_loop(0, 2, lambda _, x: attend(x, x), x)

    def branch(x: Any) -> Any:
        return jax.lax.cond(x.sum() < 1e9, lambda x: attend(x, x), lambda x: x, x)

    check(loop, (x,), weights_of(x, x), weights_of(y, y))
    check(branch, (x,), weights_of(x, x))


def test_softmaxes_written_by_hand():
    x = array(2, 5, 4, 8)

    def by_exp(x: Any) -> Any:
        e = jnp.exp(jnp.einsum("bihd,bjhd->bijh", x, x) / 8**0.5)
        return jnp.einsum("bijh,bjhd->bihd", e / e.sum(2, keepdims=True), x)

    def by_log_softmax(x: Any) -> Any:
        scores = jnp.einsum("bihd,bjhd->bhij", x, x) / 8**0.5
        return jnp.einsum("bhij,bjhd->bihd", jnp.exp(jax.nn.log_softmax(scores, -1)), x)

    expected = weights_of(x, x, causal=False)
    check(by_exp, (x,), expected)
    check(by_log_softmax, (x,), expected)


def test_one_text_and_one_head_and_a_router():
    x, w = array(5, 8), [array(8, 8, seed=n) for n in range(1, 4)]

    def model(x: Any, w: Any) -> Any:
        y = jax.nn.softmax((x @ w[0]) @ (x @ w[1]).T, -1) @ x
        gate = jax.nn.softmax(y @ w[2][:, :2], -1)
        return jnp.einsum("te,ted->td", gate, jnp.stack([y, 2 * y], 1))

    check(model, (x, w), jax.nn.softmax((x @ w[0]) @ (x @ w[1]).T, -1)[None, None])


def test_heads_of_one_text():
    x = array(5, 4, 8)

    def model(x: Any) -> Any:
        return jnp.einsum("hij,jhd->ihd", jax.nn.softmax(jnp.einsum("ihd,jhd->hij", x, x), -1), x)

    check(model, (x,), jax.nn.softmax(jnp.einsum("ihd,jhd->hij", x, x), -1)[None])


def test_pooling_by_a_learned_score():
    x, w = array(2, 5, 8), array(8, seed=1)

    def model(x: Any, w: Any) -> Any:
        return (jax.nn.softmax(jnp.tanh(x) @ w, 1)[:, :, None] * x).sum(1)

    check(model, (x, w), jax.nn.softmax(jnp.tanh(x) @ w, 1)[:, None, None])


def test_a_function_without_attention_is_refused():
    with pytest.raises(InputError, match="no attention was found in it"):
        regard.watch_jax(lambda x: jax.nn.softmax(x, -1))(array(3, 4))


def test_a_branch_that_is_not_known_is_refused():
    x = array(2, 5, 4, 8)

    def model(x: Any) -> Any:
        return jax.lax.cond(x.sum() < 0, lambda x: attend(x, x), lambda x: x, x)

    with pytest.raises(InputError, match="call watch_jax outside of jit"):
        jax.jit(lambda x: regard.watch_jax(model)(x)[0])(x)
