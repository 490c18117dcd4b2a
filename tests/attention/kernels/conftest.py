"""Small tiles, so that small problems have many; and a reference in float64 that shares no code."""

from __future__ import annotations

import math
from functools import partial
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from regard.attention import layout
from regard.attention.kernels import limits
from regard.attention.kernels.fused import adapter, torch_ops
from regard.attention.normalizers import Softmax
from regard.attention.problem import make_problem
from regard.attention.scores import DotScore, ScaledDot, uncapped

EVERYTHING = (
    *(("entropy",), ("lse",), ("max_score",)),
    *(("topk", 5), ("pool", 7, 3), ("received",)),
)


@pytest.fixture
def small_tiles(monkeypatch):
    """Tiles of 24 queries by at most 32 keys, in chunks of at most 16."""
    for name, size in {
        "MAX_PART_QUERIES": 12,
        "TILE_QUERIES": 24,
        "MASKED_TILE_QUERIES": 24,
        "TILE_KEYS": 32,
        "MAX_CHUNK_KEYS": 16,
    }.items():
        monkeypatch.setattr(limits, name, size)


@pytest.fixture
def gpu(monkeypatch, helpers):
    """`helpers.run` on a GPU, or where there is none in Triton's interpreter, on ordinary memory."""
    pytest.importorskip("triton")
    if torch.cuda.is_available():
        monkeypatch.setattr(helpers, "device", "cuda")
        return
    from triton.runtime import interpreter

    def create_dot(self, a, b, *others, plain=interpreter.InterpreterBuilder.create_dot):
        return plain(self, widened(a), widened(b), *others)

    def widened(handle):
        """The interpreter keeps bfloat16 as words, and would multiply those."""
        if not handle.dtype.is_bf16():
            return handle
        numbers = (handle.data.astype(np.uint32) << 16).view(np.float32)
        return interpreter.TensorHandle(numbers, interpreter.tl.float32)

    ready: set[str] = set()

    def launch(self, *given, plain=interpreter.GridExecutor.__call__, **constants):
        ready.clear()
        return plain(self, *given, **constants)

    def patch_lang(function, plain=interpreter._patch_lang):
        """The interpreter replaces the whole language again for each call in a kernel: half of its time."""
        if function.__module__ not in ready:
            ready.add(function.__module__)
            return plain(function)
        return None

    monkeypatch.setattr(interpreter.GridExecutor, "__call__", launch)
    monkeypatch.setattr(interpreter, "_patch_lang", patch_lang)
    monkeypatch.setattr(interpreter.InterpreterBuilder, "create_dot", create_dot)
    monkeypatch.setattr(torch_ops, "attend", as_an_operator)
    # Ordinary memory stands in for a device, where float16 is multiplied as it is.
    monkeypatch.setattr(layout, "computes_as_float32", lambda query: False)
    monkeypatch.setattr(
        adapter, "_is_device_supported", lambda problem, requested: fits_anywhere(problem)
    )


def as_an_operator(*flat):
    """The passes under the rule of torch's operators: no result shares memory with another, or an argument."""
    results = torch_ops.attend_on_gpu(*flat)
    given = [x for x in flat if isinstance(x, torch.Tensor)]
    shared = [x.untyped_storage()._cdata for x in (*results, *given)]
    assert len(set(shared[: len(results)])) == len(results)
    assert not set(shared[: len(results)]) & set(shared[len(results) :])
    return results


def fits_anywhere(problem):
    return isinstance(uncapped(problem.score)[0], DotScore)


@pytest.fixture(params=["processor", "gpu"])
def device(request):
    """Both of the devices that have a kernel."""
    if request.param == "gpu":
        request.getfixturevalue("gpu")
    return request.param


def problem(query, key, value, *, score=None, normalizer=None, mask=None, bias=None):
    return make_problem(
        query,
        key,
        value,
        score=score or ScaledDot(),
        normalizer=normalizer or Softmax(),
        mask=mask,
        bias=bias,
    )


def run(helpers, *arrays, statistics=EVERYTHING, dropout=0.0, seed=0, **settings):
    """Output and statistics by the kernel, which must accept the problem."""
    if helpers.device:
        arrays = tuple(x.to(helpers.device) for x in arrays)
    given = problem(*arrays, **settings)
    assert adapter.fits(given, statistics)
    together = adapter.one_pass(given, statistics, dropout=dropout, seed=seed)
    assert together is not None
    output, found = together
    if helpers.device:
        return output.cpu(), {which: to_cpu(answer) for which, answer in found.items()}
    return output, found


