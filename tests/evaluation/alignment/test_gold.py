"""Files of gold links: both formats, how words are counted, encodings, links outside their sentences."""

from __future__ import annotations

import gzip
from pathlib import Path

import pytest

from regard.errors import DataError, InputError
from regard.evaluation.alignment.gold import parse_gold, read_gold, read_gold_file

PAIRS = [(["a", "b", "c"], ["x", "y"]), (["d"], ["z"]), (["e", "f"], ["v", "w"])]


def written(folder: Path, content: str | bytes, name: str = "gold") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_sure_links_are_possible_too():
    gold = parse_gold("3-1 2p7 4?4")
    assert gold.sure == {(2, 0)}
    assert gold.possible == {(2, 0), (1, 6), (3, 3)}


def test_links_from_0():
    assert parse_gold("0-0 2-1", first=0).sure == {(0, 0), (2, 1)}


@pytest.mark.parametrize("item", ["1:2", "a-b", "1-", "-1-2", "1-2-3", "1", "1-2p", "١-١"])
def test_an_item_that_is_no_link_is_named(item):
    for first in (0, 1):
        with pytest.raises(InputError, match="is not a link"):
            parse_gold(item, first=first)  # type: ignore[arg-type]


@pytest.mark.parametrize("item", ["0-1", "1-0", "0?0"])
def test_a_word_before_the_first_is_named(item):
    with pytest.raises(InputError, match="is not a link of words counted from 1"):
        parse_gold(item)


def test_a_bad_line_is_named_by_file_and_number(tmp_path: Path):
    with pytest.raises(DataError, match=r"gold:3: '1x2' is not a link"):
        read_gold(written(tmp_path, "1-1\n\n1x2\n"))
    with pytest.raises(DataError, match=r"gold:2: '1 2 x S' is not a link; expected 'sentence"):
        read_gold(written(tmp_path, "1 1 1 S\n1 2 x S\n"))
    with pytest.raises(DataError, match=r"gold:1: '0 1 1 S' is of sentence pair 0"):
        read_gold(written(tmp_path, "0 1 1 S\n"))


def test_an_empty_line_is_an_empty_alignment(tmp_path: Path):
    gold = read_gold(written(tmp_path, "1-1\n\n2p2\n"))
    assert [len(of_pair.possible) for of_pair in gold] == [1, 0, 1]


def test_a_zero_shows_that_words_count_from_0(tmp_path: Path):
    file = read_gold_file(written(tmp_path, "1-1 2-1\n0-0\n1?1\n"))
    assert file.first == 0
    assert "words counted from 0 (there is '0-0' in line 2)" in str(file)
    assert file.gold_of(PAIRS)[0].sure == {(1, 1), (2, 1)}
    file = read_gold_file(written(tmp_path, "1-1 3-2\n1-1\n1?1\n"))
    assert file.first == 1
    assert "words counted from 1 (no link has a 0)" in str(file)
    assert file.gold_of(PAIRS)[0].sure == {(0, 0), (2, 1)}
    assert file.gold_of(PAIRS)[2] == (frozenset(), frozenset({(0, 0)}))


def test_the_first_word_can_be_given(tmp_path: Path):
    path = written(tmp_path, "1-1\n\n1-1\n")  # fits either way
    assert read_gold(path)[0].sure == {(0, 0)}
    assert read_gold(path, first=0)[0].sure == {(1, 1)}
    assert "counted from 0 (as given)" in str(read_gold_file(path, first=0))
    with pytest.raises(DataError, match=r"gold:1: '0-1' is not a link of words counted from 1"):
        read_gold_file(written(tmp_path, "0-1\n"), first=1)


def test_a_line_for_each_link(tmp_path: Path):
    """The form of NAACL 2003: gaps between the numbers are pairs without links, at the end too."""
    content = "0001 1 1 S\n0001 3 2 P\n\n0001 2 2\n0003 2 1 S 0.75\n0003 1 1 0.5\n"
    file = read_gold_file(written(tmp_path, content))
    assert (file.form, file.first) == ("NAACL", 1)
    gold = file.gold_of([*PAIRS, (["g"], ["u"])])
    assert [of_pair.sure for of_pair in gold] == [
        {(0, 0), (1, 1)}, set(), {(1, 0), (0, 0)}, set(),
    ]  # fmt: skip
    assert gold[0].possible == {(0, 0), (1, 1), (2, 1)}


