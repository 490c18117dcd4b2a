"""Lines end at line feeds; what cannot be read says where."""

import gzip
import io
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.data import read_lines
from regard.errors import DataError, SettingsError


def lines(content: bytes, encoding: str = "utf-8") -> list[str]:
    return [line for _, line in read_lines(io.BytesIO(content), encoding=encoding)]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"a\nb\n", ["a", "b"]),
        (b"a\nb", ["a", "b"]),
        (b"a\r\nb\r\n", ["a", "b"]),
        (b"\n\na", ["", "", "a"]),
        (b"\xef\xbb\xbfa\nb", ["a", "b"]),  # a byte order mark
        (b"a\rb\n", ["a\rb"]),
        (b"", []),
        (b"\n", [""]),
    ],
)
def test_lines_by_hand(content: bytes, expected: list[str]) -> None:
    assert lines(content) == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-16"])
def test_a_file_without_line_feeds_is_no_single_line(encoding: str) -> None:
    assert lines("one\r".encode(encoding), encoding) == ["one"]
    with pytest.raises(DataError, match=r":1: 2 carriage returns and no line feed.*; write the f"):
        lines("one\rtwo\r".encode(encoding), encoding)


@pytest.mark.parametrize("character", ["\u0085", "\u2028", "\u2029", "\x0b", "\x0c", "\x1c"])
def test_other_line_ends_stay_in_the_line(character: str) -> None:
    assert lines(f"a{character}b\nc".encode()) == [f"a{character}b", "c"]


@given(st.lists(st.text(st.characters(exclude_characters="\n\r\ufeff", exclude_categories=["Cs"]))))
@pytest.mark.parametrize("encoding", ["utf-8", "utf-16", "utf-32-le", "gb18030"])
def test_what_is_written_is_read(encoding: str, texts: list[str]) -> None:
    content = "".join(text + "\n" for text in texts).encode(encoding)
    assert lines(content, encoding) == texts


def test_numbers_count_from_one(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(b"x\ny\n")
    assert list(read_lines(tmp_path / "a.txt")) == [(1, "x"), (2, "y")]


def test_gzip_is_recognised_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes(gzip.compress("ä\nb".encode()))
    assert [line for _, line in read_lines(tmp_path / "a.txt")] == ["ä", "b"]


def test_bytes_that_are_no_text_are_named(tmp_path: Path) -> None:
    path = tmp_path / "train.txt"
    path.write_bytes("gut\nMädchen\nschön\n".encode("latin-1"))
    with pytest.raises(DataError) as caught:
        list(read_lines(path))
    assert (caught.value.path, caught.value.line) == (str(path), 2)
    assert "byte 0xe4 at offset 5 is not utf-8" in str(caught.value)
    assert "encoding='latin-1'" in str(caught.value)
    assert "Mädchen" in str(caught.value)
    assert [line for _, line in read_lines(path, encoding="latin-1")][1] == "Mädchen"


def test_the_line_of_a_bad_byte_in_a_wide_encoding(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_bytes("a\nb\n".encode("utf-16-le") + b"\x00\xdc")  # half a surrogate pair
    with pytest.raises(DataError, match=r"offset 8 is not utf-16-le") as caught:
        list(read_lines(path, encoding="utf-16-le"))
    assert caught.value.line == 3


def test_utf16_is_recognised_by_its_mark(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_bytes("a\nb".encode("utf-16"))
    with pytest.raises(DataError, match=r"byte order mark of UTF-16.*try encoding='utf-16'"):
        list(read_lines(tmp_path / "a.txt"))


def test_a_missing_file_names_one_like_it(tmp_path: Path) -> None:
    (tmp_path / "train.de").write_text("a")
    with pytest.raises(DataError, match=r"no such file; did you mean .*train\.de"):
        list(read_lines(tmp_path / "trian.de"))
    with pytest.raises(DataError, match="there is no folder"):
        list(read_lines(tmp_path / "no" / "train.de"))


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="cannot be read"):
        list(read_lines(tmp_path))


@pytest.mark.parametrize("cut", [5, 20, -4])
def test_a_damaged_gzip_file(tmp_path: Path, cut: int) -> None:
    packed = gzip.compress(bytes(range(97, 123)) * 100)
    (tmp_path / "a.gz").write_bytes(packed[:cut])
    with pytest.raises(DataError, match="damaged gzip file"):
        list(read_lines(tmp_path / "a.gz"))


@pytest.mark.parametrize("encoding", ["utf-9", "hex", "rot13"])
def test_an_unknown_encoding(encoding: str) -> None:
    with pytest.raises(SettingsError, match="unknown text encoding"):
        lines(b"a", encoding)


@given(st.binary() | st.binary().map(lambda b: b"\x1f\x8b" + b) | st.binary().map(gzip.compress))
@pytest.mark.parametrize("encoding", ["utf-8", "latin-1", "utf-16", "cp1252", "shift_jis"])
def test_random_bytes_are_lines_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, encoding: str, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "random.txt"
    path.write_bytes(content)
    try:
        numbers = [number for number, _ in read_lines(path, encoding=encoding)]
    except DataError:
        return
    assert numbers == list(range(1, len(numbers) + 1))


@pytest.mark.parametrize("encoding", ["latin-1", "cp1252", "ISO-8859-15"])
def test_utf_8_is_not_read_as_latin_1(encoding: str) -> None:
    with pytest.raises(DataError, match=f"UTF-8, not {encoding}.*--encoding utf-8"):
        lines("déjà vu\n".encode(), encoding)
    assert lines("déjà vu\n".encode(encoding), encoding) == ["déjà vu"]
    assert lines("Â© alone\n".encode("latin-1"), "latin-1") == ["Â© alone"]
