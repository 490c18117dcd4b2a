"""What a table is follows from its content: separators, quotes, JSON, labels of fastText."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from regard.data import Labelled, ReadOptions, Texts, read_table
from regard.data.sniff import has_table_ending, separator_line
from regard.errors import DataError, SettingsError

RECORDS = [{"text": f"text {i}", "label": "ab"[i % 2]} for i in range(6)]
EXPECTED = [(f"text {i}", ("ab"[i % 2],)) for i in range(6)]


def read(path: Path, content: str | bytes, **options: Any) -> list[tuple[object, tuple[str, ...]]]:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    corpus = read_table(path, options=ReadOptions(**options))
    return [(example.source, example.labels) for example in corpus]


def rows(separator: str, *, quoted: bool = False) -> str:
    quote = '"' if quoted else ""
    lines = [("text", "label"), *((text, labels[0]) for text, labels in EXPECTED)]
    return "".join(separator.join(f"{quote}{c}{quote}" for c in line) + "\n" for line in lines)


@pytest.mark.parametrize("line", ["sep=;", '"sep=;"', "SEP=;"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("given", [None, ";"])
def test_a_line_of_excel_names_the_separator(
    tmp_path: Path, line: str, end: str, given: str | None
) -> None:
    content = (line + "\n" + rows(";")).replace("\n", end)
    assert read(tmp_path / "a.csv", content, separator=given) == EXPECTED
    assert [e.origin[1] for e in read_table(tmp_path / "a.csv")][:2] == [3, 4]
    assert separator_line("september=;") is None


@pytest.mark.parametrize("separator", [";", "\t", "|"])
def test_the_separator_of_csv_is_told_by_its_lines(tmp_path: Path, separator: str) -> None:
    path = tmp_path / "a.csv"
    assert read(path, rows(separator)) == EXPECTED
    assert f"columns are separated by {separator!r}" in str(read_table(path).report)


def test_commas_between_semicolons_are_text(tmp_path: Path) -> None:
    content = "id;text, long;label\n1;good, warm, new;a\n2;bad;b\n3;so, so;a\n"
    found = read(tmp_path / "a.csv", content.replace("text, long", "text"))
    assert found[0] == ("good, warm, new", ("a",))
    broken = "text,label\ngood,a\nbad;b\nfine,a,b\n"
    with pytest.raises(DataError, match=":3: 1 column, expected 2"):
        read(tmp_path / "b.csv", broken)


def test_commas_in_lines_of_text_make_no_columns(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="one column"):
        read(tmp_path / "a.txt", "1 good, film\n0 bad, film\n1 fine, too\n")
    assert read(tmp_path / "b.txt", rows(",")) == EXPECTED  # a line of usual names


@pytest.mark.parametrize("separator", ["||", "::", ";;"])
@pytest.mark.parametrize("quoted", [False, True])
def test_separators_of_several_characters(tmp_path: Path, separator: str, quoted: bool) -> None:
    content = rows(separator, quoted=quoted)
    assert read(tmp_path / "a.csv", content, separator=separator) == EXPECTED
    if not quoted:
        assert read(tmp_path / "a.tsv", content, separator=separator) == EXPECTED


def test_a_quoted_cell_may_hold_a_separator_of_two_characters(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", 'text||label\n"a || b"||x\nc||y\n', separator="||")
    assert found == [("a || b", ("x",)), ("c", ("y",))]


@pytest.mark.parametrize("separator", ["\n", "\r", '"', 'a"'])
def test_signs_that_cannot_separate(separator: str) -> None:
    with pytest.raises(SettingsError, match="cannot stand between the columns of a line"):
        ReadOptions(separator=separator)


@pytest.mark.parametrize("name", ["tab", "TAB", "\\t", "\t"])
def test_a_tab_has_a_name(name: str) -> None:
    assert ReadOptions(separator=name).separator == "\t"


def test_a_separator_that_is_nowhere_gives_way(tmp_path: Path) -> None:
    """A test part may be TSV where the training part was CSV with semicolons."""
    assert read(tmp_path / "a.tsv", rows("\t"), separator=";") == EXPECTED
    report = str(read_table(tmp_path / "a.tsv", options=ReadOptions(separator=";")).report)
    assert "no ';' in it: columns are separated by '\\t'" in report


QUOTED = [
    'text\tlabel\n"one\nline ""two"""\ta\n"tab\there"\tb\nplain\ta\n',
    '"text"\t"label"\n"one\nline ""two"""\t"a"\n"tab\there"\t"b"\n"plain"\t"a"\n',
]


