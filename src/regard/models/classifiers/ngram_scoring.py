"""Scores of texts by their n-grams, in one compiled pass over their characters.

Finds the n-grams that `NgramExtractor` finds with arrays, and weights them as `NgramLinear` does; the
tests hold the two against each other. For a single sentence the fifty array operations cost ten times
as much as the work they do.
"""
# mypy: disable-error-code="misc, no-untyped-def, no-untyped-call, no-any-return"

from __future__ import annotations

import math
from functools import cache

import numpy as np
from numpy.typing import NDArray

from regard.compiled.call import call_serial
from regard.compiled.jit import compiled, inlined
from regard.models.classifiers.ngram_hash import (
    BASE,
    CHARACTER_BIT,
    LEAD_SALT,
    LETTER,
    POSITION_STEP,
    SKIP_SALT,
    SPACE,
    START,
    UNIGRAM_SALT,
    Alphabet,
    Ints,
    NgramLimits,
    NgramTable,
    mix_compiled,
)

__all__ = ["score"]


def score(
    alphabet: Alphabet, limits: NgramLimits, table: NgramTable, ids: Ints, lengths: Ints
) -> NDArray[np.float64]:
    """Score texts by the n-grams they have in common with a table.

    Args:
        alphabet: characters of each id.
        limits: longest n-grams and widest pairs.
        table: learned n-grams.
        ids: `(batch, length)`, padded to the right.
        lengths: `(batch,)`.

    Returns:
        `(batch, labels)`, without the bias.
    """
    result = np.zeros((len(ids), table.weight.shape[1]))
    characters = 2 + int(alphabet.size[ids].sum(1).max(initial=0))  # a space at either end
    # Compiled code allocates nothing: it gets its memory here, enough for the longest text, and an
    # open-addressing hash table of at least twice as many slots as a text can have n-grams.
    most = characters * sum(limits)
    slots = 1 << (2 * most).bit_length()
    counts = np.empty(slots, np.int64), np.empty(slots, np.int64), np.empty(most, np.int64)
    text = np.empty((3, characters), np.int64), np.empty((3, characters), np.uint64)
    call_serial(
        _score, ids, lengths, alphabet.code, alphabet.kind, alphabet.offset, _array(limits),
        *table, *text, *counts, result,
    )  # fmt: skip
    return result


@cache
def _array(limits: NgramLimits) -> Ints:
    return np.array(limits)


@compiled
def _score(
    ids, lengths, code, kinds, offset, limits, key, idf, weight, first,
    text, hashes, slot, count, used, result,
):  # fmt: skip
    """Score every text: write its characters, count its n-grams that are in the table, weight them.

    Workspace, overwritten for each text:
        text: `(3, characters)`: code point and kind of each character, first character of each word.
        hashes: `(3, characters)`: of each word, of the word n-gram that begins at it, of each character.
        slot, count: hash table of the n-grams found: row of `key` (-1 = free), number of occurrences.
        used: slots in use, so that they can be counted and freed without a pass over the table.
    """
    shift = np.int64(64)  # that leaves the first bits of a key
    while 1 << (64 - shift) < first.size - 1:
        shift -= 1
    index = key, first, shift
    slot[:] = -1
    for row in range(ids.shape[0]):
        characters = _write_characters(
            ids[row], lengths[row], code, kinds, offset, text[0], text[1]
        )
        words = _find_words(characters, text, hashes)
        found = np.int64(0)
        found = _count_words(words, text, hashes, limits, index, slot, count, used, found)
        found = _count_characters(characters, text, hashes, limits, index, slot, count, used, found)
        _add_weights(found, key, idf, weight, slot, count, used, result[row])


@inlined
def _write_characters(ids, length, code, kinds, offset, text, kind):
    """Write the characters of a text and their kinds, a space at either end; return their number."""
    text[0], kind[0] = 32, START
    at = 1
    for i in range(length):
        for j in range(offset[ids[i]], offset[ids[i] + 1]):
            text[at], kind[at] = code[j], kinds[j]
            at += 1
    text[at], kind[at] = 32, SPACE
    return at + 1


