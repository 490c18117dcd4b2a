"""The kernels as operators of torch: opcheck, compile, export."""

from __future__ import annotations

import shutil
from typing import Any

import pytest
import torch
from torch._dynamo.testing import CompileCounterWithBackend

import regard
from regard.attention import scores
from regard.attention.kernels import limits
from regard.attention.kernels.fused import torch_ops

traced = pytest.mark.skipif(
    tuple(map(int, torch.__version__.split(".")[:2])) < (2, 13),
    reason="torch.compile before torch 2.13 cannot trace how attend finds the library of its arrays",
)
"""Marks tests that compile a function which calls `attend`."""


def arguments(grad=True, dropout=0.25, **requested):
    q, k, v = (
        torch.randn(2, heads, length, 16, requires_grad=grad)
        for heads, length in ((4, 19), (2, 23), (2, 23))
    )
    low = torch.zeros(1, 1, 19, dtype=torch.int64)
    statistics = {"entropy": True, "top": 3, "query_block": 5, "key_block": 9, "received": True}
    statistics["max_score"] = True
    return (
        q, k, v, low, low + 17, None, None, torch.randn(1, 1, 19, 23), None,
        0.25, 0.0, dropout, 3, 0, *(statistics | requested).values(),
    )  # fmt: skip


NO_STATISTICS = {
    "entropy": False, "top": 0, "query_block": 0, "key_block": 0, "received": False, "max_score": False,
}  # fmt: skip


@pytest.mark.parametrize("dropout", [0.0, 0.25])
@pytest.mark.parametrize("requested", [{}, NO_STATISTICS])
def test_opcheck_forward(dropout, requested):
    torch.library.opcheck(torch.ops.regard.attend, arguments(dropout=dropout, **requested))


def test_opcheck_additive():
    given = list(arguments())
    given[5] = torch.randn(16, requires_grad=True)
    torch.library.opcheck(torch.ops.regard.attend, tuple(given))


def test_opcheck_of_a_cap_and_a_sink():
    given = list(arguments())
    given[8], given[10] = torch.randn(1, 4, requires_grad=True), 2.5
    torch.library.opcheck(torch.ops.regard.attend, tuple(given))


def test_opcheck_backward():
    given = arguments(grad=False)
    output, lse, *_ = torch_ops.attend(*given)
    rows = torch.randn(2, 4, 19), torch.randn(2, 4, 19)
    arrays = (*given[:14], torch.randn_like(output), lse, *rows)
    torch.library.opcheck(torch.ops.regard.attend_backward, arrays)


def test_the_gradient_of_the_log_sum():
    q, k, v, low, high, *others = arguments(dropout=0.0, **NO_STATISTICS)
    of_rows = torch.randn(2, 4, 19)
    lse = torch_ops.attend(q, k, v, low, high, *others)[1]
    found = torch.autograd.grad((lse * of_rows).sum(), (q, k))
    keys = k.double().repeat_interleave(2, 1)
    scores = 0.25 * q.double() @ keys.transpose(2, 3) + others[2]
    place = torch.arange(23)
    seen = (place >= low[..., None]) & (place < high[..., None])
    exact = scores.masked_fill(~seen, -torch.inf).logsumexp(-1)
    torch.testing.assert_close(lse, exact, rtol=2e-6, atol=2e-6)
    expected = torch.autograd.grad((exact * of_rows).sum(), (q, k))
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-6)


@pytest.fixture
def always(monkeypatch):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)


def attention(q, k, v):
    output, weights = regard.attend(q, k, v, dropout=0.1, seed=1, watch=("entropy", "topk"))
    return output, weights.entropy(), weights.topk().positions


@traced
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


EVERYTHING = ("entropy", "topk", "pool", "received")
REAL = torch.rand(2, 1, 33, 33, generator=torch.Generator().manual_seed(0)) > 0.3
CASES = {
    "causal": {"mask": regard.causal()},
    "padding": {"mask": regard.padding(torch.tensor([20, 33]))},
    "causal and padding": {"mask": regard.causal() & regard.padding(torch.tensor([33, 0]))},
    "window": {"mask": regard.window(5)},
    "documents": {"mask": regard.documents(torch.tensor([0] * 20 + [1] * 13))},
    "Boolean": {"mask": REAL},
    "bias": {"bias": regard.positions.ALiBi(), "mask": regard.causal()},
    "dropout": {"mask": regard.causal(), "dropout": 0.3, "seed": -4},
    "watched": {"mask": regard.window(9), "watch": EVERYTHING},
    "watched, Boolean": {"mask": REAL, "watch": EVERYTHING},
    "additive": {"score": scores.Additive(torch.ones(16) / 4), "mask": regard.causal()},
    "watched, no mask": {"watch": EVERYTHING},
    "capped, with a sink": {
        "score": scores.Capped(scores.ScaledDot(), 2.0),
        "normalizer": regard.normalizers.Softmax(torch.tensor([0.5, -1.0])),
        "mask": regard.causal(),
        "watch": EVERYTHING,
    },
}