@pytest.mark.parametrize("content", QUOTED)
def test_quoted_cells_of_pandas_in_tsv(tmp_path: Path, content: str) -> None:
    expected = [('one\nline "two"', ("a",)), ("tab\there", ("b",)), ("plain", ("a",))]
    assert read(tmp_path / "a.tsv", content) == expected
    assert "cells are in quotes" in str(read_table(tmp_path / "a.tsv").report)


def test_doubled_quotes_alone_show_quoted_cells(tmp_path: Path) -> None:
    found = read(tmp_path / "a.tsv", 'text\tlabel\n"say ""hi"""\ta\n"plain"\tb\n')
    assert found == [('say "hi"', ("a",)), ("plain", ("b",))]
    given = read(tmp_path / "a.tsv", 'text\tlabel\n"say ""hi"""\ta\n"plain"\tb\n', format="tsv")
    assert given == [('"say ""hi"""', ("a",)), ('"plain"', ("b",))]


@pytest.mark.parametrize(
    "content",
    [
        '"Great," he said\t1\nfine\t0\nso "so\t1\n',
        '"Great film\t1\nfine\t0\nso so"\t1\n',  # opened in one line, closed in another
        '"A quotation"\t1\n"Another one"\t0\nplain\t1\n',
    ],
)
def test_quotes_stay_plain_characters_in_tsv(tmp_path: Path, content: str) -> None:
    found = read(tmp_path / "a.tsv", content)
    assert found == [(t, (n,)) for t, n in (line.split("\t") for line in content.splitlines())]


def test_quoted_cells_after_the_first_lines_are_named(tmp_path: Path) -> None:
    plain = "text\tlabel\n" + "".join(f"{'x' * 200} {i}\t{i % 2}\n" for i in range(2000))
    with pytest.raises(DataError, match=r":2002: .*--format csv --separator 'tab'"):
        read(tmp_path / "a.tsv", plain + '"two\nlines"\t1\n')
    found = read(tmp_path / "a.tsv", plain + '"two\nlines"\t1\n', format="csv", separator="tab")
    assert found[-1] == ("two\nlines", ("1",))


SPARK = r"""text,label
"he said \"good value\", then left",a
"a backslash \\ and \"quotes\"",b
"plain",a
"""


