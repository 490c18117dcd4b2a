"""N-gram scores in plain operations of torch, for graphs that run where no compiled code of ours does.

A third way to the numbers of `NgramLinear`, beside arrays (`ngrams`) and compiled code (`ngram_scoring`); the
tests hold it against both. Token ids spell the text here, too, so that a graph reads nothing but ids.

Everything is `(batch, characters)` or a multiple of it: a text has no more words than characters, and the
exporters plan a graph of which one size alone follows from the values of its input. Arithmetic is that of
`ngram_hash` in signed numbers, which wrap around to the bits of unsigned ones.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from regard.models.classifiers import ngram_hash as hashing
from regard.models.classifiers.ngram_hash import LETTER, SPACE, START, SYMBOL, Alphabet, NgramLimits

__all__ = ["NgramGraph"]


class _Characters(NamedTuple):
    """Characters of each text, a space at either end, padded with spaces to the longest.

    Attributes:
        code: `(batch, characters)`, lower-case code points.
        kind: `(batch, characters)`: `SPACE`, `LETTER`, `SYMBOL`, or `START` for the first.
        total: `(batch, 1)`, characters of each text, both spaces included.
    """

    code: Tensor
    kind: Tensor
    total: Tensor


class _Keys(NamedTuple):
    """Keys of n-grams at each character or word, and which of them the text has; `(batch, characters)` each."""

    key: Tensor
    present: Tensor


class NgramGraph(nn.Module):
    """Linear classifier on n-grams: ids and lengths to scores, without compiled code.

    Args:
        alphabet: characters of each id.
        limits: longest n-grams and widest pairs.
        key: `(ngrams,)`, of the learned n-grams, ascending.
        idf: `(ngrams,)`, inverse document frequencies.
        weight: `(ngrams, labels)`.
        bias: `(labels,)`.
    """

    letters: Tensor
    kinds: Tensor
    offset: Tensor
    size: Tensor
    key: Tensor
    idf: Tensor
    weight: Tensor
    bias: Tensor

    def __init__(
        self,
        alphabet: Alphabet,
        limits: NgramLimits,
        key: Tensor,
        idf: Tensor,
        weight: Tensor,
        bias: Tensor,
    ) -> None:
        super().__init__()
        self.limits: NgramLimits = limits
        code, kind, offset, size = (torch.from_numpy(array) for array in alphabet)
        # A graph of torch has an attribute `code` of its own, hence `letters`.
        tensors = {"letters": code, "kinds": kind, "offset": offset, "size": size}
        tensors |= {"key": key, "idf": idf, "weight": weight, "bias": bias}
        for name, tensor in tensors.items():
            self.register_buffer(name, tensor)

    def forward(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Score texts: `(batch, length)` ids and `(batch,)` lengths to `(batch, labels)`."""
        if not len(self.key):
            return self.bias.expand(ids.shape[0], -1)
        characters = self._characters(ids, lengths)
        found = [*self._of_words(characters), *self._of_characters(characters)]
        rows = torch.cat(
            [torch.where(keys.present, self._look_up(keys.key), -1) for keys in found], 1
        )
        return self._score(rows) + self.bias

    def _characters(self, ids: Tensor, lengths: Tensor) -> _Characters:
        real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        size = self.size[ids] * real
        end = size.cumsum(1)
        total = size.sum(1, keepdim=True)
        longest: Any = total.max().item()  # `int` would fix the size
        torch._check(longest >= 0)  # type: ignore[no-untyped-call]
        # The token of a character: how many tokens have ended before it.
        ended = ids.new_zeros(ids.shape[0], longest + 1).scatter_add(1, end, torch.ones_like(end))
        token = ended.cumsum(1).clamp(max=ids.shape[1] - 1)
        place = torch.arange(longest + 1, device=ids.device)
        within = place - (end - size).gather(1, token)
        inside = place < total
        at = torch.where(inside, self.offset[ids.gather(1, token)] + within, 0)
        code = torch.where(inside, self.letters[at], ord(" "))
        kind = torch.where(inside, self.kinds[at], SPACE)
        first = torch.zeros_like(total)  # `place` has one more than a text: the space behind it
        return _Characters(
            torch.cat([first + ord(" "), code], 1), torch.cat([first + START, kind], 1), total + 2
        )

    def _of_words(self, characters: _Characters) -> list[_Keys]:
        """N-grams of neighbouring words and skip-bigrams, at their first word; lead pairs, at their last."""
        word, count = _words(characters)
        number = torch.arange(word.shape[1], device=word.device)
        # The start of the text is word 0 and in every text: alone it says nothing.
        keys = [_Keys(word + 1, (number > 0) & (number < count))]
        run = word
        for n in range(2, self.limits.words + 1):
            run = run * _BASE + _ahead(word, n - 1)
            keys.append(_Keys(run + n, number < count - (n - 1)))
        for distance in range(2, self.limits.skip_bigrams + 2):
            pair = word * _BASE + _ahead(word, distance)
            keys.append(_Keys(pair + (_SKIP_SALT + distance), number < count - distance))
        lead = torch.zeros_like(count)
        for n in range(1, self.limits.lead_pairs + 1):
            lead = lead * _BASE + _ahead(word, n)[:, :1]
            pair = lead * _BASE + word
            keys.append(_Keys(pair + (_LEAD_SALT + n), (number > n) & (number < count)))
        return [_Keys(_mix(key) & ~1, present) for key, present in keys]

    def _of_characters(self, characters: _Characters) -> list[_Keys]:
        """N-grams of characters that cross no space, at their first character."""
        code, kind, total = characters
        single = _mix(code)
        place = torch.arange(code.shape[1], device=code.device)
        blank = (kind == SPACE) | (kind == START)
        keys, run = list[_Keys](), single
        goes_on = torch.ones_like(blank)  # whether no space ended a shorter one
        for n in range(2, self.limits.characters + 1):
            run = run * _BASE + _ahead(single, n - 1)
            ends = _ahead(blank, n - 1)
            if n == 2:
                goes_on = ~(blank & ends)  # two spaces and nothing between them
            keys.append(_Keys(_mix(run + n) | 1, goes_on & (place < total - (n - 1))))
            goes_on = goes_on & ~ends
        return keys

    def _look_up(self, wanted: Tensor) -> Tensor:
        """Row of the table that has each key, or -1: a binary search whose steps a graph can hold."""
        size = len(self.key)
        below = torch.zeros_like(wanted)  # how many keys of the table are smaller
        for power in reversed(range(size.bit_length())):
            further = below + (1 << power)
            smaller = self.key[further.clamp(max=size) - 1] < wanted
            below = torch.where((further <= size) & smaller, further, below)
        row = below.clamp(max=size - 1)
        return torch.where(self.key[row] == wanted, row, -1)

    def _score(self, rows: Tensor) -> Tensor:
        """Weights of the n-grams of each text times their TF-IDF, words and characters each of unit length.

        Args:
            rows: `(batch, occurrences)`, rows of the table, -1 for none.
        """
        # A first column of none, so that every row has one before it.
        rows, _ = torch.cat([torch.full_like(rows[:, :1], -1), rows], 1).sort(1)
        first = torch.cat([rows[:, :1] >= 0, rows[:, 1:] != rows[:, :-1]], 1)
        group = first.cumsum(1)  # equal rows have one number
        ones = torch.ones_like(rows, dtype=self.idf.dtype)
        frequency = torch.zeros_like(ones).scatter_add(1, group, ones).gather(1, group)
        row = rows.clamp(min=0)
        value = torch.where(first, (1 + frequency.log()) * self.idf[row], 0.0)
        of_characters = (self.key[row] & 1) == 1
        square = value * value
        length = torch.where(
            of_characters,
            torch.where(of_characters, square, 0.0).sum(1, keepdim=True),
            torch.where(of_characters, 0.0, square).sum(1, keepdim=True),
        ).sqrt()
        share = torch.where(first, value / length, 0.0)
        scores: Tensor = (share[:, None] @ self.weight[row])[:, 0]
        return scores


