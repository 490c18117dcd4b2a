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
    reduce_heads,
)
from regard.viewing.printable import headline, is_right_to_left, percent, printable

__all__ = ["show"]

_LEFT_TO_RIGHT = "\u200e"  # mark of zero width that ends the effect of right-to-left text
_SHADES = " ░▒▓█"
_SPARKS = "▁▂▃▄▅▆▇█"
_ASCII = dict(zip("░▒▓█▁▂▃▄▅▆▇·×→…⋮", ".:*#1234567-x>~:", strict=True)) | {_LEFT_TO_RIGHT: ""}
_COLORS = {"256": ColorSystem.EIGHT_BIT, "truecolor": ColorSystem.TRUECOLOR}
_LABEL = 14  # the most cells a token gets beside its row
_HEADING = 7  # the most rows a token gets above its column
_ROWS = 48  # beyond this a map is shown in blocks


@dataclass(frozen=True)
class _Canvas:
    """A terminal with its abilities: colours, character set, theme."""

    console: Console
    color: bool
    ascii: bool
    theme: Theme

    def cell(self, text: str, level: float) -> Text:
        """Text on a shaded background; without colour, a block character shows the shade."""
        if self.color:
            background = palette(self.theme)[round(255 * float(level))]
            style = Style(
                color=self.supported(contrast(background)),
                bgcolor=self.supported(f"#{bytes(background).hex()}"),
            )
            return Text(text, style=style)
        sign = _SHADES[round(4 * float(level))]
        return Text(text.replace(" ", sign) if text.isspace() else sign + text[1:])

    def supported(self, color: str) -> Color:
        """The nearest colour that this terminal supports.

        rich keeps the codes of a style as the first console of the process wrote them, so a style
        must not be left for each console to reduce.
        """
        return Color.parse(color).downgrade(_COLORS[str(self.console.color_system)])

    def spark(self, level: float) -> str:
        """A bar one cell wide, for a level from 0 to 1."""
        return _SPARKS[min(7, int(level * 8))]

    def line(self, *parts: Text | str) -> None:
        """Print a line of a drawing, which must not be wrapped."""
        text = self.encodable(Text.assemble(*parts))
        self.console.print(text, no_wrap=True, overflow="ignore", crop=False)

    def prose(self, text: str, style: str) -> None:
        """Print a sentence, wrapped at the width of the terminal."""
        self.console.print(self.encodable(Text(printable(text), style=style)))

    def encodable(self, text: Text) -> Text:
        """Text in characters that this terminal can encode, of unchanged width."""
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
    canvas = _Canvas(console, color, console.options.ascii_only, theme)
    if record.title:
        canvas.prose(record.title, "bold")
    if len(record.tracks) > 1:
        _overview(canvas, record)
    track = featured(record)
    _headline(canvas, record, track, heads)
    if track.shape[0] == 1:
        _highlight(canvas, record, track, heads, scale)
    elif isinstance(track.weights, MapSummary) or max(track.shape) > _ROWS:
        _blocks(canvas, record, track, heads, scale)
    else:
        _matrix(canvas, record, track, heads, scale)
    for note in (*record.notes, record.verdict):
        if note:
            canvas.prose(note, "italic")


def featured(record: Record) -> Track:
    """The map to show first: the last cross-attention, else the last pooling, else the last."""
    for kind in ("cross", "pooling"):
        found = [track for track in record.tracks if track.kind == kind]
        if found:
            return found[-1]
    return record.tracks[-1]


def _headline(canvas: _Canvas, record: Record, track: Track, heads: Heads) -> None:
    over = f"{heads} of {track.heads} heads" if isinstance(heads, str) else f"head {heads + 1}"
    queries, keys = track.shape
    size = f"{queries} queries × {keys} keys" if queries > 1 else f"{keys} keys"
    parts = [printable(track.label), over if track.heads > 1 else "", size]
    if track.direction != "both":
        parts.append(track.direction)
    canvas.prose(headline(parts), "dim")
    if record.reading and track.kind == "cross":
        canvas.prose(f"read {record.reading}", "dim")


