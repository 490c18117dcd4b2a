"""The matrix product: which one is found, and that a careless one is refused."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
import torch

from regard.compiled import blas


def test_a_product_in_bfloat16_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    gemm = blas.find_gemm()

    def careless(address: int, ta: bytes, tb: bytes, sizes: Any, a: Any, b: Any, c: Any) -> None:
        c[...] = torch.from_numpy(b).bfloat16().float() @ torch.from_numpy(a).bfloat16().float().T

    monkeypatch.setattr(blas, "_sgemm_from_python", careless)
    assert not blas.is_accurate(gemm)


def test_without_torch_the_product_is_scipys(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blas, "_from_torch", lambda: None)
    blas.find_gemm.cache_clear()
    assert blas.find_gemm().name == "OpenBLAS in SciPy"
    blas.find_gemm.cache_clear()


FORK = """
import os
import torch
import regard
from regard.compiled.blas import find_gemm

x = torch.randn(1, 2, 300, 16, generator=torch.Generator().manual_seed(0)) / 2
ours, _ = regard.attend(x, x, x, watch=("entropy",))
parent = find_gemm().name
child = os.fork()
if child:
    _, status = os.waitpid(child, 0)
    print(parent, find_gemm().name, os.waitstatus_to_exitcode(status), sep=", ")
else:
    theirs, _ = regard.attend(x, x, x, watch=("entropy",))
    os._exit(0 if torch.allclose(ours, theirs, rtol=0, atol=1e-6) and "SciPy" in find_gemm().name else 1)
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_leaves_mkl_whose_locks_another_thread_may_have_held() -> None:
    done = subprocess.run(
        [sys.executable, "-c", FORK], capture_output=True, text=True, timeout=300, check=True
    )
    mine = blas.find_gemm().name
    assert (done.stdout, done.stderr) == (f"{mine}, {mine}, 0\n", "")
