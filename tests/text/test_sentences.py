"""Sentences of a text that nobody has cut."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.text import split_sentences


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two!\n Three?  Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "no." She left.', ['He said "no."', "She left."]),
        ('(He said "no.") She left.', ['(He said "no.")', "She left."]),
        ("“Go!” ‘Where?’ Home…", ["“Go!”", "‘Where?’", "Home…"]),
        ("Only 3.5 of it", ["Only 3.5 of it"]),
        (" ", []),
        ("", []),
    ],
)
def test_sentences_by_hand(text: str, expected: list[str]) -> None:
    assert split_sentences(text) == expected


@given(st.text(alphabet="a.!? \"')\n"))
def test_sentences_are_everything_but_spaces(text: str) -> None:
    assert "".join("".join(split_sentences(text)).split()) == "".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in split_sentences(text))