def to_cpu(answer):
    return answer.cpu() if isinstance(answer, torch.Tensor) else tuple(map(to_cpu, answer))


def dense(query, key, allowed=None, bias=None, scale=None, vector=None, cap=None, sink=None):
    """The weights, as the definition has them, in float64; `sink` is `(heads,)`."""
    query, key = query.double(), key.double()
    key = key.repeat_interleave(query.shape[1] // key.shape[1], 1)
    if vector is None:
        scores = query @ key.mT * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)
    else:
        scores = torch.tanh(query[:, :, :, None] + key[:, :, None]) @ vector.double()
    if cap is not None:
        scores = cap * torch.tanh(scores / cap)
    if bias is not None:
        scores = scores + bias.double()
    if allowed is not None:
        scores = scores.masked_fill(~allowed, -math.inf)
    if sink is not None:
        below = sink.double()[:, None, None].expand(*scores.shape[:-1], 1)
        scores = torch.cat((scores, below), -1)
    most = scores.amax(-1, keepdim=True).clamp_min(-1e300)
    raised = torch.exp(scores - most)
    weights = raised / raised.sum(-1, keepdim=True).clamp_min(1e-300)
    return weights if sink is None else weights[..., :-1]


def blocks(weights, query_blocks, key_blocks):
    """Mean and maximum of each block."""
    rows, columns = (
        math.ceil(n / b) for n, b in zip(weights.shape[2:], (query_blocks, key_blocks), strict=True)
    )
    parts = [a.split(columns, 3) for a in weights.split(rows, 2)]
    stack = lambda of: torch.stack([torch.stack([of(b) for b in row], -1) for row in parts], -2)  # noqa: E731
    return stack(lambda b: b.mean((2, 3))), stack(lambda b: b.amax((2, 3)))


def difference(found, expected):
    """The largest difference."""
    found, expected = torch.as_tensor(found).double(), torch.as_tensor(expected).double()
    assert found.shape == expected.shape
    return float((found - expected).abs().max()) if found.numel() else 0.0


def check(output, found, weights, value, tolerance=2e-6, sink=None):
    """Output and every statistic against dense weights; `sink` is `(heads,)`."""
    value = value.double().repeat_interleave(weights.shape[1] // value.shape[1], 1)
    assert difference(output, weights @ value) < tolerance
    assert difference(found["entropy",], torch.special.entr(weights).sum(-1)) < tolerance
    lse, largest = (torch.as_tensor(found[name,]).double() for name in ("lse", "max_score"))
    sees = weights.sum(-1) > 0
    blind = torch.tensor(-math.inf) if sink is None else sink[:, None]
    blind = blind.double().expand(lse.shape)[~sees]
    assert torch.allclose(lse[~sees], blind, rtol=1e-12)
    assert (lse[sees] > -math.inf).all()
    assert torch.equal(largest == -math.inf, ~sees)
    # Beside a bias of +inf or -1e10 a float32 has no room for the logarithm of the row's sum.
    has_room = sees & (largest.abs() < 2.0**20)
    relative = torch.where(has_room, (largest - lse).nan_to_num().exp(), 0.0)
    assert difference(relative, weights.amax(-1) * has_room) < tolerance
    received = weights.sum(2)
    rounding = float(received.max()) * 2**-24  # of the answer to float32: 2e-6 at 32
    assert difference(found["received",], received) < tolerance + rounding
    k = min(5, weights.shape[-1])
    top, indices = (torch.as_tensor(x) for x in found["topk", 5])
    assert difference(top, weights.topk(k).values) < tolerance
    assert difference(weights.gather(-1, indices), weights.topk(k).values) < tolerance
    assert (indices.sort(-1).values.diff(dim=-1) > 0).all(), "a key is listed twice"
    for pooled, expected in zip(found["pool", 7, 3], blocks(weights, 7, 3), strict=True):
        assert difference(pooled, expected) < tolerance


@pytest.fixture(scope="session")
def helpers():
    """The helpers of this folder; in pytest's import mode tests cannot import each other."""
    helpers = SimpleNamespace(
        everything=EVERYTHING,
        problem=problem,
        dense=dense,
        difference=difference,
        check=check,
        device=None,
    )
    helpers.run = partial(run, helpers)
    return helpers
