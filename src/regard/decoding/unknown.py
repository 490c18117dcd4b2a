"""Replacement of unknown words by the source words that they attend to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regard.decoding.hypothesis import Hypothesis, Reading
from regard.text import UNK

__all__ = ["replace_unknown"]


def replace_unknown(
    hypothesis: Hypothesis,
    tokens: Sequence[str],
    source: Sequence[str],
    *,
    reading: Reading = "output",
    dictionary: Mapping[str, str] | None = None,
) -> list[str]:
    """Replace each UNK by the source token attended to most (Luong et al. 2015; Jean et al. 2015).

    An UNK without attention stays: one in a given prefix, or any if nothing of the source was read.

    Args:
        hypothesis: with its attention.
        tokens: text of each of its ids.
        source: tokens of the source; what the encoder read beyond them (EOS) is never copied.
        reading: step whose attention counts; by default the one that produced the UNK.
        dictionary: translations of source tokens; one that is not in it is copied.
    """
    dictionary = dictionary or {}
    alignment = hypothesis.aligned_at(reading).alignment[:, : len(source)]
    replaced = list(tokens)
    for position, (index, row) in enumerate(zip(hypothesis.ids, alignment, strict=True)):
        if index == UNK and row.any():
            word = source[int(row.argmax())]
            replaced[position] = dictionary.get(word, word)
    return replaced