def _words(characters: _Characters) -> tuple[Tensor, Tensor]:
    """Hash of each word, `(batch, characters)`, the start of a text being the first; and their number."""
    code, kind, _ = characters
    letter = kind == LETTER
    before = torch.cat([torch.zeros_like(letter[:, :1]), letter[:, :-1]], 1)
    begins = (kind >= SYMBOL) | (letter & ~before)
    number = begins.cumsum(1) - 1
    place = torch.arange(code.shape[1], device=code.device).expand_as(code)
    # A word's first character has a place for itself, and every other one none: their places add up to it.
    start = torch.zeros_like(code).scatter_add(1, number, torch.where(begins, place, 0))
    position = place - start.gather(1, number)
    mixed = torch.where(kind == SPACE, 0, _mix(code + position * _POSITION_STEP))
    return torch.zeros_like(code).scatter_add(1, number, mixed), number[:, -1:] + 1


def _ahead(x: Tensor, steps: int) -> Tensor:
    """What stands so many places further on in each row; near the end, the last of all."""
    place = torch.arange(x.shape[1], device=x.device) + steps
    return x[:, place.clamp(max=x.shape[1] - 1)]


def _signed(number: int) -> int:
    """The signed number that has the 64 bits of an unsigned one."""
    return number - (1 << 64) if number >> 63 else number


_BASE, _SKIP_SALT, _LEAD_SALT, _POSITION_STEP = (
    _signed(int(number))
    for number in (hashing.BASE, hashing.SKIP_SALT, hashing.LEAD_SALT, hashing.POSITION_STEP)
)
_FACTOR_1, _FACTOR_2 = (_signed(int(factor)) for factor in hashing.FACTORS)


def _mix(x: Tensor) -> Tensor:
    """`ngram_hash.mix` in signed numbers."""
    first, second, third = (int(shift) for shift in hashing.SHIFTS)
    x = (x ^ _shifted(x, first)) * _FACTOR_1
    x = (x ^ _shifted(x, second)) * _FACTOR_2
    return x ^ _shifted(x, third)


def _shifted(x: Tensor, places: int) -> Tensor:
    """Bits moved to the right, zeros put in on the left: a shift of signed numbers puts in their sign."""
    return (x >> places) & ((1 << (64 - places)) - 1)
