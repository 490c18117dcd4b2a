"""What n-grams say of a text, in one pass over its characters, compiled.

The same n-grams and numbers as `Ngrams.occurrences` and `Wide` find with arrays, which is what they are
tested against; for a single sentence the arrays' fifty calls cost ten times the work.
"""
# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call, no-any-return"

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray

from regard.compiled.call import call
from regard.compiled.jit import compiled, inlined

if TYPE_CHECKING:
    from regard.models.classifiers.ngrams import Ints, Ngrams

__all__ = [
    "BASE",
    "LEAD",
    "LETTER",
    "ONE",
    "PLACE",
    "SIGN",
    "SKIP",
    "SPACE",
    "START",
    "Known",
    "score",
]

# Here and not beside the arrays: compiled code is kept on disk for as long as this file stays the same.
SPACE, LETTER, SIGN, START = 0, 1, 2, 3
# A distance is no n, and a beginning neither: n-grams and both kinds of pairs have to differ.
ONE, SKIP, LEAD = np.uint64(1), np.uint64(1000), np.uint64(1 << 32)
BASE = np.uint64(0x9E3779B97F4A7C15)
PLACE = np.uint64(1 << 21)  # above every code point
_A, _B, _C = np.uint64(30), np.uint64(27), np.uint64(31)
_D, _E = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)


class Known(NamedTuple):
    """What was learned of each n-gram, in the order of its key."""

    key: Ints
    idf: NDArray[np.float64]
    weight: NDArray[np.float32]  # (n-grams, labels)


def score(ngrams: Ngrams, known: Known, ids: Ints, lengths: Ints) -> NDArray[np.float64]:
    """Scores `(batch, labels)` of texts of ids `(batch, length)`, without the bias."""
    result = np.zeros((len(ids), known.weight.shape[1]))
    characters = 2 + int(ngrams.size[ids].sum(1).max(initial=0))
    most = characters * (ngrams.words + ngrams.skips + ngrams.leads + ngrams.characters)
    slots = 1 << (2 * most).bit_length()
    table = np.full(slots, -1), np.empty(slots, np.int64), np.empty(most, np.int64)
    text = np.empty((3, characters), np.int64), np.empty((3, characters), np.uint64)
    sizes = np.array([ngrams.words, ngrams.skips, ngrams.leads, ngrams.characters])
    call(
        _score, ids, lengths, ngrams.code, ngrams.kind, ngrams.offset, sizes,
        *known, *text, *table, result,
    )  # fmt: skip
    return result


@inlined
def _mix(x):
    """As `ngrams._mix`."""
    x = (x ^ (x >> _A)) * _D
    x = (x ^ (x >> _B)) * _E
    return x ^ (x >> _C)


@compiled
def _score(
    ids, lengths, code, kinds, offset, sizes, key, idf, weight,
    places, hashes, slot, count, used, result,
):  # fmt: skip
    """Every text by itself: spell it, count the n-grams that are known, weigh them."""
    for row in range(ids.shape[0]):
        characters = _spell(ids[row], lengths[row], code, kinds, offset, places[0], places[1])
        words = _find_words(characters, places, hashes)
        found = np.int64(0)
        found = _count_words(words, places, hashes, sizes, key, slot, count, used, found)
        found = _count_characters(characters, places, hashes, sizes, key, slot, count, used, found)
        _weigh(found, key, idf, weight, slot, count, used, result[row])


@inlined
def _spell(ids, length, code, kinds, offset, text, kind):
    """Characters and their kinds, a space at either end; how many there are."""
    text[0], kind[0] = 32, START
    at = 1
    for i in range(length):
        for j in range(offset[ids[i]], offset[ids[i] + 1]):
            text[at], kind[at] = code[j], kinds[j]
            at += 1
    text[at], kind[at] = 32, SPACE
    return at + 1


@inlined
def _find_words(characters, places, hashes):
    """Hash of each word, and where it starts; the start of the text is one. How many there are."""
    text, kind, start = places[0], places[1], places[2]
    word = hashes[0]
    words = 0
    for i in range(characters):
        if kind[i] == SPACE:
            continue
        if kind[i] != LETTER or kind[i - 1] != LETTER:
            start[words], word[words] = i, np.uint64(0)
            words += 1
        place = np.uint64(i - start[words - 1]) * PLACE
        word[words - 1] += _mix(np.uint64(text[i]) + place)
    return words


@inlined
def _count_words(words, places, hashes, sizes, key, slot, count, used, found):
    """N-grams of words, pairs of words apart, beginnings with later words."""
    word, run = hashes[0], hashes[1]
    for i in range(words):
        run[i] = word[i]
        if places[1, places[2, i]] != START:
            found = _add(_mix(word[i] + ONE) & ~ONE, key, slot, count, used, found)
    for n in range(2, sizes[0] + 1):
        for i in range(words - n + 1):
            run[i] = run[i] * BASE + word[i + n - 1]
            found = _add(_mix(run[i] + np.uint64(n)) & ~ONE, key, slot, count, used, found)
    for apart in range(2, sizes[1] + 2):
        for i in range(words - apart):
            pair = word[i] * BASE + word[i + apart] + SKIP + np.uint64(apart)
            found = _add(_mix(pair) & ~ONE, key, slot, count, used, found)
    lead = np.uint64(0)
    for n in range(1, min(sizes[2] + 1, words)):
        lead = lead * BASE + word[n]
        for i in range(n + 1, words):
            pair = lead * BASE + word[i] + LEAD + np.uint64(n)
            found = _add(_mix(pair) & ~ONE, key, slot, count, used, found)
    return found


@inlined
def _count_characters(characters, places, hashes, sizes, key, slot, count, used, found):
    """N-grams of characters, from a space or within what stands up to the next."""
    text, kind, single = places[0], places[1], hashes[2]
    for i in range(characters):
        single[i] = _mix(np.uint64(text[i]))
    for i in range(characters):
        run = single[i]
        for n in range(2, min(sizes[3], characters - i) + 1):
            last = i + n - 1
            run = run * BASE + single[last]
            ends = kind[last] == SPACE
            if n == 2 and ends and (kind[i] == SPACE or kind[i] == START):
                break
            found = _add(_mix(run + np.uint64(n)) | ONE, key, slot, count, used, found)
            if ends:
                break
    return found


@inlined
def _add(salted, key, slot, count, used, found):
    """Count an n-gram, if it is known: `slot` and `count` are a table that is searched from its hash on."""
    wanted, low, high = np.int64(salted), np.int64(0), np.int64(key.size)
    while low < high:
        middle = (low + high) >> 1
        if key[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    if low == key.size or key[low] != wanted:
        return found
    mask = np.int64(slot.size - 1)
    at = (wanted >> 1) & mask
    while slot[at] >= 0 and slot[at] != low:
        at = (at + 1) & mask
    if slot[at] < 0:
        slot[at], count[at], used[found] = low, 0, at
        found += 1
    count[at] += 1
    return found


@inlined
def _weigh(found, key, idf, weight, slot, count, used, result):
    """Add to the scores, words and characters each of unit length; leave the table empty."""
    square_words, square_characters = 0.0, 0.0
    for i in range(found):
        at = used[i]
        value = (1.0 + math.log(count[at])) * idf[slot[at]]
        if key[slot[at]] & 1:
            square_characters += value * value
        else:
            square_words += value * value
    for i in range(found):
        at = used[i]
        which = slot[at]
        value = (1.0 + math.log(count[at])) * idf[which]
        value /= math.sqrt(square_characters if key[which] & 1 else square_words)
        for label in range(result.size):
            result[label] += value * weight[which, label]
        slot[at] = -1
