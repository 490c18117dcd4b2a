"""An explanation as a figure: the text shaded by the scores in front, and bars for every method."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes

from regard.errors import InputError
from regard.viewing.colors import Scale, palette
from regard.viewing.data.explanation import Attribution, Explanation
from regard.viewing.data.record import Record
from regard.viewing.data.summary import Heads
from regard.viewing.figure import style
from regard.viewing.figure.sheet import Sheet
from regard.viewing.figure.views import text_block
from regard.viewing.printable import headline

__all__ = ["attributions"]

_LISTED = 12  # words with bars
_WORDS = 400  # words of the text that are drawn; a longer text shows those around the strongest
_LINE = 0.17  # inches of a bar with its gap


def attributions(record: Record, heads: Heads, scale: Scale, sheet: Sheet) -> None:
    """Draw what counts for a label: the text, then the strongest words with a bar for each method."""
    explanation = record.explanation
    if explanation is None:
        raise InputError(
            "view='attributions' needs an explanation, and this record has none: it is of a model "
            "that gives no label, or of a selected map; try view='map'"
        )
    order = explanation.front.ranking()[:_LISTED]
    bars = _LINE * (len(order) + 2)
    sheet.open(sheet.width, 1.0)
    start = max(0, min(order[0] - _WORDS // 2, len(explanation.tokens) - _WORDS))
    shown = range(start, min(start + _WORDS, len(explanation.tokens)))
    tokens, levels = explanation.tokens.take(shown), explanation.front.levels[list(shown)]
    height = text_block(sheet, tokens, levels, below=bars + 0.3)
    _panels(sheet, explanation, order, bars)
    likely = [] if record.prediction is None else record.prediction.probabilities[:3]
    facts = [f"{label} {probability:.1%}" for label, probability in likely]
    cut = "" if len(tokens) == len(explanation.tokens) else f"{len(tokens)} of its words"
    facts += [
        f"shaded by {explanation.front.name}: blue for {explanation.label}, orange against",
        cut,
    ]
    said = " ".join(explanation.tokens.text.split()) == " ".join(record.title.split())
    title = f"{explanation.label} {explanation.probability:.1%}" if said else record.title
    sheet.heading(title, headline(facts), top=height + 0.05)


def _panels(sheet: Sheet, explanation: Explanation, order: list[int], tall: float) -> None:
    names = [explanation.tokens.pieces[i] for i in order]
    left = style.label_width(names, style.SMALL_SIZE) + 0.05
    methods = explanation.attributions
    each = (sheet.width - left - 0.1) / len(methods)
    for column, scores in enumerate(methods):
        axes = sheet.add_axes(left + column * each, 0.22, each - 0.25, tall - 0.2)
        _bars(axes, scores, order)
        labels = [style.label(name) for name in names] if column == 0 else []
        axes.set_yticks(range(len(labels)), labels)
        style.apply_to(axes)
        axes.tick_params(labelsize=style.SMALL_SIZE)


def _bars(axes: Axes, scores: Attribution, order: list[int]) -> None:
    """Horizontal bars on the method's own scale, with their numbers."""
    values = np.nan_to_num(scores.values[order], nan=0.0)
    colors = [palette("light", "for" if value >= 0 else "against")[150] / 255.0 for value in values]
    axes.barh(np.arange(len(order)), values, height=0.62, color=colors)
    low = -scores.full if scores.signed else 0.0
    axes.set(xlim=(1.25 * low, 1.25 * scores.full), ylim=(len(order) - 0.4, -0.6))
    axes.axvline(0, color=style.RULE_COLOR, lw=0.8)
    for place, (value, raw) in enumerate(zip(values, scores.values[order], strict=True)):
        number = f"{value:+.2f}" if scores.signed else f"{value:.1%}"
        axes.annotate(
            number.replace("-", "−") if np.isfinite(raw) else "not measured",
            (value, place),
            xytext=(3 if value >= 0 else -3, 0),
            textcoords="offset points",
            ha="left" if value >= 0 else "right",
            va="center",
            fontsize=style.SMALL_SIZE - 1,
            color=style.MUTED_COLOR,
        )
    axes.set_xticks([])
    axes.set_title(scores.name, fontsize=style.SMALL_SIZE, color=style.TEXT_COLOR, pad=3)
    axes.set_xlabel(scores.scale, fontsize=style.SMALL_SIZE - 1, color=style.MUTED_COLOR)
