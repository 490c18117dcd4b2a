"""The comparison of two models: numbers, and the table and page made of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import asdict, dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from regard.api.corpus.compare_views import comparison_grid
from regard.api.corpus.head_comparison import HeadComparison
from regard.api.corpus.report_files import json_number, save_report
from regard.errors import InputError
from regard.evaluation.metrics.intervals import Interval
from regard.viewing import AttentionRecord
from regard.viewing.data.grid import HeadGrid

__all__ = ["ModelComparison"]


@dataclass(frozen=True)
class ModelComparison:
    """How differently two models attend over a corpus.

    Attributes:
        first: name of the first model.
        second: name of the second one.
        floor: name of another seed of the first model; `None` without one.
        unit: `"tokens"`, or `"words"` where the models cut texts differently.
        texts: number of texts that were compared.
        heads: one result for each head of the first model.
        layers: one result for each layer, the mean of its heads.
        answers: share of equal answers: labels, texts that are written, or likeliest next tokens; `None` for
            models without answers that can be compared.
        floor_answers: the same share of the two seeds.
        notes: what was left out or cut, a sentence each.
        examples: attention of both models on a text.
    """

    first: str
    second: str
    floor: str | None
    unit: str
    texts: int
    heads: tuple[HeadComparison, ...]
    layers: tuple[HeadComparison, ...]
    answers: Interval | None = None
    floor_answers: Interval | None = None
    notes: tuple[str, ...] = ()
    examples: tuple[tuple[AttentionRecord, ...], ...] = ()

    def __post_init__(self) -> None:
        if not self.heads:
            raise InputError("a comparison without heads; expected at least one")

    def news(self) -> dict[str, int]:
        """Number of heads by what their difference says; empty without a floor."""
        return dict(Counter(str(each.news) for each in self.heads if each.news is not None))

    def news_by_chance(self) -> float:
        """Number of heads that would be news if the second model were one more seed of the first.

        Of a layer of `n` heads that have a verdict, each is above the floors of all `n` with a chance of about
        `1 / (n + 1)`.
        """
        sizes = Counter((each.site, each.layer) for each in self.heads if each.news is not None)
        return sum(size / (size + 1) for size in sizes.values())

    def rows(self) -> list[dict[str, Any]]:
        """One row for each head, and for each layer one with `head` `None`."""
        return [each.row() for each in (*self.layers, *self.heads)]

    def to_json(self) -> str:
        """One JSON object for other programs."""
        content = {
            "first": self.first,
            "second": self.second,
            "floor": self.floor,
            "unit": self.unit,
            "texts": self.texts,
            "distance": "mean Jensen-Shannon distance, base 2",
            "answers": _interval(self.answers),
            "floor_answers": _interval(self.floor_answers),
            "news": self.news(),
            "news_by_chance": self.news_by_chance(),
            "layers": [each.row() for each in self.layers],
            "heads": [each.row() for each in self.heads],
            "notes": self.notes,
        }
        return json.dumps(content, ensure_ascii=False, indent=1)

    def save(self, path: str | PathLike[str]) -> Path:
        """Write the table (.csv, .tsv, .jsonl, .parquet), everything as JSON (.json), or the page (.html).

        Raises:
            InputError: another ending.
        """
        return save_report(Path(path), self.rows, self.to_json, self.grid)

    def grid(self) -> HeadGrid:
        """The comparison as terminal and page show it."""
        return comparison_grid(
            (self.first, self.second, self.floor),
            self._facts(),
            self.heads,
            self.layers,
            self.examples,
        )

    def _facts(self) -> tuple[str, ...]:
        """What was compared, a sentence each."""
        distance = "Jensen-Shannon distance, base 2: 0 for equal attention, 1 for disjoint"
        facts = [
            f"{self.texts:,} texts, compared by {self.unit}; 95 % intervals over texts",
            distance,
        ]
        if self.floor is not None:
            facts.append(f"floor: {self.first} and {self.floor}, two seeds of one model")
        judged, found = sum(self.news().values()), self.news()
        if judged:
            facts.append(
                f"{found.get('news', 0)} of {judged} heads are news, where about {self.news_by_chance():.1f} "
                f"would be if {self.second} were one more seed, and as many closer"
            )
        if self.answers is not None:
            beside = "" if self.floor_answers is None else f" (floor {self.floor_answers})"
            facts.append(f"equal answers: {self.answers}{beside}")
        return (*facts, *self.notes)

    def show(self) -> None:
        """Print the distances as a grid, and a line for each layer and head, to the terminal."""
        from regard.viewing.terminal_grid import show

        show(self.grid())


def _interval(value: Interval | None) -> dict[str, float | None] | None:
    if value is None:
        return None
    return {name: json_number(x) for name, x in asdict(value).items()}
