"""Sentences of a text that nobody has cut."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.text import split_sentences
from regard.text.sentences import sentence_spans


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One. Two!\n Three?  Four", ["One.", "Two!", "Three?", "Four"]),
        ('He said "no." She left.', ['He said "no."', "She left."]),
        ('(He said "no.") She left.', ['(He said "no.")', "She left."]),
        ("“Go!” ‘Where?’ Home…", ["“Go!”", "‘Where?’", "Home…"]),
        ("Only 3.5 of it", ["Only 3.5 of it"]),
        ("Dr. Smith et al. found it. They left.", ["Dr. Smith et al. found it.", "They left."]),
        ("Er kam am 3. Mai. Dann ging er.", ["Er kam am 3. Mai.", "Dann ging er."]),
        ("Er kam am 24. Dezember.", ["Er kam am 24. Dezember."]),
        ("Er kam den 3. maj.", ["Er kam den 3. maj."]),
        ("It costs 3. Then he left.", ["It costs 3.", "Then he left."]),
        (
            "Es ist z. B. gut, bzw. besser. Die Nr. 5 auch.",
            ["Es ist z. B. gut, bzw. besser.", "Die Nr. 5 auch."],
        ),
        (
            "Mr. J. R. Smith of Acme Inc. left at 5 p.m. on Jan. 5.",
            ["Mr. J. R. Smith of Acme Inc. left at 5 p.m. on Jan. 5."],
        ),
        ("see Fig. 3, e.g. here. We show it.", ["see Fig. 3, e.g. here.", "We show it."]),
        (
            "M. Dupont vint le 3 janv. 1990. Il partit.",
            ["M. Dupont vint le 3 janv. 1990.", "Il partit."],
        ),
        ("i like it . you too . great", ["i like it .", "you too .", "great"]),
        ("今日は。元気ですか？はい！", ["今日は。", "元気ですか？", "はい！"]),
        ("see www.x.com or a.B", ["see www.x.com or a.B"]),
        ("One.\n\nTwo", ["One.", "Two"]),
        ("\ud800 is. Half a pair", ["\ud800 is.", "Half a pair"]),
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


@given(st.text(alphabet=st.characters() | st.sampled_from(". !?。\u0301🙂\n")))
def test_spans_are_characters_of_the_text_as_it_stands(text: str) -> None:
    spans = sentence_spans(text)
    assert [text[start:end] for start, end in spans] == split_sentences(text)
    assert all(0 <= start < end <= len(text) for start, end in spans)
    assert all(first[1] <= second[0] for first, second in pairwise(spans))
