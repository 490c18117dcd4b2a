"""Tables in four formats, their columns and their faults."""

import gzip
import json
import re
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from regard.data import Corpus, Labelled, Pairs, ReadOptions, Texts, read_table
from regard.errors import DataError, InputError, SettingsError

ROWS = [("good film", "pos"), ("bad film", "neg"), ("so so", "pos")]
WORDS = ReadOptions(separator=" ")


def labelled(corpus: Corpus) -> list[tuple[object, str]]:
    return [(example.source, "|".join(example.labels)) for example in corpus]


def write(path: Path, content: str | bytes) -> Path:
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def as_json(**record: object) -> str:
    return json.dumps(record) + "\n"


def test_the_same_table_in_every_format(tmp_path: Path) -> None:
    tsv = "text\tlabel\n" + "".join(f"{text}\t{label}\n" for text, label in ROWS)
    lines = "".join(as_json(text=text, label=label) for text, label in ROWS)
    table = pa.table({"text": [t for t, _ in ROWS], "label": [lab for _, lab in ROWS]})
    pq.write_table(table, tmp_path / "a.parquet")
    files = [
        write(tmp_path / "a.tsv", tsv),
        write(tmp_path / "a.csv", tsv.replace("\t", ",")),
        write(tmp_path / "a.jsonl", lines),
        write(tmp_path / "a.tsv.gz", gzip.compress(tsv.encode())),
        write(tmp_path / "a.jsonl.gz", gzip.compress(lines.encode())),
        tmp_path / "a.parquet",
    ]
    for file in files:
        assert labelled(read_table(file)) == ROWS, file
    everything = read_table(files)
    assert labelled(everything) == ROWS * len(files)
    assert everything.label_names == ["neg", "pos"]
    assert not everything.multi_label


def test_lines_are_those_of_the_file(tmp_path: Path) -> None:
    tsv = write(tmp_path / "a.tsv", "text\tlabel\n\nx\t1\ny\t2\n")
    assert [example.origin for example in read_table(tsv)] == [(str(tsv), 3), (str(tsv), 4)]
    quoted = write(tmp_path / "a.csv", 'text,label\n"two\nlines",1\nafter,2\n')
    corpus = read_table(quoted)
    assert [example.origin[1] for example in corpus] == [2, 4]
    assert corpus[0].source == "two\nlines"


def test_quotes_are_characters_in_tsv(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", '"Great," he said\t1\n"\t0\nsaid "no\t1\n')
    assert labelled(read_table(file)) == [('"Great," he said', "1"), ('"', "0"), ('said "no', "1")]


def test_quotes_quote_in_csv(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", 'text,label\n"a ""b"", c",1\nd,0\n')
    assert labelled(read_table(file)) == [('a "b", c', "1"), ("d", "0")]


def test_characters_like_line_ends_stay_in_a_cell(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "a\u0085b\t1\r\nc\u2028d\t0\r\n")
    assert labelled(read_table(file)) == [("a\u0085b", "1"), ("c\u2028d", "0")]


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ("fine text here\t1\nworse text\t0\nmore text\t1\n", 0),
        ("1\tfine text here\n0\tworse text\n1\tmore text\n", 1),
    ],
)
def test_the_labels_are_told_by_their_values(tmp_path: Path, content: str, expected: int) -> None:
    file = write(tmp_path / "a.tsv", content)
    corpus = read_table(file)
    assert corpus[0] == read_table(file, Labelled(text=expected + 1, label=2 - expected))[0]
    assert corpus[0].source == "fine text here"
    assert f"column {expected + 1} taken for the text" in str(corpus.report)


def test_a_label_and_then_the_text(tmp_path: Path) -> None:
    file = write(tmp_path / "a.txt", "1 a stirring , funny film\n0 dull .\n1 good\n")
    corpus = read_table(file, options=WORDS)
    assert labelled(corpus) == [("a stirring , funny film", "1"), ("dull .", "0"), ("good", "1")]


def test_columns_by_name_number_and_usual_name(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "id\tsentence\tmood\n7\tx\tup\n8\ty\tdown\n")
    expected = [("x", "up"), ("y", "down")]
    assert labelled(read_table(file, Labelled(label="mood"))) == expected
    assert labelled(read_table(file, Labelled("sentence", "mood"))) == expected
    numbered = write(tmp_path / "b.tsv", "7\tx\tup\n8\ty\tdown\n")
    assert labelled(read_table(numbered, Labelled(text=2, label=3))) == expected
    assert labelled(read_table(numbered, Labelled(text="2", label="3"))) == expected


