"""Read numbered lines of text files, plain or gzipped.

A line ends at a line feed and nowhere else. U+0085, U+2028 and similar are characters inside a line:
`str.splitlines` (and Python's text files in part) would break there, and all later lines would be numbered
wrongly.
"""

from __future__ import annotations

import codecs
import difflib
import gzip
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import BinaryIO, TypeAlias, cast

from regard.errors import DataError, SettingsError

__all__ = ["LINE_FEEDS", "FilePath", "opened", "read_lines"]

FilePath: TypeAlias = str | PathLike[str]

LINE_FEEDS = (
    "write the file with line feeds ('Unix line ends' of an editor, or perl -pe 's/\\r\\n?/\\n/g')"
)
"""Remedy for files whose lines end in carriage returns."""

_GZIP = b"\x1f\x8b"
_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}


def read_lines(path: FilePath | BinaryIO, *, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    r"""Yield `(number, line)` for every line, numbers counted from 1, without the line's end.

    A carriage return before the line feed is removed, and a byte order mark at the beginning. In a
    file with line feeds, other carriage returns are characters inside a line.

    Args:
        path: a file (gzip is recognised by its first bytes), or an open binary stream such as
            `sys.stdin.buffer`.
        encoding: of the characters.

    Raises:
        DataError: the file cannot be opened or unpacked, or holds bytes that are not text in this
            encoding, or carriage returns and no line feed: says which file, line and byte.
        SettingsError: an encoding Python does not know.
    """
    wide = _is_wide(encoding)
    with opened(path) as stream:
        name = _name(path)
        peek = getattr(stream, "peek", None)
        first = peek(2)[:2] if peek is not None else b""
        if first in _MARKS and not wide:
            raise DataError(
                f"begins with the byte order mark of {_MARKS[first].upper()}, not {encoding}",
                path=name,
                line=1,
                remedy=f"try encoding={_MARKS[first]!r} (--encoding {_MARKS[first]})",
            )
        if wide:
            text = _decode(stream.read(), encoding, name, 1, 0)
            _check_ends(text, name)
            lines = text.removesuffix("\n").split("\n") if text else []
            for number, line in enumerate(lines, 1):
                yield number, line.removeprefix("\ufeff").removesuffix("\r")
            return
        offset = 0
        for number, raw in enumerate(stream, 1):
            line = _decode(raw, encoding, name, number, offset)
            offset += len(raw)
            if number == 1:
                _check_ends(line, name)
                line = line.removeprefix("\ufeff")
            yield number, line.removesuffix("\n").removesuffix("\r")


@contextmanager
def opened(path: FilePath | BinaryIO) -> Iterator[BinaryIO]:
    """Open a file for reading bytes, unpacked if gzipped; any failure becomes a `DataError`."""
    name = _name(path)
    try:
        if not isinstance(path, str | PathLike):
            yield path
            return
        with open(path, "rb") as raw:
            if raw.peek(2)[:2] != _GZIP:
                yield raw
                return
            with gzip.open(raw) as unpacked:
                yield cast(BinaryIO, unpacked)
    except FileNotFoundError as error:
        raise DataError("no such file", path=name, remedy=_similar(Path(name or ""))) from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"damaged gzip file ({error})", path=name, remedy="fetch or pack it again"
        ) from error
    except OSError as error:
        raise DataError(f"cannot be read ({error.strerror or error})", path=name) from error


def _name(path: FilePath | BinaryIO) -> str | None:
    """The name of this file in errors; `None` means standard input."""
    return str(path) if isinstance(path, str | PathLike) else None


def _similar(path: Path) -> str | None:
    """A remedy that names the file most similar to the missing one."""
    if not path.parent.is_dir():
        return f"there is no folder {path.parent} either"
    names = [entry.name for entry in path.parent.iterdir()]
    close = difflib.get_close_matches(path.name, names, n=1)
    return f"did you mean {str(path.parent / close[0])!r}?" if close else None


def _check_ends(text: str, name: str | None) -> None:
    """Reject a file whose lines end in carriage returns (Mac OS before 2001): it would be one line."""
    if "\n" not in text and "\r" in text[:-1]:
        raise DataError(
            f"{text.count(chr(13)):,} carriage returns and no line feed, which is what ends a line",
            path=name,
            line=1,
            remedy=LINE_FEEDS,
        )


def _is_wide(encoding: str) -> bool:
    """True if a line feed takes several bytes, so that lines can be found only after decoding."""
    try:
        return len("\n".encode(encoding)) > 1
    except (LookupError, UnicodeError) as error:
        raise SettingsError(
            f"unknown text encoding {encoding!r}; known are for instance utf-8, latin-1, cp1252"
        ) from error


def _decode(raw: bytes, encoding: str, name: str | None, line: int, offset: int) -> str:
    """Decode bytes that begin at `offset` of a file, in line `line`."""
    try:
        return codecs.decode(raw, encoding)
    except UnicodeDecodeError as error:
        line += raw.count(b"\n", 0, error.start)
        raise DataError(
            f"byte 0x{raw[error.start]:02x} at offset {offset + error.start} is not {encoding}",
            path=name,
            line=line,
            remedy="if this is the right file, try encoding='latin-1' (--encoding latin-1), which "
            f"would read {raw[max(0, error.start - 12) : error.start + 12].decode('latin-1')!r}",
        ) from error