def test_backslashes_before_quotes(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", SPARK)
    assert found[:2] == [
        ('he said "good value", then left', ("a",)),
        (r'a backslash \ and "quotes"', ("b",)),
    ]
    assert read(tmp_path / "a.csv", SPARK, escape="\\") == found
    long = "text,label\n" + f"{'x' * 300},a\n" * 1000 + SPARK.partition("\n")[2]
    with pytest.raises(DataError, match=r":1002: not CSV: a backslash before a quote.*--escape"):
        read(tmp_path / "a.csv", long)
    assert read(tmp_path / "a.csv", long, escape="\\")[1000:] == found


def test_backslashes_before_quotes_in_tsv(tmp_path: Path) -> None:
    found = read(tmp_path / "a.tsv", 'text\tlabel\n"say \\"hi\\""\ta\nplain\tb\n')
    assert found == [('say "hi"', ("a",)), ("plain", ("b",))]
    plain = read(tmp_path / "b.tsv", 'text\tlabel\nsay \\"hi\\"\ta\nplain\tb\n')
    assert plain[0] == (r"say \"hi\"", ("a",))


def test_a_backslash_at_the_end_of_a_cell_is_one(tmp_path: Path) -> None:
    found = read(tmp_path / "a.csv", 'text,label\n"C:\\",a\nx,b\n')
    assert found == [("C:\\", ("a",)), ("x", ("b",))]


@pytest.mark.parametrize("name", ["a.json", "a.jsonl", "a.txt"])
@pytest.mark.parametrize("indent", [None, 1, 4])
def test_a_list_of_objects_is_a_table(tmp_path: Path, name: str, indent: int | None) -> None:
    assert read(tmp_path / name, json.dumps(RECORDS, indent=indent)) == EXPECTED


@pytest.mark.parametrize(
    "content",
    [
        {"data": RECORDS},
        {"version": 1, "rows": RECORDS},
        {"text": [t for t, _ in EXPECTED], "label": [n[0] for _, n in EXPECTED]},
        {k: {str(i): r[k] for i, r in enumerate(RECORDS)} for k in ("text", "label")},
        {str(i): r for i, r in enumerate(RECORDS)},
        {
            "columns": ["text", "label"],
            "index": [*range(6)],
            "data": [[*r.values()] for r in RECORDS],
        },
    ],
)
@pytest.mark.parametrize("indent", [None, 1])
def test_documents_as_pandas_and_others_write_them(
    tmp_path: Path, content: object, indent: int | None
) -> None:
    assert read(tmp_path / "a.json", json.dumps(content, indent=indent)) == EXPECTED


def test_lines_of_objects_are_a_table_whatever_the_name(tmp_path: Path) -> None:
    content = "".join(json.dumps(record) + "\n" for record in RECORDS)
    for name in ("a.jsonl", "a.json", "a.txt", "a.dat"):
        assert read(tmp_path / name, content) == EXPECTED
    assert read(tmp_path / "one.json", content.partition("\n")[0]) == EXPECTED[:1]


def test_a_line_of_json_may_be_longer_than_the_head(tmp_path: Path) -> None:
    line = json.dumps({"text": "x" * 300_000, "label": "a"}) + "\n"
    assert len(read(tmp_path / "a.jsonl", line * 2)) == 2


@pytest.mark.parametrize("kind", ["parquet", "arrow"])
def test_columns_in_binary_whatever_the_name(tmp_path: Path, kind: str) -> None:
    table = pa.table({k: [r[k] for r in RECORDS] for k in ("text", "label")})
    if kind == "parquet":
        pq.write_table(table, tmp_path / "a")
    else:
        with pa.ipc.new_file(tmp_path / "a", table.schema) as writer:
            writer.write_table(table)
    for name in ("a.tsv", f"a.{kind}"):
        assert read(tmp_path / name, (tmp_path / "a").read_bytes()) == EXPECTED


def test_labels_of_fasttext(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text("__label__a __label__b warm soup\n__label__a\tcold\n\n__label__b  tea \n")
    for options in (None, ReadOptions(separator=" "), ReadOptions(format="fasttext")):
        corpus = read_table(path, Labelled(), options=options)
        assert [(e.source, e.labels) for e in corpus] == [
            ("warm soup", ("a", "b")),
            ("cold", ("a",)),
            ("tea", ("b",)),
        ]
    path.write_text("no label\n__label__a some\n__label__b\n")
    corpus = read_table(path, options=ReadOptions(format="fasttext"))
    assert corpus.report.skipped == {"empty label": 1, "empty source": 1}
    path.write_text("__label__a warm soup\n__label__b cold\n")
    assert [e.source for e in read_table(path, Texts())] == ["warm soup", "cold"]


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("text", [rows(","), rows(",").replace("text", "Привет мир")])
def test_utf_16_without_a_mark_is_refused(tmp_path: Path, encoding: str, text: str) -> None:
    with pytest.raises(DataError, match=rf"{encoding.upper()}.*--encoding {encoding}"):
        read(tmp_path / "a.csv", text.encode(encoding))
    found = read(tmp_path / "a.csv", rows(",").encode(encoding), encoding=encoding)
    assert found == EXPECTED


def test_a_zero_here_and_there_is_a_character(tmp_path: Path) -> None:
    assert read(tmp_path / "a.tsv", "a\0b\tx\nc\td\n") == [("a\0b", ("x",)), ("c", ("d",))]


@pytest.mark.parametrize(
    ("name", "table"),
    [("a.tsv", True), ("A.CSV.gz", True), ("a.jsonl.zst", True), ("a.txt", False), ("a.de", False)],
)
def test_names_that_promise_a_table(name: str, table: bool) -> None:
    assert has_table_ending(name) is table
