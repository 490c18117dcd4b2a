"""Every n-gram of a batch of texts in a handful of array operations, straight from token ids.

A tokenizer's ids spell the text, so n-grams of characters and words need no second tokenizer: the characters of
all texts of the batch are laid end to end, spaces around each text, and an n-gram is a place in that row.
An n-gram is known by a 64-bit hash, its `key`; among a million n-grams the chance that any two
share a key is one in thirty million.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from regard.models.classifiers.ngram_scoring import (
    BASE,
    LEAD,
    LETTER,
    ONE,
    PLACE,
    SIGN,
    SKIP,
    SPACE,
    START,
)

__all__ = ["Ints", "Ngrams", "Occurrences", "Spelling"]

Ints = NDArray[np.int64]
Hashes = NDArray[np.uint64]


class Occurrences(NamedTuple):
    """N-grams as they stand in a batch, one entry each time one occurs.

    Attributes:
        key: the hash of the n-gram; odd for characters, even for words.
        row: the text it stands in.
        start: the character of `Spelling.code` it begins with.
        end: one past its last character.
    """

    key: Ints
    row: Ints
    start: Ints
    end: Ints


class Spelling(NamedTuple):
    """The characters of a batch of texts, laid end to end.

    Attributes:
        code: lower-case code points; every text stands between spaces.
        kind: space, letter, sign, or the space a text starts with.
        row: the text of each character.
        place: which token of the text it comes from, counted from 1; the spaces around a text
            come from 0 and from its length + 1.
    """

    code: Ints
    kind: Ints
    row: Ints
    place: Ints


class Ngrams:
    """N-grams of words and of characters within words.

    Words are runs of letters and digits or single signs, and the start of the text is one where others
    follow it (how a question begins says what it asks for). Pairs of words that are not neighbours can
    count, too, each distance for itself (orthogonal sparse bigrams, Siefkes et al. 2004), and so can a text's
    beginning with each later word, at any distance: in questions and commands, what is asked for. Characters
    are taken with the space before and after what stands between two spaces, as `char_wb` of scikit-learn does.

    Args:
        code: the characters that each id adds to a text, one id after the other; the texts themselves
            are their concatenation.
        end: for each id, where its characters end in `code`.
        words: the longest n-gram of words.
        skips: how many words at most a pair leaves out.
        leads: how many words at most of a text's beginning are paired with every later word.
        characters: the longest n-gram of characters; the shortest has two.

    Attributes:
        code: as given, and a space, which is one id more.
        kind: of each of these characters.
        offset: where the characters of each id begin in `code`, and where the last ones end.
        size: how many characters each id has.
    """

    def __init__(
        self,
        code: Ints,
        end: Ints,
        *,
        words: int = 2,
        skips: int = 0,
        leads: int = 0,
        characters: int = 5,
    ) -> None:
        self.words, self.skips, self.leads, self.characters = words, skips, leads, characters
        self.code = np.append(code.astype(np.int64), ord(" "))
        self.kind = np.array([_kind(chr(character)) for character in self.code], np.int64)
        self.offset = np.concatenate([[0], end.astype(np.int64), [len(self.code)]])
        self.size = np.diff(self.offset)

    @staticmethod
    def alphabet(surfaces: Sequence[str]) -> tuple[Ints, Ints]:
        """Return `code` and `end` of what each id adds to a text, in lower case."""
        lower = [surface.lower() for surface in surfaces]
        code = np.array([ord(character) for surface in lower for character in surface], np.int64)
        return code, np.cumsum([len(surface) for surface in lower], dtype=np.int64)

    def spell(self, ids: Ints, lengths: Ints) -> Spelling:
        """Lay out the characters of `ids` `(batch, length)`."""
        batch, length = ids.shape
        place = np.arange(length + 2)
        space = len(self.offset) - 2
        framed = np.full((batch, length + 2), space)
        framed[:, 1:-1] = ids
        framed[place > lengths[:, None]] = space
        row, column = np.nonzero(place <= lengths[:, None] + 1)
        token = framed[row, column]
        first = self.offset[token]
        count = self.size[token]
        owner = np.repeat(np.arange(len(token)), count)
        at = np.arange(len(owner)) + np.repeat(first - np.cumsum(count) + count, count)
        kind, place = self.kind[at], column[owner]
        kind[place == 0] = START
        return Spelling(self.code[at], kind, row[owner], place)

    def occurrences(self, spelling: Spelling) -> Occurrences:
        """Find every n-gram of a spelling."""
        found = [*self._of_words(spelling), self._of_characters(spelling)]
        key, start, end = map(np.concatenate, zip(*found, strict=True))
        salted = _mix(key)
        words = sum(len(part.key) for part in found[:-1])
        salted[:words] &= ~np.uint64(1)
        salted[words:] |= np.uint64(1)
        return Occurrences(salted.view(np.int64), spelling.row[start], start, end)

    def _of_words(self, spelling: Spelling) -> list[_Places]:
        letter = spelling.kind == LETTER
        begins = spelling.kind >= SIGN
        begins[1:] |= letter[1:] & ~letter[:-1]
        start = np.flatnonzero(begins)
        inside = np.flatnonzero(spelling.kind)
        word = (np.cumsum(begins) - 1)[inside]
        size = np.bincount(word, minlength=len(start))
        offset = (inside - start[word]).astype(np.uint64)
        letters = _mix(spelling.code[inside].astype(np.uint64) + offset * PLACE)
        single = np.add.reduceat(letters, np.cumsum(size) - size)
        row, end = spelling.row[start], start + size
        alone = spelling.kind[start] != START  # every text has its start
        found, key = [_Places(single[alone] + ONE, start[alone], end[alone])], single
        for n in range(2, self.words + 1):
            key = key[:-1] * BASE + single[n - 1 :]
            same = row[: len(key)] == row[n - 1 :]
            salted = key[same] + np.uint64(n)
            found.append(_Places(salted, start[: len(key)][same], end[n - 1 :][same]))
        for apart in range(2, self.skips + 2):
            same = row[:-apart] == row[apart:]
            salted = (single[:-apart] * BASE + single[apart:])[same] + SKIP + np.uint64(apart)
            found.append(_Places(salted, start[:-apart][same], end[apart:][same]))
        # The start of the text is word 0 and leads nothing: the first word, the first two, and so on.
        zero = np.flatnonzero(~alone)
        number, lead = np.arange(len(row)) - zero[row], np.zeros(len(zero), np.uint64)
        for n in range(1, self.leads + 1):
            lead = lead * BASE + single[np.minimum(zero + n, len(row) - 1)]
            later = np.flatnonzero(number > n)
            text = row[later]
            salted = lead[text] * BASE + single[later] + LEAD + np.uint64(n)
            found.append(_Places(salted, start[zero[text] + 1], end[later]))
        return found

    def _of_characters(self, spelling: Spelling) -> _Places:
        count = len(spelling.code)
        single = np.zeros(count + self.characters, np.uint64)
        single[:count] = _mix(spelling.code.astype(np.uint64))
        # Row n - 1 has the n-grams of all places, whatever they cross.
        key = np.empty((self.characters, count), np.uint64)
        key[0] = single[:count]
        for n in range(1, self.characters):
            np.multiply(key[n - 1], BASE, out=key[n])
            key[n] += single[n : n + count]
        key += np.arange(1, self.characters + 1, dtype=np.uint64)[:, None]
        # No space but at either end, and something between them.
        space = (spelling.kind == SPACE) | (spelling.kind == START)
        stop = np.append(np.flatnonzero(space), count)[np.cumsum(space)]  # the next space
        longest = stop - np.arange(count) + 1
        longest[space & (longest == 2)] = 0
        sizes = np.arange(2, self.characters + 1)
        row, start = np.nonzero(sizes[:, None] <= np.minimum(longest, count - np.arange(count)))
        return _Places(key[row + 1, start], start, start + row + 2)


class _Places(NamedTuple):
    key: Hashes  # before it is scattered
    start: Ints
    end: Ints


def _mix(x: Hashes) -> Hashes:
    """Scatter 64 bits over 64 bits (the finaliser of splitmix64, Steele et al. 2014)."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def _kind(character: str) -> int:
    if character.isspace():
        return SPACE
    letter = character.isalnum() or character in "'_’" or unicodedata.category(character)[0] == "M"
    return LETTER if letter else SIGN
