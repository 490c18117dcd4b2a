"""The key-value cache against copies, and the kernel of a decoding step against attend."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor

from regard.attention import attend
from regard.attention.normalizers import Softmax
from regard.attention.scores import Capped, ScaledDot, Score
from regard.layers import Cache, MultiHeadAttention
from regard.layers.cache import DeferredCaches, attend_decode_step


def keys(rows: int, new: int, seed: int) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(seed)
    key, value = (torch.randn(rows, 2, new, 5, generator=generator) for _ in range(2))
    return key, value


def contents(cache: Cache) -> tuple[Tensor, Tensor]:
    key, value = cache.gathered()
    return key.clone(), value.clone()


def test_a_beam_against_copying_everything() -> None:
    """Over more steps than the first buffer has positions."""
    key, value = keys(7, 3, 0)
    cache = Cache(key, value)
    for step in range(23):
        order = torch.randint(len(key), (len(key) - step % 2,))
        cache, key, value = cache.select(order), key[order], value[order]
        new = keys(len(order), 1 + step % 3, step)
        cache = cache.extend(*new)
        key, value = torch.cat([key, new[0]], 2), torch.cat([value, new[1]], 2)
        assert cache.length == key.shape[2]
        torch.testing.assert_close(cache.gathered(), (key, value), rtol=0, atol=0)
        if len(key) < 3:
            key, value = keys(7, 2, step)
            cache = Cache(key, value)


def test_two_extensions_of_one_cache_are_independent() -> None:
    cache = Cache(*keys(3, 2, 0)).extend(*keys(3, 1, 1))
    before = contents(cache)
    one = cache.extend(*keys(3, 1, 2))
    first = contents(one)
    two = cache.select(torch.tensor([2, 0])).extend(*keys(2, 1, 3))
    second = contents(two)
    one.extend(*keys(3, 1, 4))
    two.extend(*keys(2, 1, 5))
    for cached, expected in ((cache, before), (one, first), (two, second)):
        torch.testing.assert_close(cached.gathered(), expected, rtol=0, atol=0)


def test_gradients_flow_through_steps() -> None:
    layer = MultiHeadAttention(8, 2).double()
    x = torch.randn(2, 3, 8, dtype=torch.float64, requires_grad=True)

    def run(x: Tensor) -> Tensor:
        cache, parts = None, []
        for position in range(3):
            output, _, cache = layer.step(x[:, position : position + 1], cache)
            parts.append(output)
        return torch.cat(parts, 1)

    assert torch.autograd.gradcheck(run, (x,), fast_mode=True)


def test_keys_that_a_gradient_needs_are_not_overwritten() -> None:
    key, value = keys(3, 2, 0)
    cache = Cache(key.requires_grad_(), value).extend(*keys(3, 1, 1))
    squares = (cache.key**2).sum()
    cache.extend(*keys(3, 1, 2))
    squares.backward()
    torch.testing.assert_close(key.grad, 2 * key.detach())


@pytest.mark.parametrize("key_heads", [6, 2])
@pytest.mark.parametrize("queries", [1, 5])
@torch.no_grad()
def test_a_decode_step_against_attend(key_heads: int, queries: int) -> None:
    torch.manual_seed(1)
    query = torch.randn(37, 6, queries, 7)
    key, value = torch.randn(37, key_heads, 11, 7), torch.randn(37, key_heads, 11, 7)
    mask = torch.rand(37, 11) > 0.4
    mask[3] = False
    key[~mask[:, None].expand(-1, key_heads, -1)] = torch.nan
    mask = mask[:, None, None]
    expected, weights = attend(query, key, value, mask=mask)
    found = attend_decode_step(query, Cache(key, value), mask, scale=7**-0.5)
    assert found is not None
    torch.testing.assert_close(found[0], expected.transpose(1, 2).flatten(2))
    torch.testing.assert_close(found[1].dense(), weights.dense())
    assert not found[0][3].any()


@pytest.mark.parametrize("cap", [None, 2.0])
@pytest.mark.parametrize("sink", [None, 0.5, "infinite", "heads", "examples"])
@torch.no_grad()
def test_a_decode_step_with_a_cap_and_a_sink_against_attend(cap: Any, sink: Any) -> None:
    generator = torch.Generator().manual_seed(3)
    query, key, value = (
        3 * torch.randn(20, heads, length, 7, generator=generator)
        for heads, length in ((6, 2), (2, 11), (2, 11))
    )
    if sink == "heads":
        sink = torch.nn.Parameter(torch.linspace(-3, 9, 6))
    elif sink == "infinite":
        sink = torch.tensor([math.inf, -math.inf]).repeat(3)
    elif sink == "examples":
        sink = torch.linspace(-3, 9, 120).reshape(20, 6, 1, 1)
    mask = torch.rand(20, 1, 1, 11, generator=generator) > 0.4
    mask[3] = False
    key[7, 0, 2] *= 1e30  # beyond the cap, whatever it is
    score: Score = ScaledDot()
    score = score if cap is None else Capped(score, cap)
    expected, weights = attend(query, key, value, mask=mask, score=score, normalizer=Softmax(sink))
    found = attend_decode_step(query, Cache(key, value), mask, scale=7**-0.5, cap=cap, sink=sink)
    assert found is not None
    torch.testing.assert_close(found[0], expected.transpose(1, 2).flatten(2), atol=2e-6, rtol=1e-5)
    torch.testing.assert_close(found[1].dense(), weights.dense(), atol=1e-6, rtol=1e-5)


@torch.no_grad()
def test_a_decode_step_against_attend_with_a_row_index() -> None:
    torch.manual_seed(2)
    cache = Cache(torch.randn(40, 2, 3, 8), torch.randn(40, 2, 3, 8))
    for _ in range(4):
        cache = cache.extend(torch.randn(40, 2, 1, 8), torch.randn(40, 2, 1, 8))
        cache = cache.select(torch.randint(40, (40,)))
    query = torch.randn(40, 2, 1, 8)
    found = attend_decode_step(query, cache, None, scale=8**-0.5)
    assert found is not None
    expected, weights = attend(query, *cache.gathered())
    torch.testing.assert_close(found[0], expected.transpose(1, 2).flatten(2))
    torch.testing.assert_close(found[1].dense(), weights.dense())


@torch.no_grad()
def test_a_decode_step_on_another_device_than_the_default() -> None:
    """torch's meta device, the default here, mixes with no other."""
    cache, query = (
        Cache(torch.randn(40, 2, 11, 8), torch.randn(40, 2, 11, 8)),
        torch.randn(40, 6, 5, 8),
    )
    expected = attend_decode_step(query, cache, None, scale=0.4)
    with torch.device("meta"):
        found = attend_decode_step(query, cache, None, scale=0.4)
    assert expected is not None
    assert found is not None
    assert torch.equal(found[0], expected[0])