def test_links_to_no_word_are_left_out_and_counted(tmp_path: Path):
    file = read_gold_file(written(tmp_path, "1 1 1 S\n1 2 0 S\n3 0 2 P\n"))
    assert [len(of_pair.possible) for of_pair in file.gold_of(PAIRS)] == [1, 0, 0]
    assert "2 links to no word left out" in str(file)
    from_0 = read_gold_file(written(tmp_path, "1 0 0 S\n1 2 0 S\n"))  # a word, then
    assert from_0.first == 0
    assert from_0.gold_of(PAIRS)[0].sure == {(0, 0), (2, 0)}


@pytest.mark.parametrize(
    ("content", "line", "link"),
    [
        ("1-1\n1-1\n2-3\n", 3, "2-3"),
        ("1-1\n2-1\n2-2\n", 2, "2-1"),
        ("0-0 3-0\n\n\n", 1, "3-0"),
        ("1-1 1?3\n\n\n", 1, "1?3"),
        ("1 1 1 S\n2 2 1 P\n", 2, "2 2 1 P"),
    ],
)
def test_a_link_outside_its_sentences_is_named(tmp_path: Path, content, line, link):
    file = read_gold_file(written(tmp_path, content))
    with pytest.raises(DataError) as caught:
        file.gold_of(PAIRS)
    pair = PAIRS[int(link[0]) - 1] if " " in link else PAIRS[line - 1]
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'gold'}:{line}: link {link!r} is outside")
    assert f"{len(pair[0])} and {len(pair[1])} words" in message
    assert f"--gold-from {1 - file.first}" in message


def test_links_of_more_or_fewer_pairs_are_refused(tmp_path: Path):
    for content, count in (("1-1\n1-1\n", 2), ("1-1\n1-1\n1-1\n1-1\n", 4)):
        with pytest.raises(DataError, match=f"{count} lines of gold links for 3 sentence pairs"):
            read_gold_file(written(tmp_path, content)).gold_of(PAIRS)
    with pytest.raises(DataError, match=r"gold:2: gold links of sentence pair 4, but there are 3"):
        read_gold_file(written(tmp_path, "1 1 1 S\n4 1 1 S\n")).gold_of(PAIRS)


def test_pairs_that_were_left_out_have_their_lines(tmp_path: Path):
    file = read_gold_file(written(tmp_path, "3-2\n9-9\n2-2\n"))  # the second pair is blank
    gold = file.gold_of([PAIRS[0], PAIRS[2]], [0, 2], count=3)
    assert [of_pair.sure for of_pair in gold] == [{(2, 1)}, {(1, 1)}]
    with pytest.raises(DataError, match="3 lines of gold links for 4 sentence pairs"):
        file.gold_of([PAIRS[0], PAIRS[2]], [0, 2], count=4)


@pytest.mark.parametrize(
    "content",
    [
        "\ufeff1-1 3-2\r\n\r\n2p2\r\n".encode(),
        "1-1 3-2\n\n2p2".encode("utf-16"),
        "\ufeff1-1 3-2\n\n2p2\n".encode("utf-16-be"),
        "1-1 3-2\n\n2p2\n".encode("utf-16-le"),
        gzip.compress(b"1-1\t3-2 \n\n2p2\n", mtime=0),
        "\ufeff1 1 1 S\n1 3 2 S\n3 2 2 P\n".encode(),
        gzip.compress("0001\t1\t1\tS\n0001\t3\t2\n3 2 2 p\n".encode("utf-16"), mtime=0),
    ],
)
def test_files_as_other_programs_write_them(tmp_path: Path, content):
    gold = read_gold_file(written(tmp_path, content)).gold_of(PAIRS)
    assert [of_pair.sure for of_pair in gold] == [{(0, 0), (2, 1)}, set(), set()]
    assert gold[2].possible == {(1, 1)}


def test_a_file_that_is_not_there_is_named(tmp_path: Path):
    with pytest.raises(DataError, match=r"gold.links: no such file"):
        read_gold(tmp_path / "gold.links")
