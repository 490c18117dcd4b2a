"""The passes of a GPU: on one where there is one, else interpreted; and that they compile without one.

What they share with the processor's kernel (masks, biases, sizes) is tested in `fused/test_adapter.py`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import regard
from regard.attention.kernels import limits
from regard.attention.kernels.fused import torch_ops
from regard.attention.kernels.fused.partition import split_edges
from regard.attention.masks import as_mask

pytest.importorskip("triton")


def arrays(kind=torch.float32, queries=70, keys=131, features=32, values=20):
    generator = torch.Generator().manual_seed(0)
    shapes = (2, 6, queries, features), (2, 3, keys, features), (2, 3, keys, values)
    return [torch.randn(shape, generator=generator).to(kind) for shape in shapes]


@pytest.mark.parametrize("kind", [torch.bfloat16, torch.float16])
def test_half_precision(helpers, gpu, kind):
    """Scores and statistics are made in float32; the weights are rounded where they meet the values."""
    q, k, v = arrays(kind)
    output, found = helpers.run(q, k, v, mask=regard.causal())
    weights = helpers.dense(q, k, torch.ones(70, 131).tril(131 - 70).bool())
    exact = weights @ v.double().repeat_interleave(2, 1)
    rounding = weights @ v.double().abs().repeat_interleave(2, 1) * torch.finfo(kind).eps
    assert output.dtype == kind
    assert ((output.double() - exact).abs() <= rounding + 1e-6).all()
    top, indices = found["topk", 5]
    assert helpers.difference(top, weights.topk(5).values) < 2e-6
    assert helpers.difference(weights.gather(-1, indices), weights.topk(5).values) < 2e-6
    assert helpers.difference(found["received",], weights.sum(2)) < 3e-6
    assert helpers.difference(found["entropy",], torch.special.entr(weights).sum(-1)) < 2e-6


def test_dropout_is_that_of_a_processor(helpers, gpu):
    q, k, v = arrays()
    for seed in (0, 2**40 + 3):
        mask = regard.window(40)
        output, _ = helpers.run(q, k, v, statistics=(), dropout=0.3, seed=seed, mask=mask)
        expected, _ = regard.attend(q, k, v, dropout=0.3, seed=seed, mask=mask)
        assert helpers.difference(output, expected) < 2e-6


@pytest.mark.parametrize("k", [1, 8, 17, 32])
@pytest.mark.parametrize("kind", ["random", "rising", "falling", "tied"])
def test_lists_of_every_length(helpers, gpu, k, kind):
    """Of tied scores the keys that come first stay; what a list lacks is filled with keys once each."""
    generator = torch.Generator().manual_seed(8)
    scores = {
        "random": torch.randn(1, 1, 9, 111, generator=generator),
        "rising": torch.arange(9 * 111).reshape(1, 1, 9, 111) / 100,
        "falling": torch.arange(9 * 111).flip(0).reshape(1, 1, 9, 111) / 100 - 20,
        "tied": torch.randint(0, 4, (1, 1, 9, 111), generator=generator) / 2,
    }[kind]
    query = torch.eye(9)[None, None] * 3
    nothing = torch.zeros(1, 1, 111, 2)
    _, found = helpers.run(query, scores.mT.float(), nothing, statistics=(("topk", k),))
    order = torch.sort(scores.double().softmax(-1), stable=True, dim=-1, descending=True)
    values, indices = found["topk", k]
    assert helpers.difference(values, order.values[..., :k]) < 2e-6
    if kind != "random":
        assert torch.equal(indices, order.indices[..., :k])
    few = torch.zeros(9, 111, dtype=torch.bool)
    few[:, 90:93] = True
    few[4] = False
    _, found = helpers.run(query, scores.mT.float(), nothing, statistics=(("topk", k),), mask=few)
    values, indices = found["topk", k]
    assert (values[..., 3:] == 0).all()
    assert (values[0, 0, 4] == 0).all()
    assert all(len(set(row.tolist())) == k for row in indices[0, 0])
    assert indices.min() >= 0
    assert indices.max() < 111


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_shape(helpers, gpu, data):
    whole = st.integers
    key_heads, group = data.draw(whole(1, 2)), data.draw(whole(1, 3))
    queries, keys = data.draw(whole(1, 150)), data.draw(whole(1, 150))
    widths = data.draw(whole(1, 40)), data.draw(whole(1, 40))
    generator = torch.Generator().manual_seed(data.draw(whole(0, 99)))
    q, k, v = (
        torch.randn(1, heads, length, width, generator=generator)
        for heads, length, width in (
            (key_heads * group, queries, widths[0]), (key_heads, keys, widths[0]), (key_heads, keys, widths[1]),
        )
    )  # fmt: skip
    low = data.draw(st.lists(whole(0, keys), min_size=queries, max_size=queries))
    high = data.draw(st.lists(whole(0, keys), min_size=queries, max_size=queries))
    place = torch.arange(keys)
    seen = (place >= torch.tensor(low)[:, None]) & (place < torch.tensor(high)[:, None])
    masks = {
        None: None,
        "causal": regard.causal(),
        "window": regard.window(low[0], high[0]),
        "any": seen,
    }
    mask = masks[data.draw(st.sampled_from(list(masks)))]
    output, found = helpers.run(q, k, v, mask=mask)
    allowed = None
    if mask is not None:
        layout = helpers.problem(q, k, v).layout
        allowed = as_mask(mask).tile(layout, slice(0, queries), slice(0, keys))
    helpers.check(output, found, helpers.dense(q, k, allowed), v)


@pytest.mark.parametrize(
    "requested", [("received",), ("entropy",), ("max_score",), ("topk", 3), ("pool", 2, 3)]
)
def test_one_statistic_without_values(helpers, gpu, requested):
    """What the map asks later: the matrix, multiplied with nothing."""
    q, k, v = (x[:, :heads] for x, heads in zip(arrays(), (2, 1, 1), strict=True))
    _, together = helpers.run(q, k, v, statistics=(requested,))
    _, alone = helpers.run(q, k, v[..., :0], statistics=(requested,))
    pairs = zip(
        *(x[requested] if len(requested) > 1 else (x[requested],) for x in (alone, together)),
        strict=True,
    )
    assert all(torch.equal(x, y) for x, y in pairs)


NO_STATISTICS = {
    "entropy": False, "top": 0, "query_block": 0, "key_block": 0, "received": False, "max_score": False,
}  # fmt: skip


@pytest.mark.skipif(torch.cuda.is_available(), reason="calls the passes with ordinary memory")
@pytest.mark.parametrize(
    "requested",
    [
        {},
        {"entropy": True},
        {"top": 3},
        {"query_block": 9, "key_block": 300},
        {"received": True},
        {"max_score": True},
    ],
)
def test_the_operator_gets_what_it_promises(helpers, gpu, requested):
    """Shapes and types, empty where nothing was requested, as on a processor."""
    q, k, v = arrays()
    low = torch.zeros(1, 1, 70, dtype=torch.int64)
    settings = (low, low + 131, None, None, None, None, 0.2, 0.0, 0.0, 0, 40)
    found = torch_ops.attend_on_gpu(q, k, v, *settings, *(NO_STATISTICS | requested).values())
    expected = torch.ops.regard.attend(q, k, v, *settings, *(NO_STATISTICS | requested).values())
    assert [(x.shape, x.dtype) for x in found] == [(x.shape, x.dtype) for x in expected]
    assert all(helpers.difference(x, y) < 3e-6 for x, y in zip(found, expected, strict=True))


@pytest.mark.parametrize("dropout", [0.0, 0.25])
@pytest.mark.parametrize("masked", ["range", "allowed", "bias", "cap"])
def test_gradients_are_those_of_a_processor(helpers, dropout, masked, monkeypatch):

    monkeypatch.setattr(limits, "CUDA_BACKWARD_BYTES", 2**16)  # several pieces
    q, k, v = arrays()
    low = torch.arange(70)[None, None] // 2
    low[..., 3] = 131  # sees nothing
    allowed = torch.rand(1, 6, 1, 131) > 0.5 if masked == "allowed" else None
    bias = torch.randn(2, 1, 70, 131) if masked == "bias" else None
    if bias is not None:
        bias[..., 5], bias[..., 50:, 9] = -torch.inf, torch.inf
    sink, cap = (torch.randn(1, 6), 1.5) if masked == "cap" else (None, 0.0)
    high = (low + 60).clamp_max(131)
    settings = (low, high, None, allowed, bias, sink, 0.2, cap, dropout, 3, 7)
    lse = torch_ops.attend(q, k, v, *settings, False, 0, 0, 0, False, False)[1]
    of_rows = torch.randn(2, 6, 70), torch.randn(2, 6, 70)
    given = (q, k, v, *settings, torch.randn(2, 6, 70, 20), lse, *of_rows)
    expected = torch_ops.attend_backward(*given)[:3]
    found = torch_ops.attend_backward_on_gpu(*given)[:3]
    for ours, theirs in zip(found, expected, strict=True):
        assert helpers.difference(ours, theirs) < 2e-5 * float(theirs.abs().max())


@pytest.mark.parametrize("size", [32, 64])
@pytest.mark.parametrize(
    ("length", "block"), [(1000, 0), (64, 1), (999, 5), (130, 40), (700, 79), (9, 9)]
)
def test_every_position_has_a_slot_of_its_own(length, block, size):
    from regard.attention.kernels.cuda.launch import slot_layout

    edges = split_edges(3, 3 + length, block, 256)
    layout = slot_layout(edges, size)
    slots = np.arange(layout.tiles * layout.size)
    band, offset = slots // layout.slots, slots % layout.slots
    inside = band < layout.bands
    indices = edges[band[inside]] + offset[inside]
    indices = indices[indices < edges[band[inside] + 1]]
    assert indices.tolist() == list(range(length))
    assert layout.parts * min(layout.slots, layout.size) == slots.size
    parts = torch.from_numpy(band.reshape(layout.parts, -1)[:, 0])
    assert layout.gather(parts, 0, torch.amax).tolist() == list(range(layout.bands))


def test_what_fits(helpers, monkeypatch):
    import triton

    from regard.attention.kernels.cuda import launch

    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(torch.cuda, "get_device_capability", lambda device: (8, 6))

    def fits(*given, requested=(), **settings):
        return launch.fits(helpers.problem(*given, **settings), requested)

    assert all(fits(*arrays(kind)) for kind in (torch.float32, torch.bfloat16, torch.float16))
    assert fits(*arrays(), requested=(("topk", 32), ("received",)))
    assert not fits(*arrays(), requested=(("topk", 33),))
    assert not fits(*arrays(torch.float64))
    assert not fits(*arrays(features=257))
    assert not fits(*arrays(values=257))
    assert not fits(*arrays(), score=regard.scores.Additive(torch.randn(32)))
    for place, name, old in (
        (triton, "__version__", "3.5.1"),
        (torch.cuda, "get_device_capability", lambda device: (7, 5)),
        (torch.version, "cuda", None),
    ):
        with monkeypatch.context() as patched:
            patched.setattr(place, name, old)
            assert not fits(*arrays())


class Launched:
    """In the place of a kernel: looks only where the tensors live."""

    def __init__(self):
        self.times = 0

    def __getitem__(self, grid):
        return self

    def __call__(self, *given, **constants):
        self.times += 1
        assert {x.device.type for x in given if isinstance(x, torch.Tensor)} == {"meta"}


@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"mask": regard.causal() & regard.padding(torch.tensor([5, 700]))},
        {"mask": regard.padding(torch.arange(1400).reshape(2, 700) % 3 > 0)},
        {"mask": regard.window(9) | regard.padding(torch.tensor([5, 700]))},
        {"mask": torch.ones(700, 700, dtype=torch.bool)},
        {"bias": torch.zeros(700, 700)},
        {"bias": regard.positions.ALiBi()},
        {"dropout": 0.1},
    ],
)
def test_nothing_stays_behind_on_the_host(settings, monkeypatch):
    """On torch's meta device, which like a GPU does not mix with ordinary memory."""
    from regard.attention import problem
    from regard.attention.kernels.cuda import launch
    from regard.attention.kernels.fused import adapter

    launched = Launched()
    monkeypatch.setattr(
        launch,
        "triton_kernels",
        SimpleNamespace(forward=launched, largest=launched, pooled=launched),
    )
    monkeypatch.setattr(torch_ops, "attend", torch_ops.attend_on_gpu)
    monkeypatch.setattr(adapter, "_is_device_supported", lambda problem, requested: True)
    # This one looks at values, of which there are none.
    monkeypatch.setattr(problem, "split_nonfinite", lambda *arrays: (*arrays, None))
    q, k, v = (x.to("meta") for x in arrays(torch.float16, queries=700, keys=700))
    output, weights = regard.attend(
        q, k, v, watch=("entropy", "topk", "pool", "received"), **settings
    )
    assert launched.times >= 2
    assert output.device.type == weights.entropy().device.type == "meta"
    low = torch.zeros(1, 1, 700, dtype=torch.int64, device="meta")
    of_rows = q.new_zeros(2, 6, 700, dtype=torch.float32)
    arrays_alone = (q, k, v, low, low, None, None, None, None)
    given = (*arrays_alone, 1.0, 0.0, settings.get("dropout", 0.0), 0, 0)
    slopes = torch_ops.attend_backward_on_gpu(*given, output, of_rows, of_rows, of_rows)
    assert {x.device.type for x in slopes} == {"meta"}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no NVIDIA GPU")
