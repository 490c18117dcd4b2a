"""Alignment error rate (Och and Ney 2003)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from regard.errors import ShapeError
from regard.evaluation.alignment.gold import Gold
from regard.evaluation.alignment.links import Link

__all__ = ["AlignmentScore", "alignment_error_rate"]


@dataclass(frozen=True)
class AlignmentScore:
    """Agreement of predicted with gold links, as fractions between 0 and 1.

    Attributes:
        error_rate: alignment error rate; lower is better.
        precision: fraction of predicted links that are at least possible.
        recall: fraction of sure links that were predicted.
        links: number of predicted links in the whole corpus.
    """

    error_rate: float
    precision: float
    recall: float
    links: int

    def __str__(self) -> str:
        return (
            f"AER {100 * self.error_rate:.1f} (precision {100 * self.precision:.1f}, "
            f"recall {100 * self.recall:.1f}, {self.links} links)"
        )


def alignment_error_rate(
    predicted: Sequence[frozenset[Link] | set[Link]], gold: Sequence[Gold]
) -> AlignmentScore:
    """Score predicted links A against sure links S and possible links P, which include S.

    ::

        precision = |A & P| / |A|        recall = |A & S| / |S|
        alignment error rate = 1 - (|A & S| + |A & P|) / (|A| + |S|)

    The counts are summed over the corpus before dividing (Och and Ney 2003, "A Systematic Comparison
    of Various Statistical Alignment Models").

    >>> from regard.evaluation import alignment_error_rate
    >>> from regard.evaluation.alignment.gold import parse_gold
    >>> print(alignment_error_rate([{(0, 0), (1, 1)}], [parse_gold("1-1 2p2")]))
    AER 0.0 (precision 100.0, recall 100.0, 2 links)

    Args:
        predicted: links of each sentence pair.
        gold: gold links of each sentence pair.

    Raises:
        ShapeError: the numbers of sentence pairs differ.
    """
    if len(predicted) != len(gold):
        raise ShapeError(
            f"{len(predicted)} predicted alignments for {len(gold)} gold ones; "
            "give one set of links per sentence pair, empty where there is none"
        )
    in_sure = sum(len(links & answer.sure) for links, answer in zip(predicted, gold, strict=True))
    in_possible = sum(
        len(links & answer.possible) for links, answer in zip(predicted, gold, strict=True)
    )
    links = sum(map(len, predicted))
    sure = sum(len(answer.sure) for answer in gold)
    return AlignmentScore(
        error_rate=1 - (in_sure + in_possible) / max(links + sure, 1),
        precision=in_possible / max(links, 1),
        recall=in_sure / max(sure, 1),
        links=links,
    )
