"""A score with its interval and signature, and tables that compare systems."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

__all__ = ["Score", "comparison", "markdown"]


@dataclass(frozen=True)
class Score:
    """The value of one metric on one test set.

    >>> from regard.evaluation import Score
    >>> print(Score("BLEU", 36.54, (35.31, 37.78)))
    BLEU 36.5 (35.3 to 37.8)

    Args:
        name: name of the metric.
        value: value in percent, 0 to 100.
        interval: 95 % bootstrap interval (low, high) in percent, over the examples of the test set.
        signature: how the value was computed, in the form of sacreBLEU's signatures.
    """

    name: str
    value: float
    interval: tuple[float, float] | None = None
    signature: str = ""

    def __str__(self) -> str:
        signature = f" [{self.signature}]" if self.signature else ""
        return f"{self.name} {self.formatted}{signature}"

    @property
    def metric(self) -> str:
        """Name of the metric as settings and history have it: `rouge1` for `ROUGE-1`."""
        return self.name.lower().replace("-", "").replace(" ", "_")

    @property
    def formatted(self) -> str:
        """The value with its interval: `36.5 (35.3 to 37.7)`."""
        if self.interval is None:
            return f"{self.value:.1f}"
        return f"{self.value:.1f} ({self.interval[0]:.1f} to {self.interval[1]:.1f})"

    def table(self) -> str:
        """Return the score as a Markdown table of one row."""
        return comparison({"": [self]})


def comparison(systems: Mapping[str, Iterable[Score]]) -> str:
    """Return a Markdown table with a row for each system and a column for each metric.

    >>> from regard.evaluation import Score, comparison
    >>> print(comparison({"model": [Score("BLEU", 36.5)], "copy": [Score("BLEU", 3.2)]}))
    |       | BLEU |
    |-------|------|
    | model | 36.5 |
    | copy  | 3.2  |
    """
    rows = {
        system: {score.name: score.formatted for score in scores}
        for system, scores in systems.items()
    }
    names = list(dict.fromkeys(name for row in rows.values() for name in row))
    cells = [["", *names]]
    cells += [[system, *(row.get(name, "") for name in names)] for system, row in rows.items()]
    return markdown(cells)


def markdown(cells: Sequence[Sequence[str]]) -> str:
    """Return rows of cells as an aligned Markdown table; the first row is the header."""
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in cells
    ]
    rule = "|" + "|".join("-" * (width + 2) for width in widths) + "|"
    return "\n".join([lines[0], rule, *lines[1:]])
