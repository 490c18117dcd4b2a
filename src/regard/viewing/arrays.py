"""Arrays of an `.npz` file, whose sizes are known before anything is unpacked.

A few kilobytes of zeros unpack to megabytes and gigabytes, so each array is compared with what it should be by
its header alone.
"""

from __future__ import annotations

import io
import math
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.lib import format as npy

from regard.errors import InputError

__all__ = ["ArrayFile", "Shape"]

Shape: TypeAlias = Sequence[int | range]
"""For each axis its length, or a range of allowed ones."""

_HEADER_BYTES = 4096
"""Largest header of an array: those of plain types take 128 bytes."""


class ArrayFile:
    """An `.npz` file that is read array by array.

    Attributes:
        size: of the file, in bytes.

    Args:
        path: of the file. It is read as a whole, so that no other program changes it in between.

    Raises:
        OSError: it cannot be read.
        zipfile.BadZipFile: it is no archive.
    """

    def __init__(self, path: Path) -> None:
        content = path.read_bytes()
        self.size: int = len(content)
        self._archive = zipfile.ZipFile(io.BytesIO(content))

    def __contains__(self, name: str) -> bool:
        return f"{name}.npy" in self._archive.NameToInfo

    def read(self, name: str, kind: str, shape: Shape, *, bytes_each: int = 8) -> Any:
        """One array, if it is what it should be.

        Args:
            name: of the array.
            kind: kinds of its type, as NumPy abbreviates them: `"f"`, `"iu"`.
            shape: for each axis its length, or a range of allowed ones.
            bytes_each: largest size of an element.

        Raises:
            InputError: it is missing, or of another type or shape; nothing was unpacked then.
        """
        if name not in self:
            raise InputError(f"no array {name!r}")
        entry = self._archive.NameToInfo[f"{name}.npy"]
        # Other methods of compression take memory by a number in the file.
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise InputError(f"{name}: packed by method {entry.compress_type}, expected deflate")
        with self._archive.open(entry) as file:
            start = io.BytesIO(file.read(_HEADER_BYTES))
        found, fortran_order, dtype = _read_header(start, name)
        if dtype.kind not in kind or dtype.itemsize > bytes_each:
            raise InputError(f"{name}: values of type {dtype}")
        fits = len(found) == len(shape) and all(
            length in wanted if isinstance(wanted, range) else length == wanted
            for length, wanted in zip(found, shape, strict=True)
        )
        if not fits:
            raise InputError(f"{name}: shape {found}, expected {_described(shape)}")
        if entry.file_size != start.tell() + math.prod(found) * dtype.itemsize:
            raise InputError(f"{name}: {entry.file_size:,} bytes do not go with shape {found}")
        with self._archive.open(entry) as file:
            file.read(start.tell())
            values = np.frombuffer(file.read(), dtype)
        return values.reshape(found, order="F" if fortran_order else "C")


def _read_header(start: io.BytesIO, name: str) -> tuple[tuple[int, ...], bool, Any]:
    version = npy.read_magic(start)
    if version == (1, 0):
        return npy.read_array_header_1_0(start)
    if version == (2, 0):
        return npy.read_array_header_2_0(start)
    raise InputError(f"{name}: version {version} of NumPy's format")


def _described(shape: Shape) -> str:
    lengths = [
        f"{each.start} to {each.stop - 1}" if isinstance(each, range) else str(each)
        for each in shape
    ]
    return f"({', '.join(lengths)})"
