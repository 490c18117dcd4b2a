"""Replacement of unknown words by the unknown source words that they attend to."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regard.decoding.hypothesis import Hypothesis
from regard.text import UNK

__all__ = ["replace_unknown"]


def replace_unknown(
    hypothesis: Hypothesis,
    tokens: Sequence[str],
    source: Sequence[str],
    source_ids: Sequence[int],
    *,
    dictionary: Mapping[str, str] | None = None,
) -> list[str]:
    """Replace each UNK by the unknown source token attended to most (Luong et al. 2015; Jean et al. 2015).

    Only a source token that is unknown itself, or in the dictionary, can be what UNK stands for: one of
    the vocabulary would have had its translation. An UNK without attention to such a token stays.

    Args:
        hypothesis: with its attention, at the step that its `reading` names.
        tokens: text of each of its ids.
        source: tokens of the source; what the encoder read beyond them (EOS) is never copied.
        source_ids: id of each of these tokens in the vocabulary, UNK where it has none.
        dictionary: translations of source tokens; one that is not in it is copied.
    """
    dictionary = dictionary or {}
    candidates = [
        position
        for position, (word, index) in enumerate(zip(source, source_ids, strict=True))
        if index == UNK or word in dictionary
    ]
    replaced = list(tokens)
    for position, (index, row) in enumerate(zip(hypothesis.ids, hypothesis.alignment, strict=True)):
        weights = row[candidates]
        if index == UNK and weights.any():
            word = source[candidates[int(weights.argmax())]]
            replaced[position] = dictionary.get(word, word)
    return replaced
