"""Choice of the decoder step, layer and head whose cross-attention aligns words best."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.evaluation.alignment.cross_attention import word_membership
from regard.evaluation.alignment.links import Link
from regard.models import READINGS, AlignmentSettings

__all__ = ["MIN_LINKS", "AlignmentChoice", "CrossAttentionStack", "choose_alignment"]

MIN_LINKS = 100
"""Fewest links that choose: of fewer, the best of some thirty candidates is the best by chance."""


@dataclass(frozen=True)
class CrossAttentionStack:
    """Cross-attention of one sentence pair in all layers and heads, between pieces.

    Attributes:
        weights: `(layers, heads, steps, source pieces)`; see `CrossAttention` for the steps.
        source_words: word index of each source piece, from 0; -1 for special tokens.
        target_words: word index of each target piece, without BOS and EOS; -1 for special tokens.
    """

    weights: NDArray[np.floating]
    source_words: Sequence[int]
    target_words: Sequence[int]


@dataclass(frozen=True)
class AlignmentChoice:
    """The cross-attention that a model's alignments are read from, and how it was chosen.

    Attributes:
        settings: decoder step, layer and head.
        layers: layers to choose from.
        heads: heads of each layer to choose from.
        error_rate: alignment error rate of the choice against `links`; `None` if nothing was measured.
        diagonal: error rate of the diagonal against them.
        links: number of links that chose.
        pairs: number of sentence pairs that they are of.
        note: why nothing was measured.
    """

    settings: AlignmentSettings
    layers: int
    heads: int
    error_rate: float | None = None
    diagonal: float | None = None
    links: int = 0
    pairs: int = 0
    note: str = ""

    def __str__(self) -> str:
        read = f"Words are read {self.settings.describe(self.layers, self.heads)}"
        if self.error_rate is None or self.diagonal is None:
            return f"{read}: {self.note}."
        beside = "better" if self.error_rate < self.diagonal else "no better"
        return (
            f"{read}: alignment error rate {100 * self.error_rate:.1f}, {beside} than the diagonal's "
            f"{100 * self.diagonal:.1f}, against the {self.links:,} links on which IBM Model 1 agrees in "
            f"both directions in {self.pairs:,} validation pairs, which chose it."
        )

    def to_json(self) -> dict[str, Any]:
        """Content of `alignment` in `config.json`."""
        size = {"layers": self.layers, "heads": self.heads}
        measured = {
            "error_rate": self.error_rate,
            "diagonal": self.diagonal,
            "links": self.links,
            "pairs": self.pairs,
        }
        found = measured if self.error_rate is not None else {"note": self.note}
        return {**self.settings.model_dump(), **size, **found}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> AlignmentChoice:
        """The choice that `to_json` wrote."""
        names = AlignmentSettings.model_fields
        settings = AlignmentSettings(**{name: content[name] for name in names})
        return cls(settings, **{k: v for k, v in content.items() if k not in names})


def choose_alignment(
    sentences: Iterable[CrossAttentionStack],
    links: Sequence[frozenset[Link] | set[Link]],
    *,
    layers: int,
    heads: int,
) -> AlignmentChoice:
    """Choose the step, layer (or mean of layers) and head (or mean of heads) with the fewest errors.

    Every target word is linked to the source word with the largest weight. The alignment error rate of
    such links A against links S, all of them sure, is 1 - 2 |A & S| / (|A| + |S|). Of rates that this
    many links cannot tell apart the simplest counts: the step that writes a word before the one that
    reads it, means before single layers and heads.

    Args:
        sentences: cross-attention of each pair, under teacher forcing.
        links: links of each pair that are taken as right.
        layers: of the model.
        heads: of each layer.
    """
    total = sum(map(len, links))
    pairs = sum(map(bool, links))
    if total < MIN_LINKS:
        note = (
            f"not measured, since IBM Model 1 agrees on only {total} links ({MIN_LINKS} are needed)"
        )
        return AlignmentChoice(AlignmentSettings(), layers, heads, note=note)
    right, found = np.zeros((2, len(READINGS), layers + 1, heads + 1), np.int64)
    on_diagonal = right_on_diagonal = 0
    for sentence, of_pair in zip(sentences, links, strict=True):
        correct, linked = _count(sentence, of_pair)
        right += correct
        found += linked
        shorter = 1 + min(max(sentence.source_words), max(sentence.target_words, default=-1))
        on_diagonal += shorter
        right_on_diagonal += sum((word, word) in of_pair for word in range(shorter))
    rates = 1 - 2 * right / np.maximum(found + total, 1)
    reading, layer, head = _simplest_of_the_best(rates, total)
    return AlignmentChoice(
        AlignmentSettings(reading=READINGS[reading], layer=layer or None, head=head or None),
        layers,
        heads,
        error_rate=float(rates[reading, layer, head]),
        diagonal=1 - 2 * right_on_diagonal / max(on_diagonal + total, 1),
        links=total,
        pairs=pairs,
    )


def _simplest_of_the_best(rates: NDArray[np.float64], links: int) -> tuple[int, int, int]:
    """Index of the simplest candidate within two standard errors of the best.

    The best of many is in part the luckiest, the more so if a model aligns nothing: the rule of one
    standard error (Breiman et al. 1984), but stricter, since the candidates are many.
    """
    best = float(rates.min())
    error = 2 * math.sqrt(max(best * (1 - best), 0.0) / links)
    near = [tuple(map(int, index)) for index in np.argwhere(rates <= best + error)]
    reading, layer, head = min(
        near, key=lambda index: (index[0], sum(map(bool, index[1:])), rates[index])
    )
    return reading, layer, head


def _count(
    sentence: CrossAttentionStack, links: frozenset[Link] | set[Link]
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Right links and links of a pair, `(readings, layers + 1, heads + 1)`, the means in front."""
    into_target, into_source = (
        word_membership(words) for words in (sentence.target_words, sentence.source_words)
    )
    if 0 in (into_target.shape[1], into_source.shape[1]):  # a text without a word
        nothing = np.zeros((len(READINGS), *(1 + size for size in sentence.weights.shape[:2])), int)
        return nothing, nothing
    into_target = into_target / np.maximum(into_target.sum(0), 1)
    is_link = np.zeros((into_target.shape[1], into_source.shape[1]), dtype=bool)
    for source, target in links:
        is_link[target, source] = True
    right, found = [], []
    for weights in _with_means(sentence.weights):
        merged = into_target.T @ weights @ into_source  # (layers + 1, heads + 1, target, source)
        has = merged.max(-1, initial=0.0) > 0
        best = merged.argmax(-1)
        right.append((is_link[np.arange(best.shape[-1]), best] & has).sum(-1))
        found.append(has.sum(-1))
    return np.stack(right), np.stack(found)


def _with_means(weights: NDArray[np.floating]) -> Iterator[NDArray[np.float64]]:
    """Weights at each reading, `(layers + 1, heads + 1, target, source)`: the means are in front."""
    stack = np.asarray(weights, dtype=np.float64)
    stack = np.concatenate([stack.mean(0, keepdims=True), stack])
    stack = np.concatenate([stack.mean(1, keepdims=True), stack], axis=1)
    for reading in READINGS:
        yield stack[:, :, :-1] if reading == "output" else stack[:, :, 1:]
