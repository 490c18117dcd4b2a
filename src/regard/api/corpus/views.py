"""Reports as grids for terminal and page."""

from __future__ import annotations

import math
from collections.abc import Sequence

from regard.api.corpus.head_result import HeadResult
from regard.evaluation.heads.rules import HeadKind, Value
from regard.viewing import AttentionRecord
from regard.viewing.data.grid import GridCell, GridFact, HeadGrid, LegendEntry

__all__ = ["head_grid"]

_MEANINGS: dict[HeadKind, tuple[str, str]] = {
    "sink": (
        "S",
        "at least half of its attention is on the first token and separators (no operation)",
    ),
    "previous": ("P", "looks at the token before"),
    "same": ("=", "looks at the token itself"),
    "next": ("N", "looks at the token after"),
    "induction": ("I", "looks at what followed the word when it occurred elsewhere"),
    "duplicate": ("D", "looks at other occurrences of the word"),
    "links": ("L", "looks at linked words more often than any fixed position would"),
    "punctuation": (".", "at least half of its attention is on punctuation"),
    "broad": ("B", "looks at nearly everything alike"),
    "mixed": ("-", "none of the rules holds"),
}

_COLUMNS = (
    "normalized entropy",
    "sink",
    "previous",
    "same",
    "next",
    "duplicate",
    "induction",
    "punctuation",
)


def head_grid(
    model: str,
    facts: tuple[str, ...],
    heads: Sequence[HeadResult],
    examples: Sequence[AttentionRecord],
) -> HeadGrid:
    """The grid of the heads of a model.

    Args:
        model: its name.
        facts: what was read, a sentence each.
        heads: results by site, layer and head.
        examples: attention on a few texts.
    """
    kinds = {head.kind for head in heads}
    return HeadGrid(
        title=f"Heads of {model}",
        facts=facts,
        legend=tuple(
            LegendEntry(kind, sign, meaning)
            for kind, (sign, meaning) in _MEANINGS.items()
            if kind in kinds
        ),
        cells=tuple(map(_cell, heads)),
        columns=_COLUMNS,
        beside="a uniform head",
        examples=tuple((record,) for record in examples),
    )


def _cell(head: HeadResult) -> GridCell:
    judged = head.judgement
    level = 0.0
    if judged.statistic:
        level = min(1.0, head.values[judged.statistic].mean)
    also = f"; also {', '.join(judged.others)}" if judged.others else ""
    return GridCell(
        head.site,
        head.layer,
        head.head,
        judged.kind,
        _MEANINGS[judged.kind][0],
        level,
        judged.sure,
        head.evidence + also,
        tuple(_fact(name, value) for name, value in head.values.items()),
        head.example,
    )


def _fact(name: str, value: Value) -> GridFact:
    """A statistic with its interval, and what a uniform head would have."""
    shown = name.replace("_", " ")
    digits = 1 if name == "distance" else 2
    interval = "" if math.isnan(value.low) else f"{value.low:.{digits}f} to {value.high:.{digits}f}"
    chance = "" if math.isnan(value.chance) else f"{value.chance:.2f}"
    is_share = name not in ("entropy", "distance")
    return GridFact(
        shown, f"{value.mean:.{digits}f}", interval, chance, value.mean if is_share else None
    )
