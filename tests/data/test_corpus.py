"""A corpus is the same in memory and on the disk."""

import gc
from pathlib import Path

import numpy as np
import pytest

from regard.data import Corpus, Example, Pairs, ReadOptions, check_labels, read_parallel, read_table
from regard.errors import DataError


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    count = 20_011
    (tmp_path / "de").write_text("".join(f"Zeile {i}\n" for i in range(count)))
    (tmp_path / "en").write_text("".join(f"line {i}\n" for i in range(count)))
    return tmp_path / "de", tmp_path / "en"


def mapped_from(folder: Path) -> int:
    """Bytes of files in a folder, deleted ones included, that are mapped into memory."""
    maps = Path("/proc/self/maps")
    if not maps.exists():
        pytest.skip("this system does not tell what is mapped")
    lines = [line for line in maps.read_text().splitlines() if str(folder) in line]
    ranges = [[int(end, 16) for end in line.split()[0].split("-")] for line in lines]
    return sum(end - start for start, end in ranges)


def test_larger_than_memory_is_the_same(files: tuple[Path, Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    whole = read_parallel(*files)
    assert not cache.exists()
    mapped = read_parallel(*files, options=ReadOptions(in_memory=10_000, cache=str(cache)))
    assert mapped_from(cache) > 500_000
    assert list(cache.iterdir()) == []  # so that nothing is left, however the process ends
    assert list(mapped) == list(whole)
    assert [mapped[i] for i in (0, 8192, -1)] == [whole[i] for i in (0, 8192, -1)]
    del mapped
    gc.collect()
    assert mapped_from(cache) == 0


def test_an_error_on_the_way_leaves_no_file(files: tuple[Path, Path], tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    with open(files[0], "ab") as file:
        file.write(b"\xff\n")
    with pytest.raises(DataError, match="20012"):
        read_parallel(*files, options=ReadOptions(in_memory=10_000, cache=str(cache)))
    assert list(cache.iterdir()) == []


def test_a_cache_that_cannot_be_written(files: tuple[Path, Path], tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    with pytest.raises(DataError, match="say cache= a folder with more room"):
        read_parallel(*files, options=ReadOptions(in_memory=1, cache=str(blocked)))


def test_it_is_a_sequence(files: tuple[Path, Path]) -> None:
    corpus = read_parallel(*files)
    assert len(corpus) == 20_011
    assert corpus[-1].target == "line 20010"
    assert [example.target for example in corpus[5:8]] == ["line 5", "line 6", "line 7"]
    assert corpus[7] in corpus[5:8]
    with pytest.raises(IndexError):
        corpus[20_011]
    assert "20,011 examples" in repr(corpus)


def test_selecting_keeps_the_order_asked_for(files: tuple[Path, Path]) -> None:
    corpus = read_parallel(*files)
    some = corpus.select(np.array([11, 3, 20_010, 3]))
    assert [example.source for example in some] == ["Zeile 11", "Zeile 3", "Zeile 20010", "Zeile 3"]
    again = some.select([2, 0])
    assert [example.source for example in again] == ["Zeile 20010", "Zeile 11"]


def test_a_plain_text_has_sentences() -> None:
    assert Example('He said "no." She left.').sentences == ('He said "no."', "She left.")
    assert Example(("As it. Came",)).sentences == ("As it. Came",)
    assert Example(" ").sentences == (" ",)


def test_real_documents(shared_data: Path) -> None:
    corpus = read_table(shared_data / "scitldr" / "test.jsonl", Pairs())
    assert max(len(example.references) for example in corpus) > 1
    assert min(len(example.sentences) for example in corpus) > 0


def corpus_of(tmp_path: Path, *labels: str) -> Corpus:
    path = tmp_path / "a.tsv"
    path.write_text("text\tlabel\n" + "".join(f"t{i}\t{x}\n" for i, x in enumerate(labels)))
    return read_table(path)


def test_labels_that_can_be_learned(tmp_path: Path) -> None:
    corpus = corpus_of(tmp_path, "a", "b", "a", "b")
    assert check_labels(corpus) is corpus


def test_one_class_only(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one class only: all 3 examples are 'a'"):
        check_labels(corpus_of(tmp_path, "a", "a", "a"))


def test_a_label_seen_once(tmp_path: Path) -> None:
    labels = [*["pos", "neg", "pos", "neg", "postive", "neg", "pos"]]
    corpus = corpus_of(tmp_path, *labels)
    with pytest.raises(DataError, match=r"'postive' is seen only once.*did you mean") as caught:
        check_labels(corpus)
    assert caught.value.line == 6
    assert check_labels(corpus, rare="keep") is corpus
    kept = check_labels(corpus, rare="skip")
    assert isinstance(kept, Corpus)
    assert kept.label_names == ["neg", "pos"]
    assert check_labels(list(corpus), rare="skip") == list(kept)


def test_a_label_for_every_text(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"20 different labels in 20 examples.*column of labels"):
        check_labels(corpus_of(tmp_path, *(f"label {i}" for i in range(20))))


def test_a_header_taken_for_an_example(tmp_path: Path) -> None:
    path = tmp_path / "a.tsv"
    path.write_text("Tweet\tMood\n" + "x\tup\ny\tdown\n" * 3)
    with pytest.raises(DataError, match=r"a\.tsv:1: the label 'Mood'.*Is this line a header\?"):
        check_labels(read_table(path))


def test_no_labels_at_all(files: tuple[Path, Path]) -> None:
    with pytest.raises(DataError, match="no example has a label"):
        check_labels(read_parallel(*files))
