from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.errors import InputError
from regard.viewing import AttentionRecord, Tokens
from regard.viewing.data.tokens import word_units


def test_pieces_of_a_word_merge_and_signs_stand_alone(source):
    words = source.words()
    assert words.pieces == ("Ein", "Mädchen", "klettert", "ins", "Spielhaus", ".", "</s>")
    assert words.offsets[1] == (4, 11)
    assert words.special == (False,) * 6 + (True,)
    assert source.word_starts() == [0, 1, 3, 4, 5, 7, 8]


def test_offsets_and_marks_of_numpy_can_be_saved(tmp_path):
    spans, marks = np.array([[0, 0], [0, 3], [4, 7]]), np.array([True, False, False])
    given: Any = spans, marks
    tokens = Tokens(("<s>", "the", "cat"), "the cat", *given)
    assert tokens == Tokens.of(["<s>", "the", "cat"], special=["<s>"])
    record = AttentionRecord.of(np.eye(3), tokens)
    assert AttentionRecord.load(record.save(tmp_path / "x.npz")).tokens["text"] == tokens
    record.save(tmp_path / "x.html")


@pytest.mark.parametrize(
    ("text", "units"),
    [
        ("don't stop", [0, 0, 0, 0, 0, -1, 1, 1, 1, 1]),
        ("-x -", [0, 1, -1, 2]),
        ("e\u0301a b", [0, 0, 0, -1, 1]),
        ("नमस्ते", [0, 0, 0, 0, 0, 0]),
        ("北京!", [0, 1, 2]),
        ("a一鿿b", [0, 1, 2, 3]),  # the first and the last of their block
        ("北\u0301京", [0, 0, 1]),
        ("a...b", [0, 1, 1, 1, 2]),
        ("\u0301a", [0, 1]),
        (" \u0301", [-1, -1]),
        (" \u0301a", [-1, -1, 0]),
    ],
)
def test_words_as_a_reader_counts_them(text, units):
    assert word_units(text) == units


@given(st.text(max_size=40))
def test_word_numbers_never_fall_and_skip_only_white_space(text):
    units = [unit for unit in word_units(text) if unit >= 0]
    assert len(word_units(text)) == len(text)
    assert units == sorted(units)
    assert set(units) == set(range(len(set(units))))


def test_bytes_of_one_character_are_one_word():
    # A byte-level tokenizer cuts the emoji into four pieces with the same span.
    tokens = Tokens(("ok", "ð", "Ł", "ĺ", "Ģ"), "ok 😀", ((0, 2), (2, 4), (3, 4), (3, 4), (3, 4)))
    assert tokens.words().pieces == ("ok", "😀")


def test_a_piece_with_a_leading_space_belongs_to_the_word_after_it():
    tokens = Tokens(("the", " cat", "s"), "the cats", ((0, 3), (3, 7), (7, 8)))
    assert tokens.words().pieces == ("the", "cats")


def test_special_tokens_never_merge_even_with_a_span():
    tokens = Tokens(("CLS", "a"), "CLSa", ((0, 3), (3, 4)), (True, False))
    assert tokens.words().pieces == ("CLS", "a")


def test_of_finds_pieces_in_order():
    tokens = Tokens.of(["<s>", "a", "b", "a"], "a b a", special=["<s>"])
    assert tokens.offsets == ((0, 0), (0, 1), (2, 3), (4, 5))
    assert Tokens.of(["x", "##y"], "xy").offsets == ((0, 1), (1, 1))
    assert Tokens.of(["x", "##y"], "xy").special == (False, False)


@pytest.mark.parametrize("span", [(-1, 1), (1, 0), (0, 4)])
def test_a_span_outside_the_text_is_refused(span):
    with pytest.raises(InputError, match="outside its text"):
        Tokens(("a",), "abc", (span,))


def test_lengths_must_agree():
    with pytest.raises(InputError, match="do not go together"):
        Tokens(("a", "b"), "ab", ((0, 1),))