def test_numbers_and_a_header_of_usual_names(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "text\tlabel\nx\t1\ny\t0\n")
    assert labelled(read_table(file, Labelled(text=1, label=2))) == [("x", "1"), ("y", "0")]


def test_a_number_is_a_number_even_where_a_cell_reads_the_same(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "2\tx\n1\ty\n")
    assert labelled(read_table(file, Labelled(text="2", label="1"))) == [("x", "2"), ("y", "1")]


def test_one_usual_name_is_a_header_unless_columns_are_numbered(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "text\tpolarity\nx\t1\ny\t0\n")
    assert labelled(read_table(file)) == [("x", "1"), ("y", "0")]
    assert len(read_table(file, Labelled(text=1, label=2))) == 3


def test_the_same_column_twice(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "x\t1\ny\t0\n")
    with pytest.raises(DataError, match=r"which column is the text, which the label\?"):
        read_table(file, Labelled(text=1, label=1))


def test_a_missing_column_names_those_present(tmp_path: Path) -> None:
    tsv = write(tmp_path / "a.tsv", "text\tmood\nx\t1\n")
    with pytest.raises(DataError, match=r"no column 'mod'; there are 'text', 'mood'; did you mean"):
        read_table(tsv, Labelled(label="mod"))
    with pytest.raises(DataError, match=r"no column 'zzz'; .*give the number of the column"):
        read_table(tsv, Labelled(label="zzz"))
    with pytest.raises(DataError, match="no column 5: there are 2"):
        read_table(tsv, Labelled(text=1, label=5))
    lines = write(tmp_path / "a.jsonl", as_json(text="x", mood=1))
    with pytest.raises(DataError, match=r"no column 'mod'; there are 'text', 'mood'"):
        read_table(lines, Labelled(label="mod"))
    with pytest.raises(DataError, match=r"which column is the text, which the label"):
        read_table(lines)


def test_a_record_that_lacks_a_field(tmp_path: Path) -> None:
    file = write(tmp_path / "a.jsonl", as_json(text="x", label=1) + as_json(text="y", lable=1))
    with pytest.raises(DataError, match=r"a\.jsonl:2: no field 'label'; there are 'text', 'lable'"):
        read_table(file)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ("a\tb\t1", r":3: 3 columns, expected 2.*separator inside"),
        ("a", ":3: 1 column, .*cut short"),
    ],
)
def test_wrong_numbers_of_columns(tmp_path: Path, row: str, message: str) -> None:
    file = write(tmp_path / "a.tsv", f"x\t1\ny\t0\n{row}\n")
    with pytest.raises(DataError, match=message):
        read_table(file)


def test_more_columns_without_names(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "1\tx\ty\n2\tx\ty\n")
    with pytest.raises(DataError, match=r"which column is the text.*by number counted from 1"):
        read_table(file)


@pytest.mark.parametrize(
    ("name", "row", "separator"), [("a.txt", "1 good", " "), ("a.csv", "1;good", ";")]
)
def test_one_column_only(tmp_path: Path, name: str, row: str, separator: str) -> None:
    file = write(tmp_path / name, row + "\n")
    with pytest.raises(DataError, match=f"one column.*Perhaps separator='{separator}'"):
        read_table(file)


def test_an_open_quote_in_csv(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", 'text,label\nx,1\n"never closed,1\ny,0\n')
    with pytest.raises(DataError, match=r"a\.csv:3: not CSV.*format='tsv'"):
        read_table(file)


def test_documents_beyond_the_usual_limit_of_csv(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", f"text,label\n{'a' * 200_000},1\n")
    assert len(read_table(file)[0].source) == 200_000


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ('["x"]', "a JSON list, expected an object"),
        ('{"text": {"a": 1}, "label": 1}', "neither a text nor a list of texts"),
        ('{"text": ["a", 1], "label": 1}', "neither a text nor a list of texts"),
        ('{"text": "a", "label": {"b": "x"}}', "not the name of a label"),
        ('{"text": "\\ud83d", "label": 1}', "half a surrogate pair"),
        ('{"text": ["a"], "label": 1}', "a list of sentences, where lines before hold one text"),
    ],
)
def test_records_that_cannot_be_used(tmp_path: Path, line: str, message: str) -> None:
    file = write(tmp_path / "a.jsonl", as_json(text="x", label=1) + line + "\n")
    with pytest.raises(DataError, match=rf"a\.jsonl:2: .*{message}"):
        read_table(file)


