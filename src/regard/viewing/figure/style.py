"""Shared style of all figures: sizes, colours, labels that never touch."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.text import Text
from numpy.typing import NDArray

from regard.viewing.colors import palette
from regard.viewing.data.record import Record, Track
from regard.viewing.data.summary import Heads
from regard.viewing.figure.fonts import families
from regard.viewing.printable import headline, printable

__all__ = [
    "BODY_SIZE",
    "FOOTNOTE",
    "MUTED_COLOR",
    "RULE_COLOR",
    "SMALL_SIZE",
    "TEXT_COLOR",
    "colormap",
    "footnote_lines",
    "heading_lines",
    "label",
    "new_figure",
]

TEXT_COLOR, MUTED_COLOR, RULE_COLOR = "#1a1d29", "#5a6072", "#d5d9e3"
BODY_SIZE, SMALL_SIZE = 8.0, 7.0  # points, at the width of a paper's page
PAGE_WIDTH = 6.5  # inches of text width
_MAX_UNNUMBERED = 40  # tokens beyond which their labels carry numbers
_MAX_LABEL = 22  # characters of a token before it is cut
FOOTNOTE: dict[str, Any] = {
    "color": TEXT_COLOR,
    "fontsize": SMALL_SIZE,
    "style": "italic",
    "va": "top",
}


def colormap() -> ListedColormap:
    """The colour scale of every view as a matplotlib colormap."""
    return ListedColormap(palette("light") / 255.0, name="regard")


def label(piece: str) -> str:
    """A token as a label: cut to a length, and no formula, which a dollar sign would begin."""
    text = printable(piece)
    text = text if len(text) <= _MAX_LABEL else text[: _MAX_LABEL - 1] + "…"
    return text.replace("$", r"\$")


def new_figure(width: float, height: float) -> Figure:
    """An empty figure, sized in inches, with a canvas of its own and no global state."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def apply_to(axes: Axes) -> None:
    """Remove the frame and the tick marks of axes, and set their fonts."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, pad=3, labelsize=BODY_SIZE, labelcolor=TEXT_COLOR)
    set_family([*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label])


def set_family(texts: Sequence[Text]) -> None:
    """Set fonts on texts that have their characters."""
    for text in texts:
        text.set_fontfamily(families(text.get_text()))


def heading_lines(title: str, facts: str, width: float) -> list[tuple[str, dict[str, Any]]]:
    """Lines of a heading with their look: the title, and a grey line of facts.

    A title may be a whole input text, so it is wrapped to the width of a page, or of a wider picture, and
    cut to three lines.
    """
    width = max(width, PAGE_WIDTH)
    heading = _wrapped(title, BODY_SIZE + 1.5, width, max_lines=3, placeholder=" …")
    bold = {"color": TEXT_COLOR, "fontsize": BODY_SIZE + 1.5, "fontweight": "bold"}
    lines = [(label_line(line), bold) for line in heading if line]
    if facts:
        lines.append((label_line(facts), {"color": MUTED_COLOR, "fontsize": SMALL_SIZE}))
    return lines


def footnote_lines(text: str, width: float) -> str:
    """Sentences wrapped to a width, one text of several lines."""
    return "\n".join(label_line(line) for line in _wrapped(text, SMALL_SIZE, width))


def _wrapped(text: str, size: float, inches: float, **limits: Any) -> list[str]:
    """Text wrapped to lines of at most `inches`, estimated from the width of an average letter."""
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in text)
    bold = 1.15 if size > BODY_SIZE else 1.0
    letter = (1.0 if wide else 0.53) * bold * size / 72
    return wrap(text, int(inches / letter), **limits)


def label_line(text: str) -> str:
    """A line of text, and no formula."""
    return printable(text).replace("$", r"\$")


def describe(record: Record, track: Track, heads: Heads | None) -> str:
    """One line about a map: layer, heads, direction, reading."""
    over = f"{heads} of {track.heads} {track.parts}" if isinstance(heads, str) else ""
    if isinstance(heads, int):
        count = track.members if track.parts == "members" else track.heads // track.members
        over = f"{track.head_name(heads)} of {count}"
    reading = f"read {record.reading}" if record.reading and track.kind == "cross" else ""
    direction = "" if track.direction == "both" else track.direction
    return headline([track.label, over if track.heads > 1 else "", direction, reading])


def label_positions(count: int, inches: float, *, size: float = BODY_SIZE) -> NDArray[np.int64]:
    """Positions whose labels, at this font size along `inches`, never touch."""
    room = max(2, int(inches * 72 / (size * 1.3)))
    return np.arange(0, count, max(1, -(-count // room)))


def label_tokens(
    axes: Axes, pieces: Sequence[str], *, side: str, inches: float, size: float = BODY_SIZE
) -> None:
    """Label the tokens along one side; every n-th where all would touch."""
    ticks = [int(i) for i in label_positions(len(pieces), inches, size=size)]
    few = len(pieces) <= _MAX_UNNUMBERED
    names = [label(pieces[i]) if few else f"{i + 1} {label(pieces[i])}" for i in ticks]
    if side == "left":
        axes.set_yticks(ticks, names, fontsize=size)
    else:
        axes.xaxis.tick_top()
        axes.set_xticks(ticks, names, fontsize=size, rotation=90)


def label_width(pieces: Sequence[str], size: float = BODY_SIZE) -> float:
    """Inches that the longest label takes, with its number in front if labels are numbered."""
    number = "" if len(pieces) <= _MAX_UNNUMBERED else f"{len(pieces)} "
    likely = sorted((label(piece) for piece in pieces), key=len)[-8:]
    figure = new_figure(1, 1)
    drawn = [figure.text(0, 0, number + name, fontsize=size) for name in likely]
    set_family(drawn)
    return max(text.get_window_extent().width for text in drawn) / float(figure.dpi) + 0.08
