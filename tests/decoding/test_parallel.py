"""Batches in parallel threads."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import torch
from torch import Tensor

from regard.decoding import DecodingSettings, decode
from regard.decoding.parallel import parallel_map
from regard.models import EncoderDecoder, Step

CPU = torch.device("cpu")


def test_threads_against_one_thread(model: EncoderDecoder, source: tuple[Tensor, Tensor]) -> None:
    settings = DecodingSettings(beam=2, n_best=2, rows=2, max_length=6)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        alone = decode(model, *source, settings)
        torch.set_num_threads(3)
        together = decode(model, *source, settings)
        assert torch.get_num_threads() == 3
    finally:
        torch.set_num_threads(before)
    for one, two in zip(alone, together, strict=True):
        assert [h.ids for h in one] == [h.ids for h in two]
        assert [h.score for h in one] == pytest.approx([h.score for h in two], abs=1e-6)


def test_an_error_in_a_thread_is_raised_and_the_rest_is_cancelled() -> None:
    before, started = torch.get_num_threads(), []

    def work(number: int) -> int:
        started.append(number)
        if number == 1:
            raise ValueError("one")
        time.sleep(1e-3)
        return number

    try:
        torch.set_num_threads(2)
        with pytest.raises(ValueError, match="one"):
            parallel_map(work, range(10_000), device=CPU)
        assert len(started) < 10_000
        assert torch.get_num_threads() == 2
        assert parallel_map(lambda number: -number, range(5), device=CPU) == [0, -1, -2, -3, -4]
    finally:
        torch.set_num_threads(before)


def test_an_interrupt_in_a_step_ends_all_threads(
    model: EncoderDecoder, source: tuple[Tensor, Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    before, threads, steps = torch.get_num_threads(), set(threading.enumerate()), []
    step = model.step

    def interrupted(*given: Any, **named: Any) -> Step:
        steps.append(threading.current_thread())
        if len(steps) == 5:
            raise KeyboardInterrupt
        return step(*given, **named)

    monkeypatch.setattr(model, "step", interrupted)
    try:
        torch.set_num_threads(2)
        with pytest.raises(KeyboardInterrupt):
            decode(model.train(), *source, DecodingSettings(beam=2, rows=2, max_length=6))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert not threads & set(steps)
    assert set(threading.enumerate()) <= threads
    assert model.training


def test_threads_started_afterwards_have_torchs_count() -> None:
    """The count is per thread, but new threads begin with the one that was set last."""
    count = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        parallel_map(lambda batch: batch, [1, 2, 3], device=torch.device("cpu"))
        assert torch.get_num_threads() == 2
        with ThreadPoolExecutor(1) as pool:
            assert pool.submit(torch.get_num_threads).result() == 2
    finally:
        torch.set_num_threads(count)
