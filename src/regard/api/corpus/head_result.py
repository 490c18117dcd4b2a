"""What one head does over a corpus."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from regard.api.corpus.report_files import json_number
from regard.evaluation.heads.rules import HeadKind, Judgement, Value

__all__ = ["HeadResult"]


@dataclass(frozen=True)
class HeadResult:
    """What one head does over a corpus.

    Attributes:
        site: `"encoder"`, `"decoder"`, `"cross"` or `"pooling"`.
        layer: counted from 1.
        head: counted from 1; in an ensemble the heads of its members follow each other.
        values: statistics by name, each with its interval and what a uniform head would have.
        judgement: the kind of head, what speaks for it, and whether that is sure.
        example: index of the example that shows it; `None` without examples.
    """

    site: str
    layer: int
    head: int
    values: Mapping[str, Value]
    judgement: Judgement
    example: int | None = None

    @property
    def kind(self) -> HeadKind:
        """What the head does, as far as the rules know."""
        return self.judgement.kind

    @property
    def evidence(self) -> str:
        """The figure that its kind rests on, for a person.

        >>> values = {"previous": Value(0.91, 0.9, 0.92)}
        >>> HeadResult("encoder", 1, 1, values, Judgement("previous", "previous", True, ())).evidence
        'previous 0.91 [0.90, 0.92]'
        """
        name = self.judgement.statistic
        if not name:
            return ""
        value = self.values[name]
        interval = "" if math.isnan(value.low) else f" [{value.low:.2f}, {value.high:.2f}]"
        return f"{name.replace('_', ' ')} {value.mean:.2f}{interval}"

    def row(self) -> dict[str, Any]:
        """One row of a table: names, kind, and each statistic with its interval."""
        row: dict[str, Any] = {
            "site": self.site,
            "layer": self.layer,
            "head": self.head,
            "kind": self.kind,
            "sure": self.judgement.sure,
            "also": " ".join(self.judgement.others),
        }
        for name, value in self.values.items():
            row[name] = value.mean
            row[f"{name}_low"], row[f"{name}_high"] = map(json_number, (value.low, value.high))
            if not math.isnan(value.chance):
                row[f"{name}_chance"] = value.chance
        return row