@pytest.mark.parametrize("name", ["a.jsonl", "a.json"])
@pytest.mark.parametrize("columns", [Labelled(), Pairs("text", "label"), Texts()])
def test_a_text_after_lists_of_sentences_is_no_list_of_characters(
    tmp_path: Path, name: str, columns: Labelled | Pairs | Texts
) -> None:
    records = [{"text": ["One.", "Two."], "label": "x"}, {"text": "Three.", "label": "y"}]
    for order, message in ((1, "one text, where lines before hold a list"), (-1, "a list of sent")):
        lines = "".join(json.dumps(record) + "\n" for record in records[::order])
        file = write(tmp_path / name, lines if name == "a.jsonl" else json.dumps(records[::order]))
        with pytest.raises(DataError, match=rf"{name}:2: the source is {message}"):
            read_table(file, columns)


def test_a_text_after_lists_in_another_file(tmp_path: Path) -> None:
    table = pa.table({"text": [["One.", "Two."]], "label": ["x"]})
    pq.write_table(table, tmp_path / "a.parquet")
    file = write(tmp_path / "b.csv", "text,label\n,x\nThree.,x\n")
    with pytest.raises(DataError, match=r"b\.csv:3: the source is one text, where lines before"):
        read_table([tmp_path / "a.parquet", file])


@pytest.mark.parametrize("old", [False, True])
def test_names_of_classes_in_parquet(tmp_path: Path, old: bool) -> None:
    """As the `datasets` library keeps them beside the columns, also of lists, in old files and new ones."""
    names = {"names": ["neg", "pos"], "_type": "ClassLabel"}
    several = [names] if old else {"feature": names, "_type": "Sequence"}
    features = {"text": {"dtype": "string", "_type": "Value"}, "label": names, "labels": several}
    table = pa.table({"text": ["a", "b", "c"], "label": [1, 0, -1], "labels": [[0, 1], [], [1]]})
    metadata = {"huggingface": json.dumps({"info": {"features": features}})}
    pq.write_table(table.replace_schema_metadata(metadata), tmp_path / "a.parquet")
    corpus = read_table(tmp_path / "a.parquet")
    assert [e.labels for e in corpus] == [("pos",), ("neg",)]
    assert corpus.report.skipped == {"empty label": 1}  # -1 hides a label
    found = read_table(tmp_path / "a.parquet", Labelled(label="labels"))
    assert [e.labels for e in found] == [("neg", "pos"), (), ("pos",)]


def test_a_record_may_leave_out_what_is_empty(tmp_path: Path) -> None:
    lines = (
        as_json(text="x")
        + as_json(text="y", label=1)
        + as_json(label=0)
        + as_json(text="z", label=0)
    )
    corpus = read_table(write(tmp_path / "a.jsonl", lines))
    assert [e.source for e in corpus] == ["y", "z"]
    assert corpus.report.skipped == {"empty label": 1, "empty source": 1}
    assert corpus.report.first["empty label"] == (str(tmp_path / "a.jsonl"), 1)


def test_fields_inside_fields(tmp_path: Path) -> None:
    lines = as_json(translation={"de": "Hund", "en": "dog"}) + as_json(translation=None)
    path = write(tmp_path / "a.jsonl", lines)
    columns = Pairs("translation.de", "translation.en")
    corpus = read_table(path, columns)
    assert [(e.source, e.target) for e in corpus] == [("Hund", "dog")]
    assert corpus.report.skipped == {"empty source and target": 1}
    with pytest.raises(DataError, match=r"no column 'translation.fr'; there are 'translation.de'"):
        read_table(path, Pairs("translation.fr", "translation.en"))
    table = pa.table({"translation": [{"de": "Hund", "en": "dog"}]})
    pq.write_table(table, tmp_path / "a.parquet")
    assert read_table(tmp_path / "a.parquet", columns)[0].target == "dog"


