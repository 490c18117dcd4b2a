"""An explanation in the terminal: the text, shaded, and its words with a bar for each method."""

from __future__ import annotations

import numpy as np
from rich.cells import cell_len
from rich.text import Text

from regard.viewing.canvas import Canvas, fit, isolated, row_label
from regard.viewing.colors import Sign, palette
from regard.viewing.data.explanation import (
    Attribution,
    Explanation,
    Prediction,
    probability_after,
)
from regard.viewing.printable import headline, printable

__all__ = ["show_explanation", "show_prediction"]

_LISTED = 12  # words with their scores
_LABELS = 4  # labels with their probabilities
_TEXT = 2000  # words that are printed as text
_WORD = 16  # cells of a word in the list
_NARROWEST = 10  # cells of a method
_FULL = "full bar"  # heading of the last line
_BAR = 20  # cells of the longest bar
_BARS: dict[Sign, str] = {"for": "█", "against": "░"}


def show_prediction(canvas: Canvas, prediction: Prediction) -> None:
    """Print the labels with their probabilities, the most probable first."""
    likely = prediction.probabilities[:_LABELS]
    rest = len(prediction.probabilities) - len(likely)
    parts = [f"{printable(name)} {_percent(p)}" for name, p in likely]
    several = len(prediction.labels) != 1
    answer = ", ".join(map(printable, prediction.labels)) or "no label"
    canvas.prose(f"answer: {answer}" if several else f"answer: {parts[0]}", "bold")
    others = parts if several else parts[1:]
    canvas.prose(headline([*others, f"and {rest} more" if rest else ""]), "dim")


def show_explanation(canvas: Canvas, explanation: Explanation) -> None:
    """Print the text shaded by the scores in front, then the words that count most by every method."""
    front = explanation.front
    canvas.prose(f"{_name(front)}: {front.about}", "dim")
    _text(canvas, explanation)
    canvas.line("")
    _table(canvas, explanation)
    if any(scores.signed for scores in explanation.attributions):
        block = "" if canvas.color else f" {_BARS['for']} for, {_BARS['against']} against it;"
        blue = " blue for, orange against it;" if canvas.color else ""
        canvas.prose(f"{printable(explanation.label)}:{block}{blue} scores in log-odds", "dim")
    canvas.prose(explanation.reason, "dim")


def _text(canvas: Canvas, explanation: Explanation) -> None:
    """The text, each word on the shade of its score; without colour, the shades are below the words."""
    pieces, levels = explanation.tokens.pieces, explanation.front.levels
    words, marks, used = Text(), Text(), 0
    for piece, level in zip(pieces[:_TEXT], levels[:_TEXT], strict=True):
        shown = printable(piece)
        shown = fit(shown, min(cell_len(shown), canvas.console.width - 2))
        width = cell_len(shown) + 1
        if used + width > canvas.console.width:
            _flush(canvas, words, marks)
            words, marks, used = Text(), Text(), 0
        sign: Sign = "for" if level >= 0 else "against"
        colored = (
            canvas.cell(isolated(shown), abs(level), sign) if canvas.color else isolated(shown)
        )
        words.append_text(Text.assemble(colored)).append(" ")
        marks.append(_under(float(level), cell_len(shown))).append(" ")
        used += width
    _flush(canvas, words, marks)
    if len(pieces) > _TEXT:
        canvas.prose(f"… {len(pieces) - _TEXT} words more", "dim")


def _under(level: float, width: int) -> str:
    """Marks under a word: + for or - against, more of them for a larger score."""
    count = round(3 * abs(level))
    return (("+" if level > 0 else "-") * min(count, width)).ljust(width)


def _flush(canvas: Canvas, words: Text, marks: Text) -> None:
    canvas.line(words)
    if not canvas.color and marks.plain.strip():
        canvas.line(marks)


def _table(canvas: Canvas, explanation: Explanation) -> None:
    """The words that count most by the method in front, with a number and a bar for each method."""
    pieces = [printable(piece) for piece in explanation.tokens.pieces]
    best = explanation.front.ranking()[:_LISTED]
    width = min(_WORD, max(len(_FULL), *(cell_len(pieces[i]) for i in best)))
    count = max(1, (canvas.console.width - width) // _NARROWEST)
    methods = explanation.attributions[:count]  # a narrow terminal shows the one in front
    each = (canvas.console.width - width) // len(methods) - 2
    heads = [Text(fit(_heading(scores, each), each), style="dim") for scores in methods]
    canvas.line(" " * width, *(part for head in heads for part in ("  ", head)))
    for i in best:
        cells = [_cell(canvas, explanation, scores, i, each) for scores in methods]
        canvas.line(row_label(pieces[i], width), *(part for cell in cells for part in ("  ", cell)))
    ends = [Text(fit(_full(scores), each), style="dim") for scores in methods]
    canvas.line(fit(_FULL, width, right=True), *(p for end in ends for p in ("  ", end)))


def _cell(
    canvas: Canvas, explanation: Explanation, scores: Attribution, position: int, width: int
) -> Text:
    """A number and a bar; for leaving out, also the probability of the label without the word."""
    value, level = float(scores.values[position]), float(scores.levels[position])
    if np.isnan(value):
        return Text(fit("not measured", width), style="dim")
    number = _number(value, signed=scores.signed)
    if _says_probability(scores, width):
        number += f" → {_percent(probability_after(explanation.probability, value)):>6}"
    room = max(0, min(_BAR, width - len(number) - 1))
    sign: Sign = "for" if level >= 0 else "against"
    bar = _BARS["for" if canvas.color else sign] * round(room * abs(level))
    text = Text(number + " ").append(bar, style=_bar_style(canvas, sign))
    return text.append(" " * (width - cell_len(text.plain)))


def _bar_style(canvas: Canvas, sign: Sign) -> str:
    if not canvas.color:
        return ""
    color = canvas.supported(f"#{bytes(palette(canvas.theme, sign)[150]).hex()}")
    return color.name if color.triplet is None else color.triplet.hex


def _number(value: float, *, signed: bool) -> str:
    if not signed:
        return f"{value:6.1%}"
    if abs(value) < 0.005:
        return "  0.00"
    return f"{value:+6.2f}".replace("-", "−")


def _full(scores: Attribution) -> str:
    """What a full bar means, where there is room for a few signs."""
    if scores.signed:
        return f"{scores.full:6.2f}"
    return f"{scores.full:6.1%} ({1 / scores.values.size:.1%} even)"


def _name(scores: Attribution) -> str:
    return {"leave-one-out": "left out"}.get(scores.name, scores.name)


def _says_probability(scores: Attribution, width: int) -> bool:
    """Whether a cell has room for the probability without the word."""
    return scores.name == "leave-one-out" and width >= 20


def _heading(scores: Attribution, width: int) -> str:
    return _name(scores) + (" → then" if _says_probability(scores, width) else "")


def _percent(probability: float) -> str:
    """A probability as a percentage; near 0 and 1 with the digits that tell it from them.

    >>> _percent(0.5), _percent(0.9999), _percent(1e-7)
    ('50.0%', '99.99%', '0.00%')
    """
    return f"{probability:.1%}" if 0.001 < probability < 0.999 else f"{probability:.2%}"