def everything(settings):
    """A function of query, key and value whose answers come as one tuple."""

    def function(q, k, v):
        output, weights = regard.attend(q, k, v, **settings)
        if "watch" not in settings:
            return (output,)
        pool = weights.pool()
        return output, weights.entropy(), weights.topk().values, *pool, weights.received()

    return function


@pytest.fixture
def three():
    generator = torch.Generator().manual_seed(1)
    return [torch.randn(2, 2, 33, 16, generator=generator, requires_grad=True) for _ in range(3)]


@traced
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize(
    ("name", "kernel"), [*((name, True) for name in CASES), ("window", False), ("dropout", False)]
)
def test_compiled_masks(monkeypatch, three, name, kernel):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0 if kernel else 2**60)
    function = everything(CASES[name])
    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    eager, graph = function(*three), compiled(*three)
    for one, other in zip(eager, graph, strict=True):
        assert (one - other).abs().max() < 1e-6
    slopes = (torch.autograd.grad(out[0].square().sum() / 64, three) for out in (eager, graph))
    for one, other in zip(*slopes, strict=True):
        assert (one - other).abs().max() < 1e-6
    torch.compiler.reset()


@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize("name", ["causal", "padding", "watched, Boolean"])
def test_exported_masks_take_the_kernel(always, three, name):
    class Block(torch.nn.Module):
        def forward(self, q, k, v):
            return everything(CASES[name])(q, k, v)

    arrays = tuple(x.detach() for x in three)
    program = torch.export.export(Block(), arrays)
    assert "regard.attend" in str(program.graph)
    for one, other in zip(program.module()(*arrays), Block()(*arrays), strict=True):
        assert (one - other).abs().max() < 1e-6


@traced
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize(
    ("name", "kernel"),
    [
        ("causal and padding", True),
        ("watched, Boolean", True),
        ("watched, no mask", True),
        ("bias", True),
        ("Boolean", False),
    ],
)
def test_what_is_masked_stays_out_of_a_compiled_function(monkeypatch, three, name, kernel):
    """NaN, too: it reaches what may see it, as in the tiles, and nothing else."""
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0 if kernel else 2**60)
    q, k, v = (x.detach().clone() for x in three)
    q[0, 0, 7, 3] = k[0, 1, 20] = v[1, 0, 30, 0] = float("nan")
    function = everything(CASES[name])
    graph = torch.compile(function, fullgraph=True, backend="aot_eager")(q, k, v)
    for one, other in zip(function(q, k, v), graph, strict=True):
        assert torch.allclose(one, other, atol=1e-6, equal_nan=True)
    assert graph[0].isnan().any()
    assert graph[0].isfinite().any()
    torch.compiler.reset()


SIZES = (0, 2**60)  # of limits.FUSED_MIN_WEIGHTS: the fused kernel, or torch's flash kernel
LENGTHS: dict[str, tuple[int, dict[str, Any]]] = {  # key heads, and arguments of attend
    "plain": (2, {}),
    "causal, grouped": (1, {"mask": regard.causal()}),
    "window, watched": (2, {"mask": regard.window(5, 3), "watch": ("entropy",)}),
    "window, grouped": (1, {"mask": regard.window(5, 3)}),
    "ALiBi": (2, {"bias": regard.positions.ALiBi()}),
}


@traced
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize("least", SIZES)
@pytest.mark.parametrize("name", LENGTHS)
def test_one_graph_for_every_length(monkeypatch, name, least):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    key_heads, given = LENGTHS[name]

    def function(q, k, v):
        return regard.attend(q, k, v, **given)[0]

    torch.compiler.reset()
    graphs = CompileCounterWithBackend("eager")
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=graphs)
    for length in (33, 47, 70):
        q, k, v = (torch.randn(1, heads, length, 16) for heads in (2, key_heads, key_heads))
        assert (compiled(q, k, v) - function(q, k, v)).abs().max() < 1e-6
    assert graphs.frame_count == 1
    torch.compiler.reset()


@traced
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize("least", SIZES)
@pytest.mark.parametrize(
    "make",
    [
        lambda n: torch.ones(n, n).tril().bool(),
        lambda n: torch.rand(1, 1, 1, n) > 0.3,
        lambda n: torch.tensor([n - 3]),
    ],
)
def test_one_graph_for_every_mask_that_is_given(monkeypatch, make, least):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)

    def function(q, k, v, mask):
        mask = regard.padding(mask) if mask.ndim == 1 else mask
        return regard.attend(q, k, v, mask=mask, watch=("entropy",))[0]

    torch.compiler.reset()
    graphs = CompileCounterWithBackend("eager")
    compiled = torch.compile(function, fullgraph=True, dynamic=True, backend=graphs)
    for length in (33, 47, 70):
        given = *(torch.randn(1, 2, length, 16) for _ in range(3)), make(length)
        assert (compiled(*given) - function(*given)).abs().max() < 1e-6
    assert graphs.frame_count == 1
    torch.compiler.reset()


