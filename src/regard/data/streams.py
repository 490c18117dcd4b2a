"""Open files, pipes and standard input as streams of bytes, unpacked by their content, never by their name."""

from __future__ import annotations

import bz2
import difflib
import gzip
import io
import lzma
import re
import sys
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, TypeAlias, cast

from regard.errors import DataError

__all__ = ["HEAD", "STANDARD_INPUT", "FilePath", "OpenFile", "foreign_content", "opened"]

FilePath: TypeAlias = str | PathLike[str]

STANDARD_INPUT = "-"
"""Name of standard input among files."""

HEAD = 1 << 18
"""Bytes at the beginning of a file by which its content is recognised."""

_PACKINGS = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\xfd7zXZ\x00": "xz",
    b"\x28\xb5\x2f\xfd": "Zstandard",
    b"\x04\x22\x4d\x18": "LZ4",
    b"PK\x03\x04": "ZIP",
}
"""First bytes of packed files."""

_FOREIGN = {
    b"PK\x03\x04": ("a ZIP archive", "unpack it first"),
    b"PAR1": ("a Parquet file", "say format='parquet' (--format parquet)"),
    b"ARROW1\0\0": ("an Arrow file", "write it as Parquet or CSV"),
    b"\xd0\xcf\x11\xe0": ("an old Excel or Word file", "save it as CSV"),
    b"%PDF-": ("a PDF document", "export its text first"),
    b"SQLite format 3\0": ("an SQLite database", "export the table as CSV"),
    b"\x89HDF\r\n": ("an HDF5 file", "write it as Parquet or CSV"),
    b"\x93NUMPY": ("a NumPy array", "write it as text"),
    b"Obj\x01": ("an Avro file", "write it as Parquet or JSONL"),
    b"7z\xbc\xaf\x27\x1c": ("a 7-Zip archive", "unpack it first"),
    b"Rar!\x1a\x07": ("a RAR archive", "unpack it first"),
    b"\x89PNG": ("a PNG picture", "give a file of text"),
    b"\xff\xd8\xff": ("a JPEG picture", "give a file of text"),
    b"\x80\x02}": ("a Python pickle", "write it as Parquet or CSV"),
    b"\x80\x04\x95": ("a Python pickle", "write it as Parquet or CSV"),
    b"\x80\x05\x95": ("a Python pickle", "write it as Parquet or CSV"),
    b"version https://git-lfs.github.com/spec": (
        "a pointer of Git LFS, not the file itself",
        "fetch it: git lfs pull",
    ),
}
"""First bytes of files that are no text: what they are, and what to do."""


class OpenFile(NamedTuple):
    """A file that is open for reading, at its first byte.

    Args:
        stream: of its unpacked bytes.
        head: the first of them, which `stream` still yields.
        whole: true if `head` is all there is.
        name: of the file in errors; `None` is standard input.
        packing: how it was packed, such as `"gzip"`; empty if it was not.
    """

    stream: BinaryIO
    head: bytes
    whole: bool
    name: str | None
    packing: str = ""


@contextmanager
def opened(path: FilePath | BinaryIO) -> Iterator[OpenFile]:
    """Open a file for reading bytes, unpacked if it is packed; any failure becomes a `DataError`.

    Read are gzip, bzip2, xz, Zstandard, LZ4, and a ZIP archive that holds one file. Pipes are read once.

    Args:
        path: of a file; `"-"` or an open stream for standard input.

    Raises:
        DataError: no such file, one that cannot be read, or a damaged packed one.
    """
    name = None if not isinstance(path, str | PathLike) else str(path)
    packing = ""
    try:
        if name is None or name == STANDARD_INPUT:
            given = cast(BinaryIO, path) if name is None else sys.stdin.buffer
            head, whole = _head(given, patient=name is not None)
            packing = _packing(head)
            yield _unpacked(_chained(head, given), head, whole, None, packing)
            return
        with open(name, "rb") as raw:
            head, whole = _head(raw, patient=True)
            packing = _packing(head)
            if raw.seekable():
                raw.seek(0)
                stream: BinaryIO = raw
            else:
                stream = _chained(head, raw)
            yield _unpacked(stream, head, whole, name, packing)
    except FileNotFoundError as error:
        raise _missing(name or "") from error
    except (EOFError, zlib.error, lzma.LZMAError, zipfile.BadZipFile, gzip.BadGzipFile) as error:
        raise _damaged(packing, error, name) from error
    except OSError as error:
        if packing and error.errno is None:  # of the unpacker, not of the system
            raise _damaged(packing, error, name) from error
        raise DataError(f"cannot be read ({error.strerror or error})", path=name) from error


