"""A record in the terminal: aligned tokens, shaded cells, arrows to the top keys.

Right in 80 columns, in truecolor, 256 colours and none; the widths of characters and the cutting
of text at graphemes are rich's, and a right-to-left token is fenced so that it cannot turn its line
round.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from rich.cells import cell_len, set_cell_size, split_graphemes
from rich.color import Color, ColorSystem
from rich.console import Console
from rich.style import Style
from rich.text import Text

from regard.viewing.colors import Scale, Theme, contrast, palette, shade, shade_text
from regard.viewing.data.record import Record, Track
from regard.viewing.data.summary import (
    FloatArray,
    Heads,
    MapSummary,
    block_edges,
    entropy,
    over_heads,
)
from regard.viewing.printable import headline, is_right_to_left, percent, printable

__all__ = ["show"]

_FENCE = "\u200e"  # a left-to-right mark: takes no room, ends the reach of right-to-left text
_SHADES = " ░▒▓█"
_SPARKS = "▁▂▃▄▅▆▇█"
_ASCII = dict(zip("░▒▓█▁▂▃▄▅▆▇·×→…⋮", ".:*#1234567-x>~:", strict=True)) | {_FENCE: ""}
_COLORS = {"256": ColorSystem.EIGHT_BIT, "truecolor": ColorSystem.TRUECOLOR}
_LABEL = 14  # the most cells a token gets beside its row
_HEADING = 7  # the most rows a token gets above its column
_ROWS = 48  # beyond this a map is shown in blocks


@dataclass(frozen=True)
class _Pen:
    """How this terminal can draw."""

    console: Console
    color: bool
    ascii: bool
    theme: Theme

    def cell(self, text: str, level: float) -> Text:
        """Text on a shade; without colour, a sign of the shade fills the blanks."""
        if self.color:
            paper = palette(self.theme)[round(255 * float(level))]
            style = Style(
                color=self.shown(contrast(paper)), bgcolor=self.shown(f"#{bytes(paper).hex()}")
            )
            return Text(text, style=style)
        ink = _SHADES[round(4 * float(level))]
        return Text(text.replace(" ", ink) if text.isspace() else ink + text[1:])

    def shown(self, color: str) -> Color:
        """A colour this terminal has.

        rich keeps the codes of a style as the first console of the process wrote them, so a style
        must not be left for each console to reduce.
        """
        return Color.parse(color).downgrade(_COLORS[str(self.console.color_system)])

    def spark(self, level: float) -> str:
        return _SPARKS[min(7, int(level * 8))]

    def line(self, *parts: Text | str) -> None:
        """A drawn line, which must not be wrapped."""
        text = self.known(Text.assemble(*parts))
        self.console.print(text, no_wrap=True, overflow="ignore", crop=False)

    def prose(self, text: str, style: str) -> None:
        """Words, wrapped where the terminal ends."""
        self.console.print(self.known(Text(printable(text), style=style)))

    def known(self, text: Text) -> Text:
        """Text in the characters this terminal has, as wide as before."""
        if not self.ascii:
            return text
        return Text(
            "".join(c if c.isascii() else _ASCII.get(c, "?" * cell_len(c)) for c in text.plain)
        )


def show(
    record: Record,
    *,
    heads: Heads = "mean",
    scale: Scale = "linear",
    theme: Theme = "dark",
    console: Console | None = None,
) -> None:
    """Print a record: an overview when it has several maps, then one of them in full.

    Args:
        record: select a map of several with `record.select(name, layer=...)`.
        heads: the mean or maximum over heads, or one head from 0.
        scale: `"linear"`, `"log"` or `"row"` (each row relative to its largest weight).
        theme: of the terminal.
        console: where to print; `NO_COLOR` and pipes are respected by `rich`.
    """
    console = console or Console()
    color = console.color_system in _COLORS and not console.no_color
    pen = _Pen(console, color, console.options.ascii_only, theme)
    if record.title:
        pen.prose(record.title, "bold")
    if len(record.tracks) > 1:
        _overview(pen, record)
    track = featured(record)
    _about(pen, record, track, heads)
    if track.shape[0] == 1:
        _highlight(pen, record, track, heads, scale)
    elif isinstance(track.weights, MapSummary) or max(track.shape) > _ROWS:
        _blocks(pen, record, track, heads, scale)
    else:
        _grid(pen, record, track, heads, scale)
    for note in (*record.notes, record.verdict):
        if note:
            pen.prose(note, "italic")


def featured(record: Record) -> Track:
    """The map to show first: the last cross-attention, else the last pooling, else the last."""
    for kind in ("cross", "pooling"):
        found = [track for track in record.tracks if track.kind == kind]
        if found:
            return found[-1]
    return record.tracks[-1]


def _about(pen: _Pen, record: Record, track: Track, heads: Heads) -> None:
    over = f"{heads} of {track.heads} heads" if isinstance(heads, str) else f"head {heads + 1}"
    queries, keys = track.shape
    size = f"{queries} queries × {keys} keys" if queries > 1 else f"{keys} keys"
    parts = [printable(track.label), over if track.heads > 1 else "", size]
    if track.direction != "both":
        parts.append(track.direction)
    pen.prose(headline(parts), "dim")
    if record.reading and track.kind == "cross":
        pen.prose(f"read {record.reading}", "dim")


def _overview(pen: _Pen, record: Record) -> None:
    """One line per layer: how sharply each head looks, one sign per head."""
    width = min(20, max(cell_len(printable(t.label)) for t in record.tracks))
    pen.prose("how sharply each head looks (tall: at one key, flat: at all alike)", "dim")
    for track in record.tracks:
        ceiling = np.log(max(2, track.shape[1]))
        focus = 1 - np.clip(track.entropy().mean(axis=1) / ceiling, 0, 1)
        signs = "".join(pen.spark(level) for level in focus)
        pen.line(_label(track.label, width), "  ", signs)
    pen.line("")


def _grid(pen: _Pen, record: Record, track: Track, heads: Heads, scale: Scale) -> None:
    """Every query beside its row of shaded cells and its strongest keys."""
    weights = track.dense(heads)
    rows, columns = record.queries(track).pieces, record.keys(track).pieces
    label = max(8, min(_LABEL, max(cell_len(printable(p)) for p in rows)))
    room = pen.console.width - label - 4
    cell = 3 if 3 * len(columns) <= room else 2 if 2 * len(columns) <= room else 1
    if cell * len(columns) > room:
        _blocks(pen, record, track, heads, scale)
        return
    after = room - cell * len(columns)  # what is left at the end of a line
    _heading(
        pen,
        columns,
        cell,
        label,
        " entropy, top keys" if after >= 18 else " entropy" if after >= 6 else " H",
    )
    levels = shade(weights, scale)
    entropies = entropy(weights)
    for piece, row, level, spread in zip(rows, weights, levels, entropies, strict=True):
        cells = Text.assemble(
            *(pen.cell(_number(w, cell), x) for w, x in zip(row, level, strict=True))
        )
        height = pen.spark(float(spread) / np.log(max(2, len(columns))))
        pen.line(_label(piece, label), " ", cells, " ", height, _arrows(row, columns, after))
    _received(pen, weights, cell, label)
    if after < 12:
        pen.line("")
        for piece, row in zip(rows, weights, strict=True):
            rest = pen.console.width - label - 1
            pen.line(_label(piece, label), _arrows(row, columns, rest))


def _number(weight: float, width: int) -> str:
    """The percentage of a cell, where a cell is wide enough to be read."""
    return percent(weight).rjust(width) if width == 3 else " " * width


def _heading(pen: _Pen, columns: tuple[str, ...], cell: int, label: int, after: str) -> None:
    """The keys, each written downwards above its column, one grapheme a line."""
    stacks = []
    for piece in columns:
        text = printable(piece)
        signs = [text[a:b] for a, b, width in split_graphemes(text)[0] if width <= cell]
        if len(signs) > _HEADING:
            signs = [*signs[: _HEADING - 1], "⋮"]
        stacks.append(signs)
    height = max(map(len, stacks))
    for line in range(height):
        signs = [s[line - height + len(s)] if line >= height - len(s) else "" for s in stacks]
        rest = Text(after if line == height - 1 else "", style="dim")
        pen.line(" " * (label + 1), "".join(_fit(sign, cell, right=True) for sign in signs), rest)


def _received(pen: _Pen, weights: FloatArray, cell: int, label: int) -> None:
    """Under each column, how much its key received in all."""
    received = weights.sum(axis=0)
    levels = received / max(float(received.max()), 1e-30)
    bars = "".join(pen.spark(level).rjust(cell) for level in levels)
    pen.line(Text(set_cell_size("received", label), style="dim"), " ", bars)


def _arrows(row: FloatArray, columns: tuple[str, ...], room: int) -> Text:
    """The strongest keys of a row, as many as fit."""
    text, used = Text(), 0
    for rank, key in enumerate(np.argsort(-row, kind="stable")[:4]):
        number = percent(row[key])
        if number in ("", "·"):
            break
        name = printable(columns[key])
        name = name if cell_len(name) <= 16 else _fit(name, 15).rstrip() + "…"
        start = " → " if rank == 0 else "  "
        width = cell_len(start) + cell_len(name) + 1 + len(number)
        if used + width > room:
            break
        text.append(start, style="dim")
        text.append(_fenced(name), style="bold" if rank == 0 else "")
        text.append(f" {number}", style="dim")
        used += width
    return text


def _blocks(pen: _Pen, record: Record, track: Track, heads: Heads, scale: Scale) -> None:
    """A map too large for one token a line: the largest weight of each block."""
    rows, columns = record.queries(track).pieces, record.keys(track).pieces
    label = min(17, pen.console.width // 2)
    across = min(len(columns), max(1, (pen.console.width - label - 3) // 2))
    _, peak = track.blocks(min(len(rows), across), across, heads=heads)
    levels = shade(peak, scale)
    down, across = peak.shape
    sizes = f"{-(-len(rows) // down)} queries x {-(-len(columns) // across)} keys"
    pen.prose(f"each cell: the largest weight among about {sizes}", "dim")
    spans = block_edges(len(rows), down)
    for start, row in zip(spans, levels, strict=True):
        name = f"{start + 1:>5} {printable(rows[start])}"
        pen.line(_label(name, label), " ", Text.assemble(*(pen.cell("  ", x) for x in row)))
    ends = f"{1:<{across}}{len(columns):>{across}}"
    pen.line(" " * (label + 1), Text(ends, style="dim"))


def _highlight(pen: _Pen, record: Record, track: Track, heads: Heads, scale: Scale) -> None:
    """One reader over a text: the text itself, shaded, then the tokens that count most."""
    weights = _one_row(track, heads)
    levels = shade_text(weights, scale)
    pieces = [printable(piece) for piece in record.keys(track).pieces]
    text, marks, used = Text(), Text(), 0
    for piece, level in zip(pieces, levels, strict=True):
        piece = _fit(piece, min(cell_len(piece), pen.console.width - 2))
        width = cell_len(piece) + 1
        if used + width > pen.console.width:
            _flush(pen, text, marks)
            text, marks, used = Text(), Text(), 0
        text.append_text(pen.cell(_fenced(piece), level) if pen.color else Text(_fenced(piece)))
        text.append(" ")
        marks.append_text(pen.cell(" " * cell_len(piece), level)).append(" ")
        used += width
    _flush(pen, text, marks)
    pen.line("")
    best = np.argsort(-weights, kind="stable")[:8]
    width = min(24, max(cell_len(pieces[i]) for i in best))
    room = min(32, pen.console.width - width - 10)
    for i in best:
        bar = "█" * round(room * weights[i] / max(weights[best[0]], 1e-30))
        pen.line(_label(pieces[i], width), f" {100 * weights[i]:5.1f}% ", bar)


def _flush(pen: _Pen, text: Text, marks: Text) -> None:
    """A line of shaded text; where there is no colour, its shades on a line below."""
    pen.line(text)
    if not pen.color and marks.plain.strip():
        pen.line(marks)


def _one_row(track: Track, heads: Heads) -> FloatArray:
    """The only row of a pooling map; of a summary, what its top keys hold."""
    if not isinstance(track.weights, MapSummary):
        return np.asarray(track.dense(heads)[0])
    values, keys = track.topk(32)
    row = np.zeros((track.heads, track.shape[1]), dtype=np.float32)
    np.put_along_axis(row, keys[:, 0], values[:, 0], axis=1)
    return over_heads(row, heads)


def _label(piece: str, width: int) -> Text:
    return Text(_fit(printable(piece), width, right=True))


def _fit(text: str, width: int, *, right: bool = False) -> str:
    """Text in exactly `width` cells, cut at a grapheme."""
    size = cell_len(text)
    if size > width:
        return _fenced(set_cell_size(text, width))
    pad = " " * (width - size)
    return pad + _fenced(text) if right else _fenced(text) + pad


def _fenced(text: str) -> str:
    return _FENCE + text + _FENCE if is_right_to_left(text) else text