def _overview(canvas: _Canvas, record: Record) -> None:
    """One line per layer with a bar per head: tall for attention on few keys, flat for uniform."""
    width = min(20, max(cell_len(printable(t.label)) for t in record.tracks))
    canvas.prose("how sharply each head looks (tall: at one key, flat: at all alike)", "dim")
    for track in record.tracks:
        ceiling = np.log(max(2, track.shape[1]))
        focus = 1 - np.clip(track.entropy().mean(axis=1) / ceiling, 0, 1)
        signs = "".join(canvas.spark(level) for level in focus)
        canvas.line(_label(track.label, width), "  ", signs)
    canvas.line("")


def _matrix(canvas: _Canvas, record: Record, track: Track, heads: Heads, scale: Scale) -> None:
    """Print each query with its row of shaded cells, its entropy and its strongest keys."""
    weights = track.dense(heads)
    rows, columns = record.queries(track).pieces, record.keys(track).pieces
    label = max(8, min(_LABEL, max(cell_len(printable(p)) for p in rows)))
    room = canvas.console.width - label - 4
    cell = 3 if 3 * len(columns) <= room else 2 if 2 * len(columns) <= room else 1
    if cell * len(columns) > room:
        _blocks(canvas, record, track, heads, scale)
        return
    after = room - cell * len(columns)  # what is left at the end of a line
    _heading(
        canvas,
        columns,
        cell,
        label,
        " entropy, top keys" if after >= 18 else " entropy" if after >= 6 else " H",
    )
    levels = shade(weights, scale)
    entropies = entropy(weights)
    for piece, row, level, spread in zip(rows, weights, levels, entropies, strict=True):
        cells = Text.assemble(
            *(canvas.cell(_number(w, cell), x) for w, x in zip(row, level, strict=True))
        )
        height = canvas.spark(float(spread) / np.log(max(2, len(columns))))
        canvas.line(_label(piece, label), " ", cells, " ", height, _arrows(row, columns, after))
    _received(canvas, weights, cell, label)
    if after < 12:
        canvas.line("")
        for piece, row in zip(rows, weights, strict=True):
            rest = canvas.console.width - label - 1
            canvas.line(_label(piece, label), _arrows(row, columns, rest))


def _number(weight: float, width: int) -> str:
    """The percentage of a cell, if the cell is wide enough for a number."""
    return percent(weight).rjust(width) if width == 3 else " " * width


def _heading(canvas: _Canvas, columns: tuple[str, ...], cell: int, label: int, after: str) -> None:
    """Print the keys vertically above their columns, one grapheme a line."""
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
        canvas.line(
            " " * (label + 1), "".join(_fit(sign, cell, right=True) for sign in signs), rest
        )


def _received(canvas: _Canvas, weights: FloatArray, cell: int, label: int) -> None:
    """Print a bar under each column: the attention that its key received from all queries."""
    received = weights.sum(axis=0)
    levels = received / max(float(received.max()), 1e-30)
    bars = "".join(canvas.spark(level).rjust(cell) for level in levels)
    canvas.line(Text(set_cell_size("received", label), style="dim"), " ", bars)


def _arrows(row: FloatArray, columns: tuple[str, ...], room: int) -> Text:
    """The strongest keys of a row with their percentages, as many as fit."""
    text, used = Text(), 0
    for rank, key in enumerate(np.argsort(-row, kind="stable")[:4]):
        number = percent(float(row[key]))
        if number in ("", "·"):
            break
        name = printable(columns[key])
        name = name if cell_len(name) <= 16 else _fit(name, 15).rstrip() + "…"
        start = " → " if rank == 0 else "  "
        width = cell_len(start) + cell_len(name) + 1 + len(number)
        if used + width > room:
            break
        text.append(start, style="dim")
        text.append(_isolated(name), style="bold" if rank == 0 else "")
        text.append(f" {number}", style="dim")
        used += width
    return text


