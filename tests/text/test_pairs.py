"""Two texts that are read as one input."""

from __future__ import annotations

import copy
import pickle

import pytest

from regard.errors import InputError
from regard.text import Encoding, SentencePair, to_text


def test_a_pair_is_its_joined_text_and_both_parts() -> None:
    pair = SentencePair("It rains.", "It is wet.")
    assert pair == "It rains. | It is wet."
    assert (pair.first, pair.second) == ("It rains.", "It is wet.")
    assert pair[pair.second_start :] == "It is wet."
    for twin in (pickle.loads(pickle.dumps(pair)), copy.deepcopy(pair), copy.copy(pair)):
        assert isinstance(twin, SentencePair)
        assert (twin.first, twin.second) == (pair.first, pair.second)


@pytest.mark.parametrize(
    ("first", "second", "joined", "start"), [("a", "", "a", 1), ("", "b", "b", 0), (" ", "", "", 0)]
)
def test_an_empty_part_is_not_joined(first: str, second: str, joined: str, start: int) -> None:
    pair = SentencePair(first, second)
    assert (pair, pair.second_start) == (joined, start)
    assert (pair.first, pair.second) == (first, second)


def test_the_longer_part_is_cut_first() -> None:
    pair = SentencePair("abc", "defghijkl")
    assert SentencePair("abc", "defghij") == pair.cut(10)
    assert (pair.cut(4).first, pair.cut(4).second) == ("ab", "de")


def test_texts_and_tuples_of_two() -> None:
    assert to_text("a") == "a"
    assert to_text(("a", "b")) == SentencePair("a", "b")
    for other in (("a",), ("a", "b", "c"), ("a", 1), 3):
        with pytest.raises(InputError, match="expected 'a' or"):
            to_text(other)  # type: ignore[arg-type]


def test_special_tokens_of_a_pair_stay_when_it_is_cut() -> None:
    names = ["[CLS]", "a", "b", "c", "[SEP]", "x", "y", "[SEP]"]
    encoding = Encoding(
        SentencePair("a b c", "x y"),
        list(range(8)),
        names,
        [(0, 0), (0, 1), (2, 3), (4, 5), (0, 0), (8, 9), (10, 11), (0, 0)],
        frozenset({0, 4, 7}),
        (0, 0, 0, 0, 0, 1, 1, 1),
    )
    cut = encoding.first(6)
    assert cut.tokens == ["[CLS]", "a", "b", "[SEP]", "x", "[SEP]"]
    assert cut.segments == (0, 0, 0, 0, 1, 1)
    assert cut.special == {0, 3, 5}
    assert encoding.first(2).tokens == ["[CLS]", "[SEP]", "[SEP]"]  # no text is left
