"""Arrays are compared with what they should be before they take memory."""

from __future__ import annotations

import tracemalloc
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from regard.errors import InputError
from regard.viewing.arrays import ArrayFile


def test_arrays_come_back(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    arrays: dict[str, Any] = {
        "a": np.arange(6, dtype=np.float32).reshape(2, 3),
        "f": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i4"),
        "none": np.zeros((0, 4), np.float16),
    }
    np.savez_compressed(path, **arrays)
    file = ArrayFile(path)
    for name, array in arrays.items():
        np.testing.assert_array_equal(file.read(name, "fi", array.shape), array)
    assert "a" in file
    assert "b" not in file


@pytest.mark.parametrize(
    ("kind", "shape", "message"),
    [
        ("f", [2, 4], r"a: shape \(2, 3\), expected \(2, 4\)"),
        ("f", [range(3, 9), 3], r"expected \(3 to 8, 3\)"),
        ("f", [6], r"expected \(6\)"),
        ("iu", [2, 3], "a: values of type float64"),
    ],
)
def test_another_array(tmp_path: Path, kind: str, shape: list[int], message: str) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros((2, 3)))
    with pytest.raises(InputError, match=message):
        ArrayFile(tmp_path / "x.npz").read("a", kind, shape)


def test_nothing_is_unpacked_for_an_error(tmp_path: Path) -> None:
    path = tmp_path / "x.npz"
    np.savez_compressed(path, a=np.zeros((1000, 100_000), np.float16))
    assert path.stat().st_size < 1_000_000
    tracemalloc.start()
    with pytest.raises(InputError, match="shape"):
        ArrayFile(path).read("a", "f", [10, 100_000])
    assert tracemalloc.get_traced_memory()[1] < 20_000_000
    tracemalloc.stop()


def test_a_size_that_is_not_that_of_the_shape(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros((2, 3)))
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        content = archive.read("a.npy")
    with zipfile.ZipFile(tmp_path / "y.npz", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.npy", content + bytes(10_000_000))
        archive.writestr("pickled.npy", content.replace(b"'<f8'", b"'|O' "))
    file = ArrayFile(tmp_path / "y.npz")
    with pytest.raises(InputError, match="bytes do not go with shape"):
        file.read("a", "f", [2, 3])
    with pytest.raises(InputError, match="values of type object"):
        file.read("pickled", "f", [2, 3])


def test_a_packing_with_a_memory_of_its_own_choice(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", a=np.zeros(2))
    with zipfile.ZipFile(tmp_path / "x.npz") as archive:
        content = archive.read("a.npy")
    with zipfile.ZipFile(tmp_path / "y.npz", "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("a.npy", content)
    with pytest.raises(InputError, match="packed by method 14"):
        ArrayFile(tmp_path / "y.npz").read("a", "f", [2])