def foreign_content(head: bytes) -> tuple[str, str] | None:
    """What a file is that is no text, and what to do; `None` for text."""
    for magic, found in _FOREIGN.items():
        if head.startswith(magic):
            return found
    if head[257:262] == b"ustar":
        return "a TAR archive", "unpack it first"
    if head[:200].lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return (
            "a page of HTML, not data",
            "was the page about the file fetched instead of the file?",
        )
    return None


def _packing(head: bytes) -> str:
    """The program that packed a file; empty if none did."""
    found = next((name for magic, name in _PACKINGS.items() if head.startswith(magic)), "")
    if found == "bzip2" and head[4:10] not in (b"1AY&SY", b"\x17rE8P\x90"):
        return ""  # a text that begins with these three letters
    return found


def _head(stream: Any, *, patient: bool) -> tuple[bytes, bool]:
    """The first bytes, and whether they are all; without patience what comes first, as typed lines do."""
    read = getattr(stream, "read1", stream.read)
    head = read(HEAD)
    while patient and len(head) < HEAD:
        more = read(HEAD - len(head))
        if not more:
            return head, True
        head += more
    return head, not head


def _unpacked(
    stream: BinaryIO, head: bytes, whole: bool, name: str | None, packing: str
) -> OpenFile:
    """The file as it is once unpacked."""
    if not packing:
        return OpenFile(stream, head, whole, name)
    if packing == "ZIP":
        unpacked = _only_member(stream, name)
        if unpacked is None:  # Excel and Word files are known by what is inside
            return OpenFile(stream, head, whole, name)
    else:
        unpacked = _unpacker(stream, packing)
    head, whole = _head(unpacked, patient=True)
    return OpenFile(_chained(head, unpacked), head, whole, name, packing)


def _unpacker(stream: BinaryIO, packing: str) -> Any:
    if packing == "gzip":
        return gzip.open(stream)
    if packing == "bzip2":
        return bz2.open(stream)
    if packing == "xz":
        return lzma.open(stream)
    import pyarrow as pa

    return pa.CompressedInputStream(stream, {"Zstandard": "zstd", "LZ4": "lz4"}[packing])


def _only_member(stream: BinaryIO, name: str | None) -> Any:
    """The one file in an archive.

    Raises:
        DataError: there are several, or it is encrypted.
    """
    archive = zipfile.ZipFile(stream if stream.seekable() else io.BytesIO(stream.read()))
    members = [m for m in archive.infolist() if not m.is_dir() and "__MACOSX" not in m.filename]
    names = [member.filename for member in members]
    if any(member.startswith(("xl/", "word/", "ppt/")) for member in names):
        raise DataError("an Excel or Word file", path=name, remedy="save it as CSV or as text")
    if "mimetype" in names and "content.xml" in names:
        raise DataError("an OpenDocument file", path=name, remedy="save it as CSV or as text")
    if len(members) != 1:
        shown = ", ".join(names[:5]) + (", ..." if len(names) > 5 else "")
        raise DataError(
            f"a ZIP archive of {len(names)} files ({shown}), expected one",
            path=name,
            remedy="unpack it first, and name the file that you mean",
        )
    try:
        return archive.open(members[0])
    except (RuntimeError, NotImplementedError) as error:
        raise DataError(f"a ZIP archive: {error}", path=name, remedy="unpack it first") from error


class _Chained(io.RawIOBase):
    """Bytes that were read already, then the rest of their stream."""

    def __init__(self, head: bytes, rest: Any) -> None:
        self._head = memoryview(head)
        self._read = getattr(rest, "read1", rest.read)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        if self._head:
            part, self._head = self._head[: len(buffer)], self._head[len(buffer) :]
        else:
            part = self._read(len(buffer))
        buffer[: len(part)] = part
        return len(part)


def _chained(head: bytes, rest: Any) -> BinaryIO:
    return io.BufferedReader(_Chained(head, rest), 1 << 16)


def _damaged(packing: str, error: Exception, name: str | None) -> DataError:
    remedy = "fetch or pack it again"
    return DataError(f"damaged {packing} file ({error})", path=name, remedy=remedy)


def _missing(name: str) -> DataError:
    """The error about a file that is not there; an address is recognised."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name):
        fetch = f"fetch it first: curl -LO {name}" if name.startswith("http") else "fetch it first"
        return DataError("an address, and regard reads files", path=name, remedy=fetch)
    path = Path(name)
    if not path.parent.is_dir():
        remedy: str | None = f"there is no folder {path.parent} either"
    else:
        names = [entry.name for entry in path.parent.iterdir()]
        close = difflib.get_close_matches(path.name, names, n=1)
        remedy = f"did you mean {str(path.parent / close[0])!r}?" if close else None
    return DataError("no such file", path=name, remedy=remedy)
