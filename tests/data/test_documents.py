"""One JSON document: what it is, and how to make a table of it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from regard.data import Labelled, read_table
from regard.errors import DataError

SQUAD = {
    "version": "1",
    "data": [
        {
            "title": "t",
            "paragraphs": [
                {
                    "context": "c1",
                    "qas": [{"question": "q1", "id": "1", "answers": [{"text": "a"}]}],
                },
                {
                    "context": "c2",
                    "qas": [{"question": "q2", "id": "2"}, {"question": "q3", "id": "3"}],
                },
            ],
        }
    ],
}


@pytest.mark.parametrize("indent", [None, 1])
def test_a_nested_document_is_named_and_flattened(tmp_path: Path, indent: int | None) -> None:
    path = tmp_path / "qa.json"
    content = {**SQUAD, "data": [{"title": "t", "paragraphs": SQUAD["data"][0]["paragraphs"][1:]}]}  # type: ignore[index]
    path.write_text(json.dumps(content, indent=indent))
    with pytest.raises(DataError, match=r"one JSON document.*'version', 'data'.*jq -c") as caught:
        read_table(path)
    if shutil.which("jq"):
        command = str(caught.value).partition("flatten it: ")[2]
        subprocess.run(command, shell=True, check=True, cwd=tmp_path)
        corpus = read_table(tmp_path / "flat.jsonl", Labelled("context,question", "id"))
        assert [(e.source, e.labels) for e in corpus] == [
            ("c2 | q2", ("2",)),
            ("c2 | q3", ("3",)),
        ]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("[]", "without records"),
        (
            '{"train": [{"text": "a"}], "test": [{"text": "b"}]}',
            "one JSON document.*'train', 'test'",
        ),
        ("[1]", "a JSON int, expected an object"),
        ('[{"text": "a", "label": 1}, 2]', ":2: a JSON int"),
        ('[{"text": "a",}]', "not JSON"),
        ('{\n"a": 1\n}', "one JSON document"),
        ('{\n"a": ', r":2: not JSON"),
    ],
)
def test_documents_that_are_no_table(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.json").write_text(content)
    with pytest.raises(DataError, match=message):
        read_table(tmp_path / "a.json")
