"""The verdict on cross-attention as word alignment: error rates beside two baselines."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import itemgetter

from regard.evaluation.alignment.cross_attention import CrossAttention
from regard.evaluation.alignment.error_rate import AlignmentScore, alignment_error_rate
from regard.evaluation.alignment.gold import Gold
from regard.evaluation.alignment.ibm_model1 import ibm_model_1
from regard.evaluation.alignment.links import SentencePair, diagonal
from regard.models import READINGS, Reading

__all__ = ["AlignmentVerdict", "judge_alignment", "score_readings"]


@dataclass(frozen=True)
class AlignmentVerdict:
    """How far cross-attention can be read as word alignment, with all error rates.

    Printed, it is the sentence and a table of the error rates.

    Attributes:
        sentence: the verdict in words, shown with every view of the model.
        pairs: number of sentence pairs.
        layers: score of each layer (first layer first, mean over heads) at both readings.
        diagonal: score of the diagonal on the same pairs.
        model_1: score of IBM Model 1 on the same pairs.
        links: the gold links in words: how many, from which file, how it counts words.
    """

    sentence: str
    pairs: int
    layers: tuple[Mapping[Reading, AlignmentScore], ...]
    diagonal: AlignmentScore
    model_1: AlignmentScore
    links: str = ""

    def __str__(self) -> str:
        lines = [self.sentence, "", f"{self.pairs} sentence pairs", *filter(None, [self.links])]
        for n, scores in enumerate(self.layers, start=1):
            for reading, score in scores.items():
                lines.append(f"layer {n}, where the word is {reading:6} {score}")
        lines.append(f"{'diagonal':33} {self.diagonal}")
        lines.append(f"{'IBM Model 1, on these pairs':33} {self.model_1}")
        return "\n".join(lines)


def score_readings(
    sentences: Sequence[CrossAttention], gold: Sequence[Gold]
) -> dict[Reading, AlignmentScore]:
    """Score the links of cross-attention at both readings of each target word."""
    return {
        reading: alignment_error_rate([one.links(reading) for one in sentences], gold)
        for reading in READINGS
    }


def judge_alignment(
    layers: Sequence[Sequence[CrossAttention]],
    pairs: Sequence[SentencePair],
    gold: Sequence[Gold],
    *,
    links: str = "",
) -> AlignmentVerdict:
    """Score every layer at both readings, beside the diagonal and IBM Model 1.

    Args:
        layers: for each layer the cross-attention of every sentence pair.
        pairs: (source words, target words) of each pair.
        gold: gold links of each pair.
        links: the gold links in words, for the verdict.

    Raises:
        ShapeError: the numbers of sentence pairs differ.
    """
    scores = tuple(score_readings(sentences, gold) for sentences in layers)
    line, counts = (
        alignment_error_rate(found, gold) for found in (diagonal(pairs), ibm_model_1(pairs))
    )
    # Of equal rates the first, so the step that wrote the word before the step that read it.
    error, layer, reading = min(
        (
            (score.error_rate, n, reading)
            for n, by_reading in enumerate(scores, start=1)
            for reading, score in by_reading.items()
        ),
        key=itemgetter(0),
    )
    against = (
        f"its best layer ({layer}, where words are the decoder's {reading}) has an error rate of "
        f"{100 * error:.1f}, the diagonal {100 * line.error_rate:.1f}, IBM Model 1 "
        f"{100 * counts.error_rate:.1f}"
    )
    if error >= line.error_rate:
        sentence = f"Do not read this as word alignment: {against}."
    elif error >= counts.error_rate:
        sentence = f"Read this as word alignment with care: {against}."
    else:
        sentence = f"This can be read as word alignment: {against}."
    return AlignmentVerdict(sentence, len(pairs), scores, line, counts, links)
