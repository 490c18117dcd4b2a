"""What the processor is, where the speed of a library depends on it."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import platform
from functools import cache
from pathlib import Path

import torch

__all__ = ["prefers_onednn"]

_CPUINFO = Path("/proc/cpuinfo")


@cache
def prefers_onednn() -> bool:
    """Whether float32 products by oneDNN are faster than by MKL, both of which torch carries.

    MKL takes its kernels for AVX-512 only on processors of Intel. On others with AVX-512 it multiplies by
    those for AVX2: on an AMD EPYC (Zen 5) 110 GFLOP/s of one core, where oneDNN reaches 230.
    """
    return (
        torch.backends.cpu.get_cpu_capability() == "AVX512"
        and torch.backends.mkl.is_available()
        and torch.backends.mkldnn.is_available()
        and "AuthenticAMD" in _vendor()
    )


def _vendor() -> str:
    """The text in which the system names the maker of the processor."""
    try:
        lines = _CPUINFO.read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:  # not Linux
        return platform.processor()
    return next((line for line in lines if line.startswith("vendor_id")), "")
