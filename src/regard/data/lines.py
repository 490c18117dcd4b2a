"""Read numbered lines of text files, plain or packed.

A line ends at a line feed and nowhere else. U+0085, U+2028 and similar are characters inside a line:
`str.splitlines` (and Python's text files in part) would break there, and all later lines would be numbered
wrongly.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Iterator
from typing import BinaryIO

from regard.data.streams import FilePath, OpenFile, foreign_content, opened
from regard.errors import DataError, SettingsError

__all__ = [
    "LINE_FEEDS",
    "check_text",
    "decode_all",
    "lines_of",
    "read_lines",
    "wide_without_mark",
]

LINE_FEEDS = (
    "write the file with line feeds ('Unix line ends' of an editor, or perl -pe 's/\\r\\n?/\\n/g')"
)
"""Remedy for files whose lines end in carriage returns."""

_MARKS = {b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_PLAIN_CONTROLS = b"\t\n\r\x0b\x0c\x1b"


def read_lines(path: FilePath | BinaryIO, *, encoding: str = "utf-8") -> Iterator[tuple[int, str]]:
    r"""Yield `(number, line)` for every line, numbers counted from 1, without the line's end.

    A carriage return before the line feed is removed, and a byte order mark at the beginning. In a
    file with line feeds, other carriage returns are characters inside a line.

    Args:
        path: a file (packed ones are recognised by their first bytes), `"-"`, or an open binary stream
            such as `sys.stdin.buffer`.
        encoding: of the characters.

    Raises:
        DataError: the file cannot be opened or unpacked, holds no text or text in another encoding,
            or carriage returns and no line feed: says which file, line and byte.
        SettingsError: an encoding Python does not know.
    """
    with opened(path) as file:
        yield from lines_of(file, encoding)


def lines_of(file: OpenFile, encoding: str) -> Iterator[tuple[int, str]]:
    """The lines of a file that is open already, as `read_lines` gives them."""
    check_text(file, encoding)
    if _is_wide(encoding):
        text = decode_all(file, encoding)
        _check_ends(text, file.name)
        lines = text.removesuffix("\n").split("\n") if text else []
        for number, line in enumerate(lines, 1):
            yield number, line.removesuffix("\r")
        return
    offset = 0
    for number, raw in enumerate(file.stream, 1):
        line = _decode(raw, encoding, file.name, number, offset)
        offset += len(raw)
        if number == 1:
            _check_ends(line, file.name)
            line = line.removeprefix("\ufeff")
        yield number, line.removesuffix("\n").removesuffix("\r")


def decode_all(file: OpenFile, encoding: str) -> str:
    """The whole text of a file, without a byte order mark.

    Raises:
        DataError: bytes that are no text in this encoding.
    """
    check_text(file, encoding)
    return _decode(file.stream.read(), encoding, file.name, 1, 0).removeprefix("\ufeff")


def check_text(file: OpenFile, encoding: str) -> None:
    """Make sure, by its first bytes, that a file holds text in this encoding.

    Raises:
        DataError: it is a file of another kind (says which), or text in UTF-16.
        SettingsError: an encoding Python does not know.
    """
    wide = _is_wide(encoding)
    mark = _MARKS.get(file.head[:2])
    if mark is not None and not wide:
        raise DataError(
            f"begins with the byte order mark of {mark.upper()}, not {encoding}",
            path=file.name,
            line=1,
            remedy=f"try encoding={mark!r} (--encoding {mark})",
        )
    if (foreign := foreign_content(file.head)) is not None:
        problem, remedy = foreign
        raise DataError(problem, path=file.name, remedy=remedy)
    if _is_utf_8_instead(file.head, encoding):
        raise DataError(
            f"UTF-8, not {encoding}, in which every letter with an accent would be two signs",
            path=file.name,
            remedy="try encoding='utf-8' (--encoding utf-8)",
        )
    if not wide and (found := wide_without_mark(file.head)) is not None:
        raise DataError(
            f"{found.upper()} without a byte order mark (every second byte is 0), not {encoding}",
            path=file.name,
            line=1,
            remedy=f"try encoding={found!r} (--encoding {found})",
        )


def _is_utf_8_instead(head: bytes, encoding: str) -> bool:
    """True if text that is to be read as Latin-1 or the like is UTF-8: no such text is it by chance."""
    if codecs.lookup(encoding).name not in ("iso8859-1", "iso8859-15", "cp1252"):
        return False
    whole = head.rpartition(b"\n")[0] or head
    if len(re.findall(rb"[\xc2-\xf4][\x80-\xbf]+", whole)) < 2:
        return False
    try:
        whole.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True


def wide_without_mark(head: bytes) -> str | None:
    """The UTF-16 that bytes are in, judged by zeros in every second place beside signs and letters."""
    head = head[: 4096 - 4096 % 2]
    if head.count(0) < max(3, len(head) // 20):
        return None
    for encoding, low in (("utf-16-le", 0), ("utf-16-be", 1)):
        text = head[: len(head) // 2 * 2].decode(encoding, "replace")
        letters = sum(character.isalnum() or character in " ,." for character in text)
        strange = sum(not (c.isprintable() or c in "\t\n\r\ufeff") for c in text)
        zeros = head[1 - low :: 2].count(0)
        if zeros > 4 * head[low::2].count(0) and letters > len(text) / 2 and not strange:
            return encoding
    return None


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
            remedy=_other_encoding(raw[max(0, error.start - 12) : error.start + 12]),
        ) from error


def _other_encoding(around: bytes) -> str:
    """What to try where bytes are not in the encoding: never Latin-1 for bytes that are no text."""
    if any(byte < 32 and byte not in _PLAIN_CONTROLS for byte in around):
        return f"these bytes are no text: {around!r}; is it the right file?"
    return (
        "if this is the right file, try encoding='latin-1' (--encoding latin-1), which "
        f"would read {around.decode('latin-1')!r}"
    )
