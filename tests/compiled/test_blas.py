"""The matrix product: which one is found, and that a careless one is refused."""

from __future__ import annotations

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
