"""What every figure shares: sizes, colours, fonts that have the glyphs, labels that never touch."""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from functools import cache
from textwrap import wrap
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import ListedColormap
from matplotlib.figure import Figure
from matplotlib.font_manager import FontProperties, fontManager, get_font
from matplotlib.text import Text
from numpy.typing import NDArray

from regard.viewing.colors import palette
from regard.viewing.data.record import Record, Track
from regard.viewing.data.summary import Heads
from regard.viewing.printable import headline, printable

__all__ = [
    "BODY",
    "INK",
    "MUTED",
    "RULE",
    "SMALL",
    "blank",
    "caption",
    "colormap",
    "footnote",
    "label",
]

INK, MUTED, RULE = "#1a1d29", "#5a6072", "#d5d9e3"
BODY, SMALL = 8.0, 7.0  # points, at the width of a paper's page
PAGE = 6.5  # inches of text width
_COUNTED = 40  # tokens beyond which their labels carry numbers
_CLIP = 22  # characters of a token before it is cut
_FAMILIES = (
    "DejaVu Sans",
    "Noto Sans CJK SC",
    "Noto Sans CJK JP",
    "Noto Sans SC",
    "Noto Sans JP",
    "Source Han Sans SC",
    "WenQuanYi Micro Hei",
    "WenQuanYi Zen Hei",
    "PingFang SC",
    "Hiragino Sans",
    "Microsoft YaHei",
    "Yu Gothic",
    "Malgun Gothic",
    "Noto Sans",
    "Noto Sans Arabic",
    "Noto Sans Hebrew",
    "Noto Sans Devanagari",
    "Noto Sans Thai",
    "Arial Unicode MS",
    "Unifont",
)


def colormap() -> ListedColormap:
    """The scale of every view, as matplotlib wants it."""
    return ListedColormap(palette("light") / 255.0, name="regard")


@cache
def families() -> tuple[str, ...]:
    """The fonts of this machine, in the order glyphs are looked for."""
    installed = {font.name for font in fontManager.ttflist}
    return tuple(name for name in _FAMILIES if name in installed)


@cache
def _glyphs() -> frozenset[int]:
    paths = (fontManager.findfont(FontProperties(family=name)) for name in families())
    return frozenset(code for path in paths for code in get_font(path).get_charmap())


def label(piece: str) -> str:
    """A token as matplotlib can draw it: cut to a length, boxes where no font has the character.

    A dollar sign is escaped, since it would begin a formula.
    """
    text = printable(piece)
    text = text if len(text) <= _CLIP else text[: _CLIP - 1] + "…"
    drawn = "".join(
        c if ord(c) in _glyphs() else "▯" for c in text if c not in "\u200c\u200d\ufe0f"
    )
    return drawn.replace("$", r"\$")


def blank(width: float, height: float) -> Figure:
    """An empty figure of inches, with its own canvas and no global state."""
    figure = Figure(figsize=(width, height), facecolor="white")
    FigureCanvasAgg(figure)
    return figure


def style(axes: Axes) -> None:
    """Quiet axes: no frame, small ticks."""
    for spine in axes.spines.values():
        spine.set_visible(False)
    axes.tick_params(length=0, pad=3, labelsize=BODY, labelcolor=INK)
    set_family([*axes.get_xticklabels(), *axes.get_yticklabels(), axes.xaxis.label])


def set_family(texts: Sequence[Text]) -> None:
    """Give texts the fonts of this machine."""
    for text in texts:
        text.set_fontfamily(list(families()))


def caption(figure: Figure, title: str, facts: str, *, left: float, top: float) -> None:
    """A heading: the title, and in grey what is shown; `top` in inches from below.

    A title may be the whole text that was read: it gets the width of a page, and three lines.
    """
    height = figure.get_figheight()
    x = left / figure.get_figwidth()
    heading = _wrapped(title, BODY + 1.5, PAGE, max_lines=3, placeholder=" …")
    lines = [(line, INK, BODY + 1.5, "bold") for line in heading]
    y = top
    for text, color, size, weight in reversed([*lines, (facts, MUTED, SMALL, "normal")]):
        if text:
            drawn = figure.text(
                x, y / height, label_line(text), color=color, fontsize=size, fontweight=weight
            )
            drawn.set_fontfamily(list(families()))
            y += size * 1.6 / 72


def footnote(figure: Figure, text: str) -> None:
    """Sentences below everything else, wrapped to the width of the figure (or the least readable).

    They stand outside the figure's own box; saving with `bbox_inches="tight"` includes them.
    """
    width = max(figure.get_figwidth(), 0.6 * PAGE)
    lines = "\n".join(label_line(line) for line in _wrapped(text, SMALL, width))
    x, y = 0.05 / figure.get_figwidth(), -0.04 / figure.get_figheight()
    drawn = figure.text(x, y, lines, color=INK, fontsize=SMALL, style="italic", va="top")
    drawn.set_fontfamily(list(families()))


def _wrapped(text: str, size: float, inches: float, **limits: Any) -> list[str]:
    """Lines of at most so many inches, by the width of a usual letter of their kind."""
    wide = any(unicodedata.east_asian_width(character) in "WF" for character in text)
    bold = 1.15 if size > BODY else 1.0
    letter = (1.0 if wide else 0.53) * bold * size / 72
    return wrap(text, int(inches / letter), **limits)


def label_line(text: str) -> str:
    """A whole line of words, drawn with the characters there are."""
    drawn = "".join(c if ord(c) in _glyphs() else "▯" for c in printable(text))
    return drawn.replace("$", r"\$")


def facts(record: Record, track: Track, heads: Heads | None) -> str:
    """What is shown, in one line."""
    over = f"{heads} of {track.heads} heads" if isinstance(heads, str) else ""
    if isinstance(heads, int):
        over = f"head {heads + 1} of {track.heads}"
    reading = f"read {record.reading}" if record.reading and track.kind == "cross" else ""
    direction = "" if track.direction == "both" else track.direction
    return headline([track.label, over if track.heads > 1 else "", direction, reading])


def thinned(count: int, inches: float, *, size: float = BODY) -> NDArray[np.int64]:
    """Positions to label so that labels of this font size, across `inches`, never touch."""
    room = max(2, int(inches * 72 / (size * 1.3)))
    return np.arange(0, count, max(1, -(-count // room)))


def tokens_along(
    axes: Axes, pieces: Sequence[str], *, side: str, inches: float, size: float = BODY
) -> None:
    """Token labels along one side; when there are too many, every n-th."""
    ticks = thinned(len(pieces), inches, size=size)
    few = len(pieces) <= _COUNTED
    names = [label(pieces[i]) if few else f"{i + 1} {label(pieces[i])}" for i in ticks]
    if side == "left":
        axes.set_yticks(ticks, names, fontsize=size)
    else:
        axes.xaxis.tick_top()
        axes.set_xticks(ticks, names, fontsize=size, rotation=90)


def longest(pieces: Sequence[str], size: float = BODY) -> float:
    """How many inches the longest label takes, with its number in front if there are many."""
    number = "" if len(pieces) <= _COUNTED else f"{len(pieces)} "
    likely = sorted((label(piece) for piece in pieces), key=len)[-8:]
    figure = blank(1, 1)
    drawn = [figure.text(0, 0, number + name, fontsize=size) for name in likely]
    set_family(drawn)
    return max(text.get_window_extent().width for text in drawn) / float(figure.dpi) + 0.08
