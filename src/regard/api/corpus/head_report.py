"""The report on the heads of a model: numbers, and the table and page made of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from regard.api.corpus.head_result import HeadResult
from regard.api.corpus.report_files import json_number, save_report
from regard.api.corpus.views import head_grid
from regard.errors import InputError
from regard.viewing import AttentionRecord
from regard.viewing.data.grid import HeadGrid

__all__ = ["HeadReport"]


@dataclass(frozen=True)
class HeadReport:
    """What every head of a model does over a corpus.

    Attributes:
        model: its name.
        texts: number of texts that were read.
        tokens: their tokens; of a model that writes, those of the longer side.
        heads: results by site, layer and head.
        notes: what was left out or cut, a sentence each.
        examples: attention on a few of the texts.
    """

    model: str
    texts: int
    tokens: int
    heads: tuple[HeadResult, ...]
    notes: tuple[str, ...] = ()
    examples: tuple[AttentionRecord, ...] = ()

    def __post_init__(self) -> None:
        if not self.heads:
            raise InputError("a report without heads; expected at least one")

    def kinds(self) -> dict[str, int]:
        """Number of heads of each kind, the most frequent first."""
        return dict(Counter(each.kind for each in self.heads).most_common())

    def rows(self) -> list[dict[str, Any]]:
        """One row for each head, all with the same columns."""
        rows = [each.row() for each in self.heads]
        names = dict.fromkeys(name for row in rows for name in row)
        return [{name: row.get(name) for name in names} for row in rows]

    def to_json(self) -> str:
        """One JSON object for other programs."""
        content = {
            "model": self.model,
            "texts": self.texts,
            "tokens": self.tokens,
            "kinds": self.kinds(),
            "heads": [
                {
                    "site": each.site,
                    "layer": each.layer,
                    "head": each.head,
                    "kind": each.kind,
                    "sure": each.judgement.sure,
                    "statistic": each.judgement.statistic,
                    "also": each.judgement.others,
                    "values": {
                        name: {part: json_number(x) for part, x in value._asdict().items()}
                        for name, value in each.values.items()
                    },
                }
                for each in self.heads
            ],
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
        """The report as terminal and page show it."""
        counts = f"{self.texts:,} texts, {self.tokens:,} tokens; 95 % intervals over texts"
        return head_grid(self.model, (counts, *self.notes), self.heads, self.examples)

    def show(self) -> None:
        """Print the kinds as a grid, and a line for each head, to the terminal."""
        from regard.viewing.terminal_grid import show

        show(self.grid())
