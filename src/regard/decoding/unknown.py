"""Words the vocabulary does not know, looked up in the source by attention."""

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
    """Each UNK replaced by the source token attended to most (Luong et al. 2015; Jean et al. 2015).

    One that was given, not decoded, has no attention and stays; so does any where nothing was read.

    Args:
        hypothesis: with its attention.
        tokens: what its ids spell.
        source: tokens of the source; what the encoder read beyond them (EOS) is never copied.
        reading: the step whose attention counts: by default the one that produced the UNK.
        dictionary: translations of source tokens; one that is not in it is copied.
    """
    dictionary = dictionary or {}
    looked = hypothesis.aligned_at(reading).alignment[:, : len(source)]
    replaced = list(tokens)
    for place, (index, row) in enumerate(zip(hypothesis.ids, looked, strict=True)):
        if index == UNK and row.any():
            word = source[row.argmax()]
            replaced[place] = dictionary.get(word, word)
    return replaced
