"""What a file is packed with, and what it is if it is no text, is told by its bytes and never by its name."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import os
import threading
import zipfile
from pathlib import Path

import pyarrow as pa
import pytest

from regard.data import read_lines, read_parallel, read_table
from regard.errors import DataError

TABLE = b"text\tlabel\ngood film\tpos\nbad film\tneg\n"


def zipped(*names: str, member: bytes = b"x") -> bytes:
    content = io.BytesIO()
    with zipfile.ZipFile(content, "w") as archive:
        for name in names:
            archive.writestr(zipfile.ZipInfo(name), member)  # of no time: names of tests hold it
    return content.getvalue()


PACKED = {
    "gzip": gzip.compress(TABLE, mtime=0),
    "bzip2": bz2.compress(TABLE),
    "xz": lzma.compress(TABLE),
    "Zstandard": pa.compress(TABLE, "zstd", asbytes=True),
    "ZIP": zipped("reviews.tsv", "__MACOSX/._reviews.tsv", member=TABLE),
}


@pytest.mark.parametrize("packing", PACKED)
@pytest.mark.parametrize("name", ["a.tsv", "a.tsv.gz", "a.csv.zst"])
def test_packed_files_are_unpacked_whatever_their_name(
    tmp_path: Path, packing: str, name: str
) -> None:
    path = tmp_path / name
    path.write_bytes(PACKED[packing])
    if "csv" in name:  # the separator is told by content, too
        assert [e.labels for e in read_table(path)] == [("pos",), ("neg",)]
    else:
        assert [e.source for e in read_table(path)] == ["good film", "bad film"]


@pytest.mark.parametrize("packing", [name for name in PACKED if name != "gzip"])
def test_damaged_packed_files_say_so(tmp_path: Path, packing: str) -> None:
    (tmp_path / "a.tsv").write_bytes(PACKED[packing][:-20])
    with pytest.raises(DataError, match=f"damaged {packing} file"):
        read_table(tmp_path / "a.tsv")


def test_a_text_that_begins_like_a_packed_file(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("BZh9 is how it begins\n")
    assert [line for _, line in read_lines(tmp_path / "a.txt")] == ["BZh9 is how it begins"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (zipped("a", "b"), r"a ZIP archive of 2 files \(a, b\), expected one; unpack it"),
        (zipped("[Content_Types].xml", "xl/workbook.xml"), "an Excel or Word file; save it as CSV"),
        (b"PAR1\0\0", "a Parquet file; say format='parquet'"),
        (b"%PDF-1.7\n", "a PDF document"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"\xd0\xcf\x11\xe0\xa1\xb1", "an old Excel or Word file"),
        (b"\x80\x04\x95\x10\0", "a Python pickle"),
        (b"<!DOCTYPE html>\n<html>", "a page of HTML"),
        (b"version https://git-lfs.github.com/spec/v1\n", "a pointer of Git LFS.*git lfs pull"),
        (b"x" * 257 + b"ustar\0", "a TAR archive"),
    ],
)
def test_what_is_no_text_is_named_and_never_called_latin_1(
    tmp_path: Path, content: bytes, message: str
) -> None:
    (tmp_path / "a.de").write_bytes(content)
    (tmp_path / "a.en").write_text("x\n")
    with pytest.raises(DataError, match=message) as caught:
        read_parallel(tmp_path / "a.de", tmp_path / "a.en")
    assert "latin" not in str(caught.value)


def test_an_address_is_told_from_a_file() -> None:
    address = "https://example.org/data/reviews.csv"
    with pytest.raises(DataError, match=rf"fetch it first: curl -LO {address}") as caught:
        read_table(address)
    assert str(caught.value).startswith(f"{address}: an address")
    with pytest.raises(DataError, match=r"s3://bucket/a\.csv: an address.*fetch it first$"):
        read_table("s3://bucket/a.csv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no named pipes")
@pytest.mark.parametrize(
    "content",
    [TABLE, PACKED["gzip"], PACKED["ZIP"], TABLE * 20_000],
    ids=["plain", "gzip", "ZIP", "longer than a pipe holds"],
)
def test_a_pipe_is_read_once_and_whole(tmp_path: Path, content: bytes) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    writer = threading.Thread(target=pipe.write_bytes, args=(content,))
    writer.start()
    corpus = read_table(pipe)
    writer.join()
    assert corpus[0].source == "good film"
    assert len(corpus) == (2 if len(content) < 1000 else 20_000 * 3 - 1)


def test_a_minus_is_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TABLE + b"so so\tpos\textra\n")))
    with pytest.raises(DataError, match="standard input:4: 3 columns, expected 2"):
        read_table("-")
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(TABLE)))
    assert len(read_table("-")) == 2
