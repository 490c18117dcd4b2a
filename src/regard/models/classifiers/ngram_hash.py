"""Hash, constants and types shared by n-gram counting with arrays and compiled n-gram scoring.

An n-gram is identified by a 64-bit key. All arithmetic is modulo 2**64:

==================  ==========================================================================
character c         mix(c)
word c_0 c_1 ...    sum over i of mix(c_i + i * POSITION_STEP)
units u_1 ... u_n   h(u_1 ... u_n) = h(u_1 ... u_{n-1}) * BASE + u_n, with h(u_1) = u_1
n-gram              mix(h(u_1 ... u_n) + n)
skip-bigram         mix(h(u_i u_j) + SKIP_SALT + (j - i))
lead pair           mix(h(u_1 ... u_n u_j) + LEAD_SALT + n), the first n words and a later one
==================  ==========================================================================

The lowest bit of a key is overwritten: 1 for an n-gram of characters, 0 for one of words. Salts keep
the families apart: without them the bigram "a b" and the skip-bigram "a _ b" would share a key.

`mix` is a bijection that changes half of the output bits for every input bit (the finaliser of
splitmix64, Steele, Lea and Flood 2014), so keys of unlike n-grams are as good as random: among a
million n-grams the chance that any two share one is one in thirty million.
"""
# mypy: disable-error-code="misc, no-untyped-def"

from __future__ import annotations

from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from regard.compiled.jit import inlined

__all__ = [
    "BASE",
    "CHARACTER_BIT",
    "FACTORS",
    "LEAD_SALT",
    "LETTER",
    "POSITION_STEP",
    "SHIFTS",
    "SKIP_SALT",
    "SPACE",
    "START",
    "SYMBOL",
    "UNIGRAM_SALT",
    "Alphabet",
    "Hashes",
    "Ints",
    "NgramLimits",
    "NgramTable",
    "mix",
    "mix_compiled",
]

Ints: TypeAlias = NDArray[np.int64]
Hashes: TypeAlias = NDArray[np.uint64]

# Kinds of characters. Those from SYMBOL on are a word by themselves; LETTERs make one with their neighbours.
SPACE, LETTER, SYMBOL, START = 0, 1, 2, 3

UNIGRAM_SALT = np.uint64(1)  # n-grams are salted with n, far below the other two salts
SKIP_SALT = np.uint64(1000)
LEAD_SALT = np.uint64(1 << 32)
BASE = np.uint64(0x9E3779B97F4A7C15)  # odd, so that multiplying by it loses nothing
POSITION_STEP = np.uint64(1 << 21)  # above every code point
CHARACTER_BIT = np.uint64(1)

# Of `mix`; the numbers are those of splitmix64.
SHIFTS = np.uint64(30), np.uint64(27), np.uint64(31)
FACTORS = np.uint64(0xBF58476D1CE4E5B9), np.uint64(0x94D049BB133111EB)
_SHIFT_1, _SHIFT_2, _SHIFT_3 = SHIFTS
_FACTOR_1, _FACTOR_2 = FACTORS


class Alphabet(NamedTuple):
    """Characters that each token id adds to a text, one id after the other.

    Attributes:
        code: lower-case code points. The last one is a space, an id of its own after the vocabulary's.
        kind: `SPACE`, `LETTER` or `SYMBOL`, for each of `code`.
        offset: index in `code` at which the characters of each id begin, and the end of the last.
        size: number of characters of each id.
    """

    code: Ints
    kind: Ints
    offset: Ints
    size: Ints


class NgramLimits(NamedTuple):
    """Longest n-grams and widest pairs that are counted.

    Attributes:
        words: words of an n-gram at most.
        skip_bigrams: words that a pair of words leaves out at most; 0 = no such pairs.
        lead_pairs: first words of a text that are paired with each later word at most; 0 = none.
        characters: characters of an n-gram at most; the shortest has two.
    """

    words: int = 2
    skip_bigrams: int = 0
    lead_pairs: int = 0
    characters: int = 5


class NgramTable(NamedTuple):
    """The learned n-grams, sorted by key.

    Keys are as good as random, so their first bits say where in the table they are: `first` has an entry for
    each value of these bits, one for two to four n-grams. A search begins beside the right row, where halving
    the whole table would wait for memory at each of its steps.

    Attributes:
        key: `(ngrams,)`, ascending.
        idf: `(ngrams,)`, inverse document frequency.
        weight: `(ngrams, labels)`.
        first: `(2**bits + 1,)`, for each value of the first bits, ascending as a signed number, the first row
            whose key has at least that value.
    """

    key: Ints
    idf: NDArray[np.float64]
    weight: NDArray[np.float32]
    first: Ints

    @classmethod
    def of(cls, key: Ints, idf: NDArray[np.float64], weight: NDArray[np.float32]) -> NgramTable:
        """The table of these n-grams, with its index."""
        bits = max(1, (len(key) // 4).bit_length())
        starts = np.arange(-(1 << bits - 1), 1 << bits - 1) << (64 - bits)
        first = np.append(np.searchsorted(key, starts), len(key))
        return cls(key, idf, weight, first)


def mix(x: Hashes) -> Hashes:
    """Scatter 64 bits over 64 bits; `mix_compiled` is this function for compiled code."""
    x = (x ^ (x >> _SHIFT_1)) * _FACTOR_1
    x = (x ^ (x >> _SHIFT_2)) * _FACTOR_2
    return x ^ (x >> _SHIFT_3)


mix_compiled: Any = inlined(mix)