def test_a_decode_step_keeps_a_nan() -> None:
    query, key, value = (torch.randn(40, 2, length, 8) for length in (1, 3, 3))
    query[7, 0] = key[11, 1] = torch.nan
    mask = torch.tensor([True, True, False]).expand(40, 1, 1, 3)
    with torch.no_grad():
        found = attend_decode_step(query, Cache(key, value), mask, scale=1.0)
    assert found is not None
    expected = torch.zeros(40, 2, dtype=torch.bool)
    expected[7, 0] = expected[11, 1] = True
    assert (found[0].isnan().view(40, 2, -1) == expected[..., None]).all()
    assert (found[1].dense()[:, :, 0, :2].isnan() == expected[..., None]).all()


def test_other_problems_are_left_to_attend() -> None:
    query, cache = (
        torch.randn(40, 2, 1, 8),
        Cache(torch.randn(40, 2, 3, 8), torch.randn(40, 2, 3, 8)),
    )
    assert attend_decode_step(query, cache, None, scale=1.0) is None  # a gradient may be wanted
    with torch.no_grad():
        assert attend_decode_step(query, cache, None, scale=1.0) is not None
        assert attend_decode_step(query.double(), cache, None, scale=1.0) is None
        assert attend_decode_step(query[:4], cache.select(torch.arange(4)), None, scale=1.0) is None
        assert (
            attend_decode_step(query, cache, torch.ones(40, 2, 1, 3, dtype=torch.bool), scale=1.0)
            is None
        )


def test_deferred_caches_select_when_they_are_read() -> None:
    stored = [Cache(torch.randn(5, 2, 3, 4), torch.randn(5, 2, 3, 4)) for _ in range(2)]
    deferred = DeferredCaches(stored)
    assert [cache is own for cache, own in zip(deferred, stored, strict=True)] == [True, True]
    left = deferred.select(torch.tensor([4, 1, 3])).select(torch.tensor([2, 0]))
    assert left.rows is not None
    assert left.rows.tolist() == [3, 4]
    for cache, own in zip(left, stored, strict=True):
        assert torch.equal(cache.key, own.key[[3, 4]])
        assert torch.equal(cache.value, own.value[[3, 4]])
    assert next(iter(left)) is next(iter(left))  # copied once
