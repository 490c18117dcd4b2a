"""The processor, by what its system says."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from regard.compiled import processor


@pytest.fixture
def without_cache() -> Iterator[None]:
    processor.prefers_onednn.cache_clear()
    yield
    processor.prefers_onednn.cache_clear()


@pytest.mark.usefixtures("without_cache")
@pytest.mark.parametrize(
    ("vendor", "vectors", "expected"),
    [
        ("AuthenticAMD", "AVX512", True),
        ("AuthenticAMD", "AVX2", False),  # there MKL's kernels are as wide as the processor
        ("GenuineIntel", "AVX512", False),
    ],
)
def test_onednn_where_mkl_leaves_vectors_unused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vendor: str, vectors: str, expected: bool
) -> None:
    cpuinfo = tmp_path / "cpuinfo"
    cpuinfo.write_text(f"processor\t: 0\nvendor_id\t: {vendor}\n")
    monkeypatch.setattr(processor, "_CPUINFO", cpuinfo)
    monkeypatch.setattr(torch.backends.cpu, "get_cpu_capability", lambda: vectors)
    monkeypatch.setattr(torch.backends.mkl, "is_available", lambda: True)
    monkeypatch.setattr(torch.backends.mkldnn, "is_available", lambda: True)
    assert processor.prefers_onednn() is expected


@pytest.mark.usefixtures("without_cache")
def test_a_system_without_cpuinfo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processor, "_CPUINFO", tmp_path / "none")
    assert processor.prefers_onednn() in (True, False)