def test_labels_of_all_kinds_are_names(tmp_path: Path) -> None:
    labels = [True, 1, 2.5, " up ", None, ""]
    file = write(tmp_path / "a.jsonl", "".join(as_json(text="x", label=x) for x in labels))
    corpus = read_table(file)
    assert labelled(corpus) == [("x", "true"), ("x", "1"), ("x", "2.5"), ("x", "up")]
    assert corpus.report.skipped == {"empty label": 2}


def test_numeric_labels_in_the_order_of_numbers(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "text\tlabel\na\t10\nb\t9\nc\t2\n")
    assert read_table(file).label_names == ["2", "9", "10"]


def test_several_labels(tmp_path: Path) -> None:
    cells = write(tmp_path / "a.tsv", "text\tlabel\na\tx| y\nb\t\nc\ty\n")
    corpus = read_table(cells, Labelled(separator="|"))
    assert [example.labels for example in corpus] == [("x", "y"), (), ("y",)]
    assert corpus.multi_label
    lists = write(tmp_path / "a.jsonl", as_json(text="a", label=["x", "y"]))
    assert read_table(lists)[0].labels == ("x", "y")
    inside = write(tmp_path / "b.tsv", 'text\tlabel\na\t["x", "y"]\nb\t[x]\n')
    assert [example.labels for example in read_table(inside)] == [("x", "y"), ("[x]",)]


def test_documents_keep_their_sentences(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.jsonl",
        as_json(source=["One.", " ", "Two."], target=["Short.", "Brief."])
        + as_json(source=["Three."], target="Long."),
    )
    first, second = read_table(file, Pairs())
    assert first.source == first.sentences == ("One.", "Two.")
    assert first.text == "One. Two."
    assert (first.target, first.references) == ("Short.", ("Short.", "Brief."))
    assert second.references == ("Long.",)


def test_documents_are_cut_after_whole_sentences(tmp_path: Path) -> None:
    file = write(
        tmp_path / "a.jsonl",
        as_json(source=["abc", "def", "g"], target="t") + as_json(source=["abcdefgh"], target="t"),
    )
    corpus = read_table(file, Pairs(), options=ReadOptions(max_characters=5, over_long="cut"))
    assert [example.source for example in corpus] == [("abc",), ("abcde",)]


def test_pairs_in_two_columns(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "Hund\tdog\nKatze\tcat\n")
    assert [(e.source, e.target) for e in read_table(file, Pairs())] == [
        ("Hund", "dog"),
        ("Katze", "cat"),
    ]


def test_empty_cells_are_counted(tmp_path: Path) -> None:
    file = write(tmp_path / "a.tsv", "text\tlabel\nx\t1\n \t1\ny\t\n\nz\t0\n")
    report = read_table(file).report
    assert (report.lines, report.examples) == (5, 2)
    assert report.skipped == {"empty source": 2, "empty label": 1}


@pytest.mark.parametrize("name", ["a.tsv", "a.csv", "a.jsonl"])
@pytest.mark.parametrize("content", ["", "\n\n"])
def test_nothing_to_read(tmp_path: Path, name: str, content: str) -> None:
    with pytest.raises(DataError, match=r"an empty file|no example in 2 lines"):
        read_table(write(tmp_path / name, content))


def test_a_header_and_nothing_else(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="a header and nothing below it"):
        read_table(write(tmp_path / "a.tsv", "text\tlabel\n"))


def test_no_file_at_all() -> None:
    with pytest.raises(InputError, match="no file was named"):
        read_table([])


def test_an_unknown_ending(tmp_path: Path) -> None:
    file = write(tmp_path / "a.dat", "1 x y\n0 z\n")
    with pytest.raises(DataError, match=r"unknown kind of file '.dat'.*format='tsv'"):
        read_table(file)
    assert len(read_table(file, options=WORDS)) == 2
    tabs = write(tmp_path / "b.dat", "text\tlabel\nx\t1\n")  # the content shows what it is
    assert len(read_table(tabs)) == len(read_table(tabs, options=ReadOptions(format="tsv"))) == 1


def test_semicolons_between_columns(tmp_path: Path) -> None:
    file = write(tmp_path / "a.csv", "text;label\na, b;1\n")
    assert labelled(read_table(file, options=ReadOptions(separator=";"))) == [("a, b", "1")]


