"""Words in a text, and putting them together again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.text import Tokenizer, space_separated_spans, word_ids, word_spans
from regard.text.tokenizer import Kind
from regard.text.words import detokenize


def words(text: str) -> list[str]:
    return [text[start:end] for start, end in word_spans(text)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't pay $3.50!", ["Don't", "pay", "$", "3.50", "!"]),
        ("T-Shirt (12:30)", ["T-Shirt", "(", "12:30", ")"]),
        ("End.Start 1,000.", ["End", ".", "Start", "1,000", "."]),
        ("l’été — fin…", ["l’été", "—", "fin", "…"]),
        ("हिन्दी में", ["हिन्दी", "में"]),  # vowel signs are marks, not letters
        ("e\u0301te\u0301", ["e\u0301te\u0301"]),
        ("", []),
    ],
)
def test_words_by_hand(text: str, expected: list[str]) -> None:
    assert words(text) == expected


@given(st.text())
def test_words_are_everything_but_spaces(text: str) -> None:
    assert "".join("".join(words(text)).split()) == "".join(text.split())


def test_words_between_spaces_are_those_of_split() -> None:
    text = "  don't  stop\u3000( now )\n"
    words = [text[start:end] for start, end in space_separated_spans(text)]
    assert words == text.split() == ["don't", "stop", "(", "now", ")"]


def test_pieces_belong_to_the_word_they_begin_in() -> None:
    # "un|der|stand" "," and an empty piece before the second word.
    offsets = [(0, 2), (2, 5), (5, 10), (10, 11), (12, 12), (12, 15)]
    assert word_ids(offsets, [(0, 10), (10, 11), (12, 15)]) == [0, 0, 0, 1, 2, 2]
    assert word_ids([(0, 2), (4, 4)], [(0, 2)]) == [0, 0]  # behind the last word


def test_a_text_is_the_concatenation_of_its_entries() -> None:
    texts = ["der alte mann", "die alte katze"]
    kinds: list[tuple[Kind, str]] = [("word", " "), ("bpe", " "), ("char", "")]
    for kind, first in kinds:
        tokenizer = Tokenizer.train(texts, kind=kind)
        joined = "".join(tokenizer.spelling[i] for i in tokenizer.encode(texts[0]).ids)
        assert joined == first + texts[0]
        assert tokenizer.spelling[:4] == ["", "\ufffd" if kind != "word" else " \ufffd", "", ""]


def test_the_space_of_a_character_tokenizer_goes_with_the_next_word() -> None:
    encoding = Tokenizer.train(["ab cd"], kind="char").encode("ab cd")
    assert encoding.words() == ([0, 0, 1, 1, 1], [(0, 2), (3, 5)])


@given(st.text(alphabet="ab ,.'\u0301é-"))
def test_every_word_has_a_piece(text: str) -> None:
    encoding = Tokenizer.train(["ab ,.'é-"], kind="char").encode(text)
    ids, spans = encoding.words()
    assert ids == sorted(ids)
    assert set(ids) == set(range(len(spans)))


@pytest.mark.parametrize(
    "text",
    [
        'He said: "Stop (now)!"',
        "„Frei“ steht da, in «alt» und “new”.",
        "It costs 3.50, doesn't it? No; 20%.",
        "Eins, zwei – drei …",
    ],
)
def test_detokenized_words_read_as_written(text: str) -> None:
    assert detokenize(words(text)) == text.replace(" …", "…")
