"""Threads, determinism, memory and the cache on disk of the kernels on a processor."""

from __future__ import annotations

import multiprocessing
import subprocess
import sys
import threading
import tracemalloc

import numpy as np
import pytest
import torch

import regard
from regard.attention.kernels.fused import adapter, cpu
from regard.attention.kernels.fused.arguments import (
    CallArrays,
    CallSettings,
    ForwardCall,
    Requested,
)
from regard.compiled import blas, threads


@pytest.fixture
def three(helpers):
    return [torch.randn(2, 3, 301, 32) for _ in range(3)]


def everything(helpers, three, **settings):
    output, found = helpers.run(*three, dropout=0.2, seed=4, **settings)
    parts = [output]
    for one in found.values():
        parts += one if isinstance(one, tuple) else [one]
    return [torch.as_tensor(part) for part in parts]


def test_the_same_bits_whatever_the_threads(helpers, three, monkeypatch):
    monkeypatch.setattr(threads, "MIN_PARALLEL_WORK", 0)
    runs = []
    for count in (1, 2, 5, 1):
        monkeypatch.setattr(threads, "thread_count", lambda count=count: count)
        runs.append(everything(helpers, three, mask=regard.causal()))
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


@pytest.mark.parametrize(
    ("score", "heads"), [(regard.scores.ScaledDot, 1), (regard.scores.ScaledDot, 3), (None, 1)]
)
def test_the_same_bits_of_gradients_whatever_the_threads(score, heads, monkeypatch):
    monkeypatch.setattr(threads, "MIN_PARALLEL_WORK", 0)
    query, key, value = (torch.randn(1, heads, 530, 16, requires_grad=True) for _ in range(3))
    vector = torch.randn(16, requires_grad=True)
    chosen = regard.scores.Additive(vector) if score is None else score()
    inputs = [query, key, value, *([vector] if score is None else [])]
    weights, runs = torch.randn(1, heads, 530, 16), []
    for count in (1, 2, 3, 5):
        monkeypatch.setattr(threads, "thread_count", lambda count=count: count)
        output, _ = regard.attend(
            query, key, value, score=chosen, mask=regard.causal(), dropout=0.1, watch=["entropy"]
        )
        runs.append(torch.autograd.grad(output, inputs, weights))
    for other in runs[1:]:
        assert all(torch.equal(a, b) for a, b in zip(runs[0], other, strict=True))


def test_several_python_threads_at_once(helpers, three, monkeypatch):
    monkeypatch.setattr(threads, "MIN_PARALLEL_WORK", 0)
    expected, answers = everything(helpers, three), []
    callers = [
        threading.Thread(target=lambda: answers.append(everything(helpers, three)))
        for _ in range(6)
    ]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert len(answers) == 6
    for answer in answers:
        assert all(torch.equal(a, b) for a, b in zip(expected, answer, strict=True))


def entropy_of(*arrays):
    given = CallArrays(*(x.view(np.uint16) for x in arrays[:3]), *arrays[3:])
    return cpu.attend(ForwardCall(given, CallSettings(0.2), Requested(True)), words=2).entropy


def _in_child(send, arrays):
    send.send(entropy_of(*arrays))


@pytest.mark.filterwarnings(
    "ignore::DeprecationWarning"
)  # Python warns of forks with threads about
@pytest.mark.skipif(sys.platform == "win32", reason="no fork")
def test_after_a_fork(monkeypatch):
    monkeypatch.setattr(threads, "MIN_PARALLEL_WORK", 0)
    monkeypatch.setattr(threads, "thread_count", lambda: 2)
    three = [np.random.default_rng(0).standard_normal((1, 2, 67, 8), np.float32) for _ in range(3)]
    low = np.zeros((1, 1, 67), np.int64)
    here = entropy_of(*three, low, low + 67)
    context = multiprocessing.get_context("fork")
    receive, send = context.Pipe(duplex=False)
    child = context.Process(target=_in_child, args=(send, (*three, low, low + 67)))
    child.start()
    assert receive.poll(60), "the child hangs"
    # The child multiplies by another library (`compiled/blas.py`), whose rounding may differ.
    assert abs(receive.recv() - here).max() < 2e-6
    child.join()


def test_memory_beyond_the_answer_is_small_and_linear(helpers):
    extra = []
    for length in (2048, 8192):
        three = [np.zeros((1, 1, length, 16), np.float32) for _ in range(3)]
        given = helpers.problem(*three, mask=regard.window(100))
        tracemalloc.start()
        together = adapter.one_pass(given, (("pool", 64, 64), ("topk", 8), ("entropy",)))
        assert together is not None
        output, found = together
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        kept = [output, *found["pool", 64, 64], *found["topk", 8], found["entropy",]]
        extra.append(most - sum(x.nbytes for x in kept))
    assert extra[1] < 8e6
    assert extra[1] - extra[0] < 8192 * 400


def test_products_agree_whoever_multiplies(helpers, three, monkeypatch):
    expected = everything(helpers, three)
    slow = blas._from_scipy()
    assert blas.is_accurate(slow)
    monkeypatch.setattr(cpu, "find_gemm", lambda: slow)
    for ours, theirs in zip(expected, everything(helpers, three), strict=True):
        if ours.is_floating_point():
            assert torch.allclose(ours, theirs, atol=2e-6)
    assert slow.users == 0


def test_a_second_process_loads_from_disk(helpers, three):
    everything(helpers, three)  # whatever was there, now it is compiled
    code = """
import numpy as np
from regard.attention.kernels.fused import cpu, forward
from regard.attention.kernels.fused.arguments import CallArrays, CallSettings, ForwardCall, Requested
three = [np.ones((1, 1, 8, 16), np.uint16)] * 3
low = np.zeros((1, 1, 8), np.int64)
cpu.attend(ForwardCall(CallArrays(*three, low, low + 8), CallSettings(1.0), Requested()), words=2)
print(sum(forward.forward.stats.cache_hits.values()), sum(forward.forward.stats.cache_misses.values()))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1", "0"]