def test_attend_takes_this_way_on_a_gpu(helpers):
    q, k, v = (x.cuda() for x in arrays(queries=700, keys=700, features=64, values=64))
    watch = ("entropy", "topk", "pool", "received")
    for kind in (torch.float32, torch.bfloat16, torch.float16):
        given = [x.to(kind) for x in (q, k, v)]
        output, weights = regard.attend(*given, mask=regard.causal(), watch=watch)
        assert len(weights._answers.named) == len(watch) + 1  # and the log-sum-exp
        exact, matrix = regard.attend(*(x.double().cpu() for x in given), mask=regard.causal())
        assert helpers.difference(weights.entropy().cpu(), matrix.entropy()) < 1e-5
        assert helpers.difference(weights.received().cpu(), matrix.received()) < 1e-4
        assert helpers.difference(weights.topk().values.cpu(), matrix.topk().values) < 1e-5
        assert helpers.difference(output.cpu(), exact) < 8 * torch.finfo(kind).eps


COMPILE = """
import sys

import torch
from triton.backends.compiler import GPUTarget
from triton.runtime import driver
from regard.attention.kernels.cuda import launch
from regard.attention.kernels.fused.torch_ops import attend_on_gpu

COMPILED = []


class Driver:
    def get_current_target(self):
        return GPUTarget("cuda", int(sys.argv[1]), 32)

    def get_current_device(self):
        return 0

    def get_current_stream(self, device):
        return 0


class Compiled:
    def __init__(self, function):
        self.function = function

    def __getitem__(self, grid):
        def call(*given, **constants):
            made = self.function.warmup(*given, grid=grid, **constants)
            assert "cubin" in made.asm
            COMPILED.append(made.metadata.shared)

        return call


class Passes:
    forward = Compiled(launch.triton_kernels.forward)
    largest = Compiled(launch.triton_kernels.largest)
    pooled = Compiled(launch.triton_kernels.pooled)


driver.set_active(Driver())
launch.triton_kernels = Passes
half, single = torch.bfloat16, torch.float32
for kind, queries, width, masked in (
    (half, 300, 64, False), (half, 300, 128, True), (torch.float16, 1, 256, False), (single, 300, 64, True),
    (single, 64, 256, False),
):
    query = torch.zeros(1, 6 if masked else 1, queries, width, dtype=kind)
    key = torch.zeros(1, 3 if masked else 1, 300, width, dtype=kind)
    low = torch.zeros(1, 1, queries, dtype=torch.int64)
    allowed, bias, sink, cap, dropout = None, None, None, 0.0, 0.0
    if masked:
        allowed, dropout = torch.ones(1, 1, queries, 300, dtype=torch.bool), 0.7
        bias, sink, cap = torch.zeros(1, 1, queries, 300), torch.zeros(1, 6), 50.0
    settings = (low, low + 300, None, allowed, bias, sink, 0.1, cap, dropout, 0, 0)
    attend_on_gpu(query, key, key, *settings, True, 8, 5, 79 if masked else 300, True, True)
    attend_on_gpu(query, key, key[..., :0], *settings, False, 0, 0, 0, False, False)
assert len(COMPILED) == 20, len(COMPILED)
assert max(COMPILED) <= 99 * 1024, COMPILED  # what the smallest of these has for a program
print("compiled")
"""


@pytest.mark.slow
@pytest.mark.parametrize("capability", [80, 90])
def test_the_passes_compile_for_gpus_that_are_not_here(capability, tmp_path):
    """For Ampere and Hopper, down to machine code, called as they are called there but for the launch."""
    environment = {**os.environ, "TRITON_INTERPRET": "0", "TRITON_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", COMPILE, str(capability)],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.stdout == "compiled\n", done.stdout + done.stderr