def test_impossible_readings() -> None:
    with pytest.raises(
        SettingsError, match="expected 'tsv', 'csv', 'jsonl', 'parquet' or 'fasttext'"
    ):
        ReadOptions(format="tvs")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="expected 'skip' or 'cut'"):
        ReadOptions(over_long="drop")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="max_characters=0: expected at least 1"):
        ReadOptions(max_characters=0)
    with pytest.raises(SettingsError, match="did you mean 'skip'"):
        Labelled(rare="skp")  # type: ignore[arg-type]
    with pytest.raises(SettingsError, match="separator='': expected at least 1 character"):
        ReadOptions(separator="")


@settings(max_examples=60)
@given(
    st.one_of(
        st.binary(max_size=80),
        st.text(alphabet='a\t,"\n\r1 {}[]:\\u', max_size=80).map(str.encode),
        st.lists(st.sampled_from(["text", "label", "a", '"', "\t", ",", "\n", "\0"])).map(
            lambda parts: "".join(parts).encode()
        ),
    )
)
@pytest.mark.parametrize("name", ["r.tsv", "r.csv", "r.jsonl", "r.parquet", "r.txt"])
def test_random_bytes_are_examples_or_an_error_of_ours(
    tmp_path_factory: pytest.TempPathFactory, name: str, content: bytes
) -> None:
    path = write(tmp_path_factory.getbasetemp() / name, content)
    for columns in (Labelled(), Pairs(), Labelled(text=1, label=2, separator="|")):
        try:
            corpus = read_table(path, columns, options=WORDS if name == "r.txt" else None)
        except DataError:
            continue
        assert corpus.report.lines == len(corpus) + sum(corpus.report.skipped.values())


def test_damaged_parquet(tmp_path: Path) -> None:
    pq.write_table(pa.table({"text": ["a"] * 1000, "label": ["x"] * 1000}), tmp_path / "a.parquet")
    content = bytearray((tmp_path / "a.parquet").read_bytes())
    content[20:60] = b"\xff" * 40
    with pytest.raises(DataError, match="not a Parquet file"):
        read_table(write(tmp_path / "b.parquet", bytes(content)))


@pytest.mark.parametrize(
    ("name", "reading", "count", "labels"),
    [
        ("sst2/train.txt", WORDS, 6920, 2),
        ("trec/train.txt", ReadOptions(separator=" ", encoding="latin-1"), 5452, 6),
        ("movie-reviews/reviews.jsonl", None, 2000, 2),
        ("sentiment-sentences/imdb_labelled.txt", None, 1000, 2),
    ],
)
def test_real_tables(
    shared_data: Path, name: str, reading: ReadOptions | None, count: int, labels: int
) -> None:
    corpus = read_table(shared_data / name, options=reading)
    assert (len(corpus), len(corpus.label_names)) == (count, labels)


def test_latin_1_read_as_utf_8(shared_data: Path) -> None:
    with pytest.raises(DataError, match=r"train\.txt:66: byte 0xf0 at offset 3173.*latin-1"):
        read_table(shared_data / "trec" / "train.txt", options=WORDS)


@pytest.mark.parametrize(
    ("name", "content", "line"),
    [
        ("a.tsv", "a\tb\rc\tb\nd\te\n", 1),
        ("a.tsv", "a\tb\nc\tb\rd\te\n", 2),
        ("a.csv", "text,label\r\na,b\nc,d\re,f\n", 3),
        ("a.jsonl", as_json(text="a", label="b") + '{"text": "c"}\r{"text": "d"}\n', 2),
    ],
)
def test_a_line_end_of_old_macs_is_named(
    tmp_path: Path, name: str, content: str, line: int
) -> None:
    path = write(tmp_path / name, content)
    with pytest.raises(DataError, match=rf"{name}:{line}: .*a carriage return inside .*line feeds"):
        read_table(path)


@pytest.mark.parametrize("columns", [Labelled(), Labelled("1", "2")])
def test_columns_of_records_are_asked_for_by_name_alone(tmp_path: Path, columns: Labelled) -> None:
    """They have no numbers, and no separator stands between them."""
    path = write(tmp_path / "a.jsonl", as_json(text="a"))
    with pytest.raises(DataError, match=r"'text'") as found:
        read_table(path, columns)
    assert not re.search("number|separat", str(found.value))
