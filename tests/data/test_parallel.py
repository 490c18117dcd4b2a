"""Parallel text never shifts."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.data import Corpus, ReadOptions, read_parallel, read_text
from regard.data.parallel import first_mismatch
from regard.errors import DataError


def write(folder: Path, **files: str) -> list[Path]:
    for name, content in files.items():
        (folder / name).write_bytes(content.encode())
    return [folder / name for name in files]


def pairs(corpus: Corpus) -> list[tuple[object, str | None]]:
    return [(example.source, example.target) for example in corpus]


def test_lines_that_belong_together(tmp_path: Path) -> None:
    corpus = read_parallel(*write(tmp_path, de="Hund\nKatze\n", en="dog\ncat\n"))
    assert pairs(corpus) == [("Hund", "dog"), ("Katze", "cat")]
    assert corpus[1].references == ("cat",)
    assert corpus[1].origin == (str(tmp_path / "de"), 2)
    assert corpus.report.lines == corpus.report.examples == 2


def test_empty_lines_are_counted_and_shift_nothing(tmp_path: Path) -> None:
    corpus = read_parallel(*write(tmp_path, de="a\n\n c \n\nd\n", en="A\nB\n \n\nD\n"))
    assert pairs(corpus) == [("a", "A"), ("d", "D")]
    assert [example.origin[1] for example in corpus] == [1, 5]
    report = corpus.report
    assert report.skipped == {
        "empty source": 1,
        "empty target": 1,
        "empty source and target": 1,
    }
    assert report.first["empty target"] == (str(tmp_path / "de"), 3)
    assert report.lines == report.examples + sum(report.skipped.values()) == 5
    assert "skipped 1: empty target" in str(report)


def test_several_files_in_order(tmp_path: Path) -> None:
    a, b, c, d = write(tmp_path, a="1\n", b="one\n", c="2\n3\n", d="two\nthree\n")
    corpus = read_parallel([a, c], [b, d])
    assert pairs(corpus) == [("1", "one"), ("2", "two"), ("3", "three")]
    assert corpus[2].origin == (str(c), 2)
    with pytest.raises(DataError, match="2 source files and 1 target files"):
        read_parallel([a, c], [b])


def test_other_line_ends_shift_nothing(tmp_path: Path) -> None:
    corpus = read_parallel(*write(tmp_path, de="a\u0085b\r\nc\u2028\r\n", en="A\nC\n"))
    assert pairs(corpus) == [("a\u0085b", "A"), ("c\u2028", "C")]


def test_different_lengths_name_both_and_the_place(tmp_path: Path) -> None:
    source = [f"{'wort ' * (1 + (7 * i) % 23)}{i}" for i in range(200)]
    target = [f"{'word ' * (1 + (7 * i) % 23)}{i}" for i in range(200)]
    del target[120]
    de, en = write(tmp_path, de="\n".join(source), en="\n".join(target))
    with pytest.raises(DataError) as caught:
        read_parallel(de, en)
    assert "200 lines, but" in str(caught.value)
    assert "has 199" in str(caught.value)
    assert caught.value.line == 121
    with pytest.raises(DataError, match=r"199 lines, but .* has 200"):
        read_parallel(en, de)


@given(
    seed=st.integers(0, 100),
    count=st.integers(50, 300),
    gone=st.floats(0, 1),
    width=st.integers(1, 5),
)
def test_the_place_of_a_gap_is_found(seed: int, count: int, gone: float, width: int) -> None:
    rng = np.random.default_rng(seed)
    source = rng.integers(10, 200, count)
    target = np.maximum(1, (source * rng.normal(1.1, 0.02, count)).astype(np.int64))
    place = int(gone * (count - width))
    shorter = np.delete(target, slice(place, place + width))
    assert abs(first_mismatch(source, shorter) - (place + 1)) <= 2
    assert abs(first_mismatch(shorter, source) - (place + 1)) <= 2


def test_one_side_has_nothing() -> None:
    assert first_mismatch(np.array([5, 5]), np.array([], dtype=np.int64)) == 1


def test_a_real_gap_is_found(shared_data: Path, tmp_path: Path) -> None:
    folder = shared_data / "multi30k-de-en"
    lines = (folder / "train.en").read_text(encoding="utf-8").split("\n")
    (tmp_path / "en").write_text("\n".join(lines[:20_000] + lines[20_001:]), encoding="utf-8")
    with pytest.raises(DataError, match=r"29,000 lines, but .* 28,999") as caught:
        read_parallel(folder / "train.de", tmp_path / "en")
    assert abs((caught.value.line or 0) - 20_001) <= 5


@pytest.mark.parametrize("content", ["", "\n\n"])
def test_nothing_to_read(tmp_path: Path, content: str) -> None:
    with pytest.raises(DataError, match=r"an empty file|no example in 2 lines \(2 x empty"):
        read_parallel(*write(tmp_path, de=content, en=content))
    with pytest.raises(DataError, match=r"an empty file|no example in 2 lines \(2 x empty"):
        read_text(write(tmp_path, de=content))


def test_one_empty_file_of_several(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"b: an empty file"):
        read_text(write(tmp_path, a="x\n", b=""))
    for sides in ({"b": "", "a": "x\n"}, {"a": "x\n", "b": ""}):
        with pytest.raises(DataError, match=r"b: an empty file"):
            read_parallel(*write(tmp_path, **sides))


def test_long_lines_are_skipped_or_cut_as_told(tmp_path: Path) -> None:
    files = write(tmp_path, de="abcd\nab\nab\n", en="A\nABCD\nAB\n")
    skipped = read_parallel(*files, options=ReadOptions(max_characters=3))
    assert pairs(skipped) == [("ab", "AB")]
    assert skipped.report.skipped == {"longer than 3 characters": 2}
    cut = read_parallel(*files, options=ReadOptions(max_characters=3, over_long="cut"))
    assert pairs(cut) == [("abc", "A"), ("ab", "ABC"), ("ab", "AB")]
    assert (cut.report.cut, cut.report.skipped) == (2, {})
    assert "cut 2" in str(cut.report)


def test_a_line_end_of_old_macs_is_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"2 lines, but .* 3; .* carriage return inside .*a:2: write"
    ):
        read_parallel(write(tmp_path, a="x\ny\rz\n"), write(tmp_path, b="x\ny\nz\n"))


def test_plain_text(tmp_path: Path) -> None:
    corpus = read_text(write(tmp_path, a="one\n\ntwo\n"))
    assert pairs(corpus) == [("one", None), ("two", None)]
    assert corpus.report.skipped == {"empty source": 1}


def test_real_captions(shared_data: Path) -> None:
    folder = shared_data / "multi30k-de-en"
    corpus = read_parallel(folder / "val.de", folder / "val.en")
    assert len(corpus) == 1014
    assert corpus.report.skipped == {}


@settings(max_examples=60)
@given(st.binary(max_size=60), st.binary(max_size=60))
def test_random_bytes_are_pairs_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, left: bytes, right: bytes
) -> None:
    folder = tmp_path_factory.getbasetemp()
    (folder / "left").write_bytes(left)
    (folder / "right").write_bytes(right)
    try:
        corpus = read_parallel(folder / "left", folder / "right")
    except DataError:
        return
    assert corpus.report.lines == len(corpus) + sum(corpus.report.skipped.values())
    assert all(example.text.strip() and (example.target or "").strip() for example in corpus)
