"""A few texts of a corpus that show what heads do, found while it streams by."""

from __future__ import annotations

from typing import Any

from regard.api.corpus.attention import EncodedText, TextPair
from regard.evaluation.heads.statistics import STATISTICS, TextSums

__all__ = ["ExampleTexts"]

TYPICAL_TOKENS = 24
"""Length of a text that is good to look at."""

MOST_TOKENS = 64
"""Tokens of the longest text that is preferred for its repetitions or punctuation."""

_INTERESTS = {"induction": "induction", "duplicate": "duplicate", "punctuation": "punctuation"}
"""Kinds of heads, and the statistic whose queries a text must have many of to show them."""


class ExampleTexts:
    """The best text so far for each interest: one of usual length, one with repetitions, one with punctuation.

    Args:
        kept: of a state saved before.
    """

    def __init__(self, kept: dict[str, list[Any]] | None = None) -> None:
        self.kept: dict[str, list[Any]] = dict(kept or {})
        """Score, text and target by interest."""

    def add(self, text: EncodedText, sums: TextSums) -> None:
        """Look at the next text."""
        self._offer("typical", -abs(text.length - TYPICAL_TOKENS), text.pair)
        if text.length <= MOST_TOKENS:
            for interest, statistic in _INTERESTS.items():
                count = float(sums.count[STATISTICS.index(statistic)])
                if count:
                    self._offer(interest, count, text.pair)

    def merge(self, others: ExampleTexts) -> None:
        """Look at the best of the next texts."""
        for interest, (score, *pair) in others.kept.items():
            self._offer(interest, score, TextPair(*pair))

    def _offer(self, interest: str, score: float, pair: TextPair) -> None:
        if interest not in self.kept or score > self.kept[interest][0]:
            self.kept[interest] = [score, *pair]

    def chosen(self) -> tuple[list[TextPair], dict[str, int]]:
        """The texts, each once, and the index of the one for each interest."""
        pairs = {name: TextPair(*values[1:]) for name, values in self.kept.items()}
        texts = list(dict.fromkeys(pairs.values()))
        return texts, {name: texts.index(pair) for name, pair in pairs.items()}
