"""The kernels as operators of torch: opcheck, compile, export."""

from __future__ import annotations

import pytest
import torch

import regard
from regard.attention import kernels
from regard.attention.kernels import operators


def arguments(grad=True, dropout=0.25, **asked):
    q, k, v = (
        torch.randn(2, heads, length, 16, requires_grad=grad)
        for heads, length in ((4, 19), (2, 23), (2, 23))
    )
    low = torch.zeros(1, 1, 19, dtype=torch.int64)
    statistics = {"entropy": True, "top": 3, "query_block": 5, "key_block": 9, "received": True}
    return (
        q, k, v, low, low + 17, None, None, torch.randn(1, 1, 19, 23),
        0.25, dropout, 3, 0, *(statistics | asked).values(),
    )  # fmt: skip


@pytest.mark.parametrize("dropout", [0.0, 0.25])
def test_opcheck_forward(dropout):
    torch.library.opcheck(torch.ops.regard.attend, arguments(dropout=dropout))


def test_opcheck_additive():
    given = list(arguments())
    given[5] = torch.randn(16, requires_grad=True)
    torch.library.opcheck(torch.ops.regard.attend, tuple(given))


def test_opcheck_backward():
    given = arguments(grad=False)
    output, lse, *_ = operators.attend(*given)
    rows = torch.randn(2, 4, 19), torch.randn(2, 4, 19)
    arrays = (*given[:12], torch.randn_like(output), lse, *rows)
    torch.library.opcheck(torch.ops.regard.attend_backward, arrays)


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(kernels, "SMALL", 0)


def attention(q, k, v):
    output, weights = regard.attend(q, k, v, dropout=0.1, seed=1, watch=("entropy", "topk"))
    return output, weights.entropy(), weights.topk().positions


@pytest.mark.unchecked
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_compile(always):
    q, k, v = (torch.randn(1, 2, 33, 16, requires_grad=True) for _ in range(3))
    compiled = torch.compile(attention, fullgraph=True, backend="aot_eager")
    eager, graph = attention(q, k, v), compiled(q, k, v)
    for one, other in zip(eager, graph, strict=True):
        assert torch.equal(one, other)
    slopes = (torch.autograd.grad(out[0].sum() + out[1].sum(), (q, k, v)) for out in (eager, graph))
    for one, other in zip(*slopes, strict=True):
        assert torch.equal(one, other)


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_export(always):
    class Block(torch.nn.Module):
        def forward(self, q, k, v):
            return attention(q, k, v)[:2]

    arrays = tuple(torch.randn(1, 2, 33, 16) for _ in range(3))
    program = torch.export.export(Block(), arrays)
    assert "regard.attend" in str(program.graph)
    for one, other in zip(program.module()(*arrays), Block()(*arrays), strict=True):
        assert torch.equal(one, other)
