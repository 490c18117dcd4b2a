"""N-grams of texts: by hand, and against scikit-learn's."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from sklearn.feature_extraction.text import CountVectorizer

from regard.models.classifiers.ngram_hash import NgramLimits
from regard.models.classifiers.ngrams import NgramExtractor, spelling


def batch(texts: list[str], alphabet: list[str]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Ids, one for each character and 0 for padding, and lengths."""
    lengths = np.array([len(text) for text in texts])
    ids = np.zeros((len(texts), lengths.max()), np.int64)
    for row, text in zip(ids, texts, strict=True):
        row[: len(text)] = [alphabet.index(character) + 1 for character in text]
    return ids, lengths


def found(texts: list[str], limits: NgramLimits) -> list[tuple[list[str], list[str]]]:
    """N-grams of words and n-grams of characters of each text, as strings; an id is a character."""
    alphabet = sorted({*"".join(texts)})
    extractor = NgramExtractor(*spelling(["", *alphabet]), limits)
    characters = extractor.characters(*batch(texts, alphabet))
    text = "".join(map(chr, characters.code))
    occurrences = extractor.occurrences(characters)
    rows: list[tuple[list[str], list[str]]] = [([], []) for _ in texts]
    names: dict[int, str] = {}
    for key, row, start, end in zip(*occurrences, strict=True):
        name = text[start:end]
        rows[row][key & 1].append(name)
        # One key, one n-gram; in words the spaces between them do not count.
        assert names.setdefault(int(key), name).split() == name.split()
    return rows


def test_ngrams_by_hand() -> None:
    (words, characters), (none, nothing) = found(
        ["No, no!", ""], NgramLimits(words=2, characters=3)
    )
    assert sorted(words) == sorted(["no", ",", "no", "!", " no", "no,", ", no", "no!"])
    two = [" n", "no", "o,", ", ", " n", "no", "o!", "! "]
    three = [" no", "no,", "o, ", " no", "no!", "o! "]
    assert sorted(characters) == sorted(two + three)
    assert none == nothing == []


def test_pairs_that_leave_words_out() -> None:
    """Each distance is a pair of its own, and none reaches into the next text."""
    (words, _), (others, _) = found(
        ["a b a", "a a"], NgramLimits(words=2, skip_bigrams=2, characters=2)
    )
    neighbours = ["a", "b", "a", " a", "a b", "b a"]
    assert sorted(words) == sorted([*neighbours, " a b", "a b a", " a b a"])
    assert sorted(others) == sorted(["a", "a", " a", "a a", " a a"])


def test_beginnings_beside_every_later_word() -> None:
    """One and two words at the beginning, with each word after them: no other text's, and not the start."""
    texts = ["a b a c", "", "c d", "d"]
    (words, _), (none, _), (others, _), (one, _) = found(
        texts, NgramLimits(words=1, lead_pairs=2, characters=2)
    )
    pairs = ["a b", "a b a", "a b a c", "a b a", "a b a c"]
    assert sorted(words) == sorted(["a", "b", "a", "c", *pairs])
    assert (none, sorted(others), one) == ([], ["c", "c d", "d"], ["d"])


def test_a_beginning_and_a_later_word_are_the_same_pair_at_any_distance() -> None:
    alphabet = [*"abcd "]
    limits = NgramLimits(words=1, lead_pairs=2, characters=1)
    extractor = NgramExtractor(*spelling(["", *alphabet]), limits)

    def pairs(text: str) -> set[int]:
        characters = extractor.characters(*batch([text], alphabet))
        return {*extractor.occurrences(characters).key.tolist()}

    assert pairs("a b c") < pairs("a b d d c")
    assert len(pairs("a b c") & pairs("a d c")) == 3  # a; c; a, c
    assert len(pairs("a b c") & pairs("c b a")) == 3  # the words alone


@settings(max_examples=50, deadline=None)
@given(st.lists(st.text("ab'!. é3", max_size=12), min_size=1, max_size=3))
def test_character_ngrams_are_those_of_scikit_learn(texts: list[str]) -> None:
    """It counts a word that is shorter than n - 2 once more, with its spaces; it is there already."""
    analyse = CountVectorizer(analyzer="char_wb", ngram_range=(2, 4)).build_analyzer()
    limits = NgramLimits(words=1, characters=4)
    for text, (_, characters) in zip(texts, found(texts, limits), strict=True):
        assert {*characters} == {*analyse(text)}
        assert len(characters) <= len(analyse(text))