def _blocks(canvas: _Canvas, record: Record, track: Track, heads: Heads, scale: Scale) -> None:
    """Print a map that is too large for one token a line: the largest weight of each block."""
    rows, columns = record.queries(track).pieces, record.keys(track).pieces
    label = min(17, canvas.console.width // 2)
    across = min(len(columns), max(1, (canvas.console.width - label - 3) // 2))
    _, peak = track.blocks(min(len(rows), across), across, heads=heads)
    levels = shade(peak, scale)
    down, across = peak.shape
    sizes = f"{-(-len(rows) // down)} queries x {-(-len(columns) // across)} keys"
    canvas.prose(f"each cell: the largest weight among about {sizes}", "dim")
    spans = block_edges(len(rows), down)
    for start, row in zip(spans, levels, strict=True):
        name = f"{start + 1:>5} {printable(rows[start])}"
        canvas.line(_label(name, label), " ", Text.assemble(*(canvas.cell("  ", x) for x in row)))
    ends = f"{1:<{across}}{len(columns):>{across}}"
    canvas.line(" " * (label + 1), Text(ends, style="dim"))


def _highlight(canvas: _Canvas, record: Record, track: Track, heads: Heads, scale: Scale) -> None:
    """Print a text shaded by the weights of its single query, then the tokens of largest weight."""
    weights = _one_row(track, heads)
    levels = shade_text(weights, scale)
    pieces = [printable(piece) for piece in record.keys(track).pieces]
    text, marks, used = Text(), Text(), 0
    for piece, level in zip(pieces, levels, strict=True):
        piece = _fit(piece, min(cell_len(piece), canvas.console.width - 2))
        width = cell_len(piece) + 1
        if used + width > canvas.console.width:
            _flush(canvas, text, marks)
            text, marks, used = Text(), Text(), 0
        text.append_text(
            canvas.cell(_isolated(piece), level) if canvas.color else Text(_isolated(piece))
        )
        text.append(" ")
        marks.append_text(canvas.cell(" " * cell_len(piece), level)).append(" ")
        used += width
    _flush(canvas, text, marks)
    canvas.line("")
    best = np.argsort(-weights, kind="stable")[:8]
    width = min(24, max(cell_len(pieces[i]) for i in best))
    room = min(32, canvas.console.width - width - 10)
    for i in best:
        bar = "█" * round(room * float(weights[i]) / max(float(weights[best[0]]), 1e-30))
        canvas.line(_label(pieces[i], width), f" {100 * weights[i]:5.1f}% ", bar)


def _flush(canvas: _Canvas, text: Text, marks: Text) -> None:
    """Print a line of shaded text; without colour, the shades go on a line below."""
    canvas.line(text)
    if not canvas.color and marks.plain.strip():
        canvas.line(marks)


def _one_row(track: Track, heads: Heads) -> FloatArray:
    """The single row of a pooling map; from a summary, only its top keys are known."""
    if not isinstance(track.weights, MapSummary):
        return np.asarray(track.dense(heads)[0])
    values, keys = track.topk(32)
    row = np.zeros((track.heads, track.shape[1]), dtype=np.float32)
    np.put_along_axis(row, keys[:, 0], values[:, 0], axis=1)
    return reduce_heads(row, heads)


def _label(piece: str, width: int) -> Text:
    return Text(_fit(printable(piece), width, right=True))


def _fit(text: str, width: int, *, right: bool = False) -> str:
    """Text cut or padded to exactly `width` cells, cut between graphemes."""
    size = cell_len(text)
    if size > width:
        return _isolated(set_cell_size(text, width))
    pad = " " * (width - size)
    return pad + _isolated(text) if right else _isolated(text) + pad


def _isolated(text: str) -> str:
    return _LEFT_TO_RIGHT + text + _LEFT_TO_RIGHT if is_right_to_left(text) else text
