"""Workers: how many there are, and what becomes of a failure in one."""

from __future__ import annotations

import pytest
import torch

from regard.compiled import blas, threads


def test_the_number_of_threads_is_that_of_torch() -> None:
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(3)
        assert threads.thread_count() == 3
    finally:
        torch.set_num_threads(before)


def test_a_failure_in_a_worker_is_raised(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "machine_code", lambda *_: lambda *call: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        threads.run_parallel(None, lambda: None, (), blas.find_gemm(), tasks=1, work=1)
