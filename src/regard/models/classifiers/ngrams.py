"""All n-grams of a batch of texts in a handful of array operations, straight from token ids.

Token ids spell the text, so n-grams of characters and words need no second tokenizer. The characters
of all texts of the batch are concatenated, with a space around each text; an n-gram is a span of that
array, and its key is computed from the keys of its first part by one multiplication and one addition.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from regard.models.classifiers.ngram_hash import (
    BASE,
    CHARACTER_BIT,
    LEAD_SALT,
    LETTER,
    POSITION_STEP,
    SKIP_SALT,
    SPACE,
    START,
    SYMBOL,
    UNIGRAM_SALT,
    Alphabet,
    Hashes,
    Ints,
    NgramLimits,
    mix,
)

__all__ = ["Characters", "NgramExtractor", "Occurrences", "spelling"]


class Occurrences(NamedTuple):
    """N-grams of a batch, one entry for each time one occurs.

    Attributes:
        key: hash of the n-gram; odd for characters, even for words.
        row: text in which it occurs.
        start: index in `Characters.code` of its first character.
        end: index after its last character.
    """

    key: Ints
    row: Ints
    start: Ints
    end: Ints


class Characters(NamedTuple):
    """Characters of a batch of texts, one text after the other.

    Attributes:
        code: lower-case code points; each text has a space before and after it.
        kind: `SPACE`, `LETTER`, `SYMBOL`, or `START` for the space before a text.
        row: text that each character belongs to.
        token: position in its text of the token it comes from, counted from 1; the space before a
            text has 0, the space after it the text's length + 1.
    """

    code: Ints
    kind: Ints
    row: Ints
    token: Ints


def spelling(surfaces: Sequence[str]) -> tuple[Ints, Ints]:
    """Spell the vocabulary in lower case, one id after the other.

    Args:
        surfaces: what each id adds to a text.

    Returns:
        Code points of all ids, and for each id the index at which its own end.
    """
    lower = [surface.lower() for surface in surfaces]
    code = np.array([ord(character) for surface in lower for character in surface], np.int64)
    return code, np.cumsum([len(surface) for surface in lower], dtype=np.int64)


class NgramExtractor:
    """N-grams of words, and of characters within words.

    Words are runs of letters and digits or single symbols. The start of a text counts as a word where
    others follow it: the first words of a question say which kind of answer it wants. Three families
    have words as units:

    * n-grams of neighbours;
    * skip-bigrams, pairs that leave out up to `skip_bigrams` words between them, each distance apart
      (orthogonal sparse bigrams, Siefkes et al. 2004);
    * lead pairs, the first 1 to `lead_pairs` words of a text with each later word at any distance: in
      questions and commands the first words say which kind of answer is wanted.

    N-grams of characters do not cross spaces, but may begin or end with one, as `char_wb` of
    scikit-learn has it.

    Args:
        code: characters of the vocabulary, as `spelling` returns them.
        end: for each id, the index in `code` at which its characters end.
        limits: longest n-grams and widest pairs.
    """

    def __init__(self, code: Ints, end: Ints, limits: NgramLimits) -> None:
        self.limits = limits
        # A space of our own, so that every text can stand between spaces whatever its tokens spell.
        code = np.append(code.astype(np.int64), ord(" "))
        offset = np.concatenate([[0], end.astype(np.int64), [len(code)]])
        kind = np.array([_kind(chr(character)) for character in code], np.int64)
        self.alphabet: Alphabet = Alphabet(code, kind, offset, np.diff(offset))

    def characters(self, ids: Ints, lengths: Ints) -> Characters:
        """Spell out `ids` `(batch, length)`, padded to the right."""
        code, kinds, offset, size = self.alphabet
        batch, length = ids.shape
        column = np.arange(length + 2)
        space = len(offset) - 2  # the id of our own space
        framed = np.full((batch, length + 2), space)
        framed[:, 1:-1] = ids
        framed[column > lengths[:, None]] = space
        row, token = np.nonzero(column <= lengths[:, None] + 1)
        index = framed[row, token]
        # Ragged ranges: for each token, the indices of its characters in the alphabet.
        count = size[index]
        owner = np.repeat(np.arange(len(index)), count)
        first = offset[index] - np.cumsum(count) + count
        at = np.arange(len(owner)) + np.repeat(first, count)
        kind, token = kinds[at], token[owner]
        kind[token == 0] = START
        return Characters(code[at], kind, row[owner], token)

    def occurrences(self, characters: Characters) -> Occurrences:
        """Find every n-gram of a batch."""
        words = self._of_words(characters)
        spans = [*words, self._of_characters(characters)]
        key, start, end = map(np.concatenate, zip(*spans, strict=True))
        key = mix(key)
        of_words = sum(len(span.key) for span in words)
        key[:of_words] &= ~CHARACTER_BIT
        key[of_words:] |= CHARACTER_BIT
        return Occurrences(key.view(np.int64), characters.row[start], start, end)

    def _of_words(self, characters: Characters) -> list[_Spans]:
        """N-grams of neighbouring words, then skip-bigrams, then lead pairs."""
        # A word begins at every symbol, and at a letter that follows no letter.
        letter = characters.kind == LETTER
        begins = characters.kind >= SYMBOL
        begins[1:] |= letter[1:] & ~letter[:-1]
        start = np.flatnonzero(begins)

        # Hash of each word: the sum over its characters, each with its position in the word.
        inside = np.flatnonzero(characters.kind)  # all but spaces
        word = (np.cumsum(begins) - 1)[inside]
        size = np.bincount(word, minlength=len(start))
        position = (inside - start[word]).astype(np.uint64)
        mixed = mix(characters.code[inside].astype(np.uint64) + position * POSITION_STEP)
        single = np.add.reduceat(mixed, np.cumsum(size) - size)

        words = _Words(single, characters.row[start], start, start + size)
        is_start = characters.kind[start] == START
        # Every text has its start, so alone it says nothing.
        alone = single[~is_start] + UNIGRAM_SALT
        unigrams = _Spans(alone, words.start[~is_start], words.end[~is_start])
        return [
            unigrams,
            *self._neighbours(words),
            *self._skip_bigrams(words),
            *self._lead_pairs(words, np.flatnonzero(is_start)),
        ]

    def _neighbours(self, words: _Words) -> list[_Spans]:
        spans, key = [], words.key
        for n in range(2, self.limits.words + 1):
            key = key[:-1] * BASE + words.key[n - 1 :]
            same = words.row[: len(key)] == words.row[n - 1 :]  # both ends in one text
            salted = key[same] + np.uint64(n)
            spans.append(_Spans(salted, words.start[: len(key)][same], words.end[n - 1 :][same]))
        return spans

    def _skip_bigrams(self, words: _Words) -> list[_Spans]:
        spans = []
        for distance in range(2, self.limits.skip_bigrams + 2):
            same = words.row[:-distance] == words.row[distance:]
            pair = (words.key[:-distance] * BASE + words.key[distance:])[same]
            salted = pair + SKIP_SALT + np.uint64(distance)
            spans.append(_Spans(salted, words.start[:-distance][same], words.end[distance:][same]))
        return spans

    def _lead_pairs(self, words: _Words, starts: Ints) -> list[_Spans]:
        """Pairs of a text's first words with later ones; `starts` has the index of each text's start."""
        spans = []
        # The start of a text is word 0 and part of no pair: leads begin with word 1.
        number = np.arange(len(words.row)) - starts[words.row]
        lead = np.zeros(len(starts), np.uint64)
        for n in range(1, self.limits.lead_pairs + 1):
            # Of a text with fewer than n words this reads another text's: it has no later word to pair.
            lead = lead * BASE + words.key[np.minimum(starts + n, len(words.row) - 1)]
            later = np.flatnonzero(number > n)
            text = words.row[later]
            salted = lead[text] * BASE + words.key[later] + LEAD_SALT + np.uint64(n)
            spans.append(_Spans(salted, words.start[starts[text] + 1], words.end[later]))
        return spans

    def _of_characters(self, characters: Characters) -> _Spans:
        longest_allowed = self.limits.characters
        count = len(characters.code)
        single = np.zeros(count + longest_allowed, np.uint64)
        single[:count] = mix(characters.code.astype(np.uint64))
        # Row n - 1 has the n-gram that begins at each character, even those that cross spaces.
        key = np.empty((longest_allowed, count), np.uint64)
        key[0] = single[:count]
        for n in range(1, longest_allowed):
            np.multiply(key[n - 1], BASE, out=key[n])
            key[n] += single[n : n + count]
        key += np.arange(1, longest_allowed + 1, dtype=np.uint64)[:, None]
        # Of those, keep the ones whose only spaces are at the ends, with something between them.
        space = (characters.kind == SPACE) | (characters.kind == START)
        next_space = np.append(np.flatnonzero(space), count)[np.cumsum(space)]
        longest = next_space - np.arange(count) + 1
        longest[space & (longest == 2)] = 0  # two spaces in a row
        sizes = np.arange(2, longest_allowed + 1)
        row, start = np.nonzero(sizes[:, None] <= np.minimum(longest, count - np.arange(count)))
        return _Spans(key[row + 1, start], start, start + row + 2)


class _Words(NamedTuple):
    """Words of a batch, in order."""

    key: Hashes
    row: Ints
    start: Ints
    end: Ints


class _Spans(NamedTuple):
    """N-grams with their hash before the last `mix`, and the characters they span."""

    key: Hashes
    start: Ints
    end: Ints


def _kind(character: str) -> int:
    if character.isspace():
        return SPACE
    letter = character.isalnum() or character in "'_’" or unicodedata.category(character)[0] == "M"
    return LETTER if letter else SYMBOL