@traced
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
@pytest.mark.parametrize("least", SIZES)
def test_one_exported_program_for_every_length(monkeypatch, least):
    """A program is one graph; torch refuses to export one that would hold for some lengths only."""
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)

    class Block(torch.nn.Module):
        def forward(self, q, k, v):
            return regard.attend(q, k, v, mask=regard.window(9), watch=("entropy",))[0]

    length = torch.export.Dim("length", min=20, max=200)
    arrays = tuple(torch.randn(1, 2, 33, 16) for _ in range(3))
    program = torch.export.export(Block(), arrays, dynamic_shapes=({2: length},) * 3)
    for size in (20, 47, 200):
        given = [torch.randn(1, 2, size, 16) for _ in range(3)]
        assert (program.module()(*given) - Block()(*given)).abs().max() < 1e-6


CAPPED = {
    "score": scores.Capped(scores.ScaledDot(), 2.0),
    "normalizer": regard.normalizers.Softmax(torch.tensor(0.5)),
}


@pytest.mark.filterwarnings("ignore:There is a performance drop")
@pytest.mark.parametrize("length", [5, 33])
@pytest.mark.parametrize("mask", [None, regard.causal()])
@pytest.mark.parametrize("watch", [(), ("entropy",)])
@pytest.mark.parametrize("parts", [{}, CAPPED], ids=["plain", "capped"])
def test_mapped_over_examples(always, three, length, mask, watch, parts):
    """By `torch.func.vmap`, under which no number can be looked at."""
    given = [x.detach()[:, :, :length] for x in three]
    parts = parts | {"mask": mask, "watch": watch}

    def function(q, k, v):
        return regard.attend(q, k, v, **parts)[0]

    assert (torch.func.vmap(function)(*given) - function(*given)).abs().max() < 1e-6


@traced
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_a_compiled_layer(always):
    layer = regard.layers.MultiHeadAttention(32, 2)
    x = torch.randn(2, 33, 32)
    mask = regard.causal() & regard.padding(torch.tensor([33, 20]))

    def function(x):
        return layer(x, mask=mask)[0]

    compiled = torch.compile(function, backend="aot_eager")
    found = []
    for one in (function, compiled):
        output = one(x)
        found.append((output, *torch.autograd.grad(output.square().mean(), [*layer.parameters()])))
    for one, other in zip(*found, strict=True):
        assert (one - other).abs().max() < 1e-6
    torch.compiler.reset()


@traced
@pytest.mark.filterwarnings("ignore:Dynamo detected a call to a `functools.lru_cache`")
def test_another_seed_needs_no_other_graph_and_gives_its_own_noise(always, three):
    def function(q, k, v, seed):
        return regard.attend(q, k, v, mask=regard.causal(), dropout=0.3, seed=seed)[0]

    compiled = torch.compile(function, fullgraph=True, backend="aot_eager")
    q, k, v = three
    for seed in (3, 4, 2**40 + 5, 6):
        assert torch.equal(compiled(q, k, v, seed), function(q, k, v, seed))
    torch.compiler.reset()


@traced
@pytest.mark.filterwarnings("ignore")  # of the compiler's own
@pytest.mark.skipif(
    not any(shutil.which(name) for name in ("g++", "clang++", "c++")), reason="no C++ compiler"
)
def test_compiled_to_machine_code(always, three):
    function = everything(CASES["watched"])
    graph = torch.compile(function, fullgraph=True)(*three)
    for one, other in zip(function(*three), graph, strict=True):
        assert (one - other).abs().max() < 1e-6
    torch.compiler.reset()


@pytest.mark.parametrize("name", ["window", "Boolean"])
def test_opcheck_of_masked_problems(name):
    q, k, v = (torch.randn(2, 2, 33, 8, requires_grad=True) for _ in range(3))
    low, high = torch.zeros(1, 1, 33, dtype=torch.int64), torch.full((1, 1, 33), 33)
    if name == "window":
        low, high = torch.arange(33)[None, None] - 3, torch.arange(33)[None, None] + 1
    given = (
        q, k, v, low.clamp_min(0), high, None, REAL if name == "Boolean" else None, None, None,
        0.3, 0.0, 0.1, 3, 0, True, 5, 5, 9, True, True,
    )  # fmt: skip
    torch.library.opcheck(torch.ops.regard.attend, given)
    detached = tuple(x.detach() if isinstance(x, torch.Tensor) else x for x in given)
    output, lse, *_ = torch_ops.attend(*detached)
    rows = torch.randn(2, 2, 33), torch.randn(2, 2, 33)
    arrays = (*detached[:14], torch.randn_like(output), lse, *rows)
    torch.library.opcheck(torch.ops.regard.attend_backward, arrays)
