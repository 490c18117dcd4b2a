"""Labels and texts in values as JSON, pandas, Excel and Parquet write them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.data import Example, Labelled, Pairs, match_labels, read_table
from regard.data.values import canonical, flag, labels_in
from regard.errors import DataError


def write(path: Path, *records: object) -> Path:
    path.write_text("".join(json.dumps(record) + "\n" for record in records))
    return path


def csv(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("['a', 'b']", ("a", "b")),
        ("['a' 'b']", ("a", "b")),  # NumPy
        ("('a', 'b',)", ("a", "b")),
        ("{'a'}", ("a",)),
        ("""["it's", 'a "b"']""", ("it's", 'a "b"')),
        (r"['it\'s']", ("it's",)),
        ('["a", "b"]', ("a", "b")),
        ("[]", ()),
        ("[1, 2]", ("1", "2")),
        ("[ 2 27]", ("2", "27")),
        ("[x]", ("[x]",)),
        ("['a', b]", ("['a', b]",)),
        ("{'a': 1}", ("{'a': 1}",)),
        ('{"a": 1, "b": 0}', ("a",)),
        ("(sic)", ("(sic)",)),
        (math.nan, None),
        (None, None),
        ("nan", None),
        (" NaN ", None),
        (r"\N", None),
        ("none", ("none",)),
        (True, ("true",)),
        ({"POS": 1.0, "NEG": 0.0}, ("POS",)),
        ({"POS": False, "NEG": True}, ("NEG",)),
        ({"POS": 0, "NEG": None}, ()),
    ],
)
def test_labels_by_hand(value: object, expected: tuple[str, ...] | None) -> None:
    assert labels_in(value, None) == expected


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), min_size=1))
def test_a_list_as_python_writes_it_is_a_list(labels: list[str]) -> None:
    plain = [label for label in labels if label.isprintable()]
    if plain:
        assert labels_in(repr(plain), None) == tuple(label.strip() for label in plain)


@given(st.text())
def test_no_cell_is_run_or_breaks(text: str) -> None:
    for cell in (text, f"[{text}]", f"['{text}']", f"{{{text}}}"):
        found = labels_in(cell, None)
        assert found is None or all(isinstance(label, str) for label in found)


def test_labels_that_are_nan_are_none(tmp_path: Path) -> None:
    lines = (
        '{"text": "a", "label": "x"}\n{"text": "b", "label": NaN}\n{"text": "c", "label": "y"}\n'
    )
    assert read_table(csv(tmp_path / "a.jsonl", lines)).report.skipped == {"empty label": 1}
    table = pa.table({"text": ["a", "b", "c"], "label": [1.0, math.nan, None]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet").report.skipped == {"empty label": 2}
    texts = pa.table({"source": ["a", None], "target": ["b", "c"]})
    pq.write_table(texts, tmp_path / "b.parquet")
    assert read_table(tmp_path / "b.parquet", Pairs()).report.skipped == {"empty source": 1}


def test_columns_of_0_and_1_are_labels(tmp_path: Path) -> None:
    path = csv(
        tmp_path / "a.csv", "id,comment,toxic,rude\n0,a,0,1\n1,b,1,1\n2,c,0,0\n3,d,-1,-1\n4,e,,\n"
    )
    for label in ("toxic,rude", ["toxic", "rude"], ("toxic", "rude")):
        corpus = read_table(path, Labelled("comment", label))
        assert [e.labels for e in corpus] == [("rude",), ("toxic", "rude"), ()]
        assert corpus.report.skipped == {"empty label": 2}
    numbered = csv(tmp_path / "b.csv", "a,0,1\nb,1,0\n")
    assert [e.labels for e in read_table(numbered, Labelled("1", "2,3"))] == [("3",), ("2",)]


def test_a_later_value_that_is_no_flag_is_named(tmp_path: Path) -> None:
    rows = "a,0,1\n" * 1000 + "a,2,1\n"
    with pytest.raises(DataError, match=r":1002: '2' in the column 'toxic', expected 0 or 1"):
        read_table(
            csv(tmp_path / "a.csv", "text,toxic,rude\n" + rows), Labelled(label="toxic,rude")
        )


def test_several_columns_of_names_are_several_labels(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "text,one,two\na,joy,\nb,fear,joy\nc,,\nd,joy,joy\n")
    corpus = read_table(path, Labelled(label="one,two"))
    assert [e.labels for e in corpus] == [("joy",), ("fear", "joy"), ("joy",)]


def test_objects_of_0_and_1_are_labels(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        {"text": "a", "cats": {"POS": 1, "NEG": 0}},
        {"text": "b", "cats": {"POS": 0.0, "NEG": 1.0}},
    )
    assert [e.labels for e in read_table(path, Labelled(label="cats"))] == [("POS",), ("NEG",)]
    bad = write(tmp_path / "b.jsonl", {"text": "a", "cats": {"POS": 0.7}})
    with pytest.raises(DataError, match="nor 0 and 1 by label"):
        read_table(bad, Labelled(label="cats"))


def test_two_columns_of_text_are_one_text_of_two_parts(tmp_path: Path) -> None:
    path = write(
        tmp_path / "a.jsonl",
        {"premise": "a", "hypothesis": "b", "label": 1},
        {"premise": "", "hypothesis": "d", "label": 0},
        {"premise": " ", "hypothesis": None, "label": 0},
    )
    corpus = read_table(path, Labelled(text="premise,hypothesis"))
    assert [e.source for e in corpus] == ["a | b", "d"]
    assert corpus.report.skipped == {"empty source": 1}


def test_two_columns_of_targets_are_two_correct_texts(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", "source,one,two\na,b,c\nd,e,\n")
    corpus = read_table(path, Pairs(target="one,two"))
    assert [e.references for e in corpus] == [("b", "c"), ("e",)]


def test_a_column_whose_name_has_a_comma(tmp_path: Path) -> None:
    path = csv(tmp_path / "a.csv", 'text,"a,b"\nx,1\ny,0\n')
    assert [e.labels for e in read_table(path, Labelled(label="a,b"))] == [("1",), ("0",)]


@pytest.mark.parametrize(
    ("value", "expected"),
    [("1", True), (1.0, True), ("TRUE", True), ("", False), (None, False), ("2", None), ([], None)],
)
def test_flags_by_hand(value: object, expected: bool | None) -> None:
    assert flag(value) is expected


def test_labels_of_one_value_meet_across_files(tmp_path: Path) -> None:
    first = write(tmp_path / "a.jsonl", {"text": "a", "label": True}, {"text": "b", "label": False})
    second = csv(tmp_path / "b.csv", "text,label\nc,True\nd,FALSE\n")
    corpus = read_table([first, second])
    assert corpus.label_names == ["false", "true"]
    assert "b.csv: labels are spelled as in lines before: 'True' as 'true'" in str(corpus.report)
    alone = read_table(second)
    assert alone.label_names == ["FALSE", "True"]  # names stay where nothing speaks against them
    mixed = csv(tmp_path / "c.csv", "text,label\na,True\nb,TRUE\nc,false\nd,007\ne,7\nf,7.0\n")
    assert read_table(mixed).label_names == ["007", "7", "True", "false"]
    matched = match_labels(alone, ["false", "true"])
    assert [e.labels for e in matched] == [("true",), ("false",)]
    assert [e.source for e in matched] == ["c", "d"]
    assert [e.origin for e in matched] == [e.origin for e in alone]


def test_numbers_meet_whatever_their_type(tmp_path: Path) -> None:
    table = pa.table({"text": ["a", "b"], "label": [1.0, 2.0]})
    pq.write_table(table, tmp_path / "a.parquet")
    second = csv(tmp_path / "b.csv", "text,label\nc,1\nd,2\n")
    assert read_table([tmp_path / "a.parquet", second]).label_names == ["1.0", "2.0"]
    examples = [Example("x", labels=("1.0",)), Example("y", labels=("3.0",))]
    assert [e.labels for e in match_labels(examples, ["1", "2"])] == [("1",), ("3.0",)]
    assert match_labels(examples, ["1", "1.00", "3.0"]) == examples  # which 1 is not clear
    assert match_labels(examples, ["1.0", "3.0"]) is examples


@given(st.text())
def test_a_canonical_label_is_its_own(label: str) -> None:
    assert canonical(canonical(label)) == canonical(label)