@inlined
def _find_words(characters, spelled, hashes):
    """Write the start and the hash of each word, the start of the text being the first; return their number."""
    text, kind, start = spelled[0], spelled[1], spelled[2]
    word = hashes[0]
    words = 0
    for i in range(characters):
        if kind[i] == SPACE:
            continue
        # A letter after a letter goes on with its word; everything else begins one.
        if kind[i] != LETTER or kind[i - 1] != LETTER:
            start[words], word[words] = i, np.uint64(0)
            words += 1
        position = np.uint64(i - start[words - 1]) * POSITION_STEP
        word[words - 1] += mix_compiled(np.uint64(text[i]) + position)
    return words


@inlined
def _count_words(words, text, hashes, limits, index, slot, count, used, found):
    """Count n-grams of words, skip-bigrams and lead pairs."""
    word, run = hashes[0], hashes[1]
    # Unigrams. The start of the text is in every text, so alone it says nothing.
    for i in range(words):
        run[i] = word[i]
        if text[1, text[2, i]] != START:
            salted = mix_compiled(word[i] + UNIGRAM_SALT) & ~CHARACTER_BIT
            found = _add(salted, index, slot, count, used, found)
    # Longer ones: `run[i]` is the hash of the n words from i on, and grows by a word for each n.
    for n in range(2, limits[0] + 1):
        for i in range(words - n + 1):
            run[i] = run[i] * BASE + word[i + n - 1]
            salted = mix_compiled(run[i] + np.uint64(n)) & ~CHARACTER_BIT
            found = _add(salted, index, slot, count, used, found)
    for distance in range(2, limits[1] + 2):
        for i in range(words - distance):
            pair = word[i] * BASE + word[i + distance] + SKIP_SALT + np.uint64(distance)
            found = _add(mix_compiled(pair) & ~CHARACTER_BIT, index, slot, count, used, found)
    # The start of the text is word 0, so the first n words are 1 to n.
    lead = np.uint64(0)
    for n in range(1, min(limits[2] + 1, words)):
        lead = lead * BASE + word[n]
        for i in range(n + 1, words):
            pair = lead * BASE + word[i] + LEAD_SALT + np.uint64(n)
            found = _add(mix_compiled(pair) & ~CHARACTER_BIT, index, slot, count, used, found)
    return found


@inlined
def _count_characters(characters, text, hashes, limits, index, slot, count, used, found):
    """Count n-grams of characters that cross no space, though they may begin or end with one."""
    code, kind, single = text[0], text[1], hashes[2]
    for i in range(characters):
        single[i] = mix_compiled(np.uint64(code[i]))
    for i in range(characters):
        run = single[i]
        for n in range(2, min(limits[3], characters - i) + 1):
            last = i + n - 1
            run = run * BASE + single[last]
            ends = kind[last] == SPACE
            if n == 2 and ends and (kind[i] == SPACE or kind[i] == START):
                break  # two spaces and nothing between them
            salted = mix_compiled(run + np.uint64(n)) | CHARACTER_BIT
            found = _add(salted, index, slot, count, used, found)
            if ends:
                break
    return found


@inlined
def _add(salted, index, slot, count, used, found):
    """Count an n-gram if it is in the table; return how many different ones have been found."""
    # Binary search for the row of the table that has this key, among the few whose keys have its first bits.
    key, first, shift = index
    wanted = np.int64(salted)
    bits = (wanted >> shift) + ((first.size - 1) >> 1)  # the lowest value is negative
    low, high = first[bits], first[bits + 1]
    while low < high:
        middle = (low + high) >> 1
        if key[middle] < wanted:
            low = middle + 1
        else:
            high = middle
    if low == key.size or key[low] != wanted:
        return found
    # Linear probing from the slot its hash names. The lowest bit is only its kind.
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
def _add_weights(found, key, idf, weight, slot, count, used, result):
    """Add the weights of a text's n-grams times their TF-IDF to `result`, and empty the hash table.

    TF-IDF is scaled to unit length, words and characters each on their own.
    """
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
        ngram = slot[at]
        value = (1.0 + math.log(count[at])) * idf[ngram]
        value /= math.sqrt(square_characters if key[ngram] & 1 else square_words)
        for label in range(result.size):
            result[label] += value * weight[ngram, label]
        slot[at] = -1
