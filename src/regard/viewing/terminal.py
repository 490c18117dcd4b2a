"""A record in the terminal: aligned tokens, shaded cells, arrows to the top keys.

Right in 80 columns, in truecolor, 256 colours and none; the widths of characters and the cutting
of text at graphemes are rich's, and a right-to-left token is fenced so that it cannot turn its line
round.
"""

from __future__ import annotations

import numpy as np
from rich.cells import cell_len, set_cell_size, split_graphemes
from rich.console import Console
from rich.text import Text

from regard.viewing.canvas import Canvas, fit, isolated, row_label
from regard.viewing.colors import Scale, Theme, shade, shade_text
from regard.viewing.data.record import Record, Track
from regard.viewing.data.summary import (
    FloatArray,
    Heads,
    MapSummary,
    block_edges,
    entropy,
    full_share,
    reduce_heads,
)
from regard.viewing.printable import headline, percent, printable
from regard.viewing.terminal_attributions import show_explanation, show_prediction

__all__ = ["show"]

_LABEL = 14  # the most cells a token gets beside its row
_HEADING = 7  # the most rows a token gets above its column
_ROWS = 48  # beyond this a map is shown in blocks


def show(
    record: Record,
    *,
    heads: Heads = "mean",
    scale: Scale = "linear",
    theme: Theme = "dark",
    console: Console | None = None,
) -> None:
    """Print a record: what counts for its answer, or else an overview of its maps and one in full.

    Args:
        record: select a map of several with `record.select(name, layer=...)`.
        heads: the mean or maximum over heads, or one head from 0; with another than the mean, the maps are
            shown instead of the explanation.
        scale: `"linear"`, `"log"` or `"row"` (each row relative to its largest weight).
        theme: of the terminal.
        console: where to print; `NO_COLOR` and pipes are respected by `rich`.
    """
    canvas = Canvas.of(console or Console(), theme)
    if record.title:
        canvas.prose(record.title, "bold")
    if record.prediction is not None:
        show_prediction(canvas, record.prediction)
    if record.explanation is not None and heads == "mean":
        show_explanation(canvas, record.explanation)
        members = max(track.members for track in record.tracks)
        if members > 1:
            canvas.prose(f"attention is the mean of member 1 to member {members}", "dim")
    else:
        _show_maps(canvas, record, heads, scale)
    for note in (*record.notes, record.attention_verdict()):
        if note:
            canvas.prose(note, "italic")


def _show_maps(canvas: Canvas, record: Record, heads: Heads, scale: Scale) -> None:
    """Print how sharply all maps look, and the featured one in full."""
    if len(record.tracks) > 1:
        _overview(canvas, record)
    track = record.featured()
    _headline(canvas, record, track, heads)
    if track.shape[0] == 1:
        _highlight(canvas, record, track, heads, scale)
    elif isinstance(track.weights, MapSummary) or max(track.shape) > _ROWS:
        _blocks(canvas, record, track, heads, scale)
    else:
        _matrix(canvas, record, track, heads, scale)


def _headline(canvas: Canvas, record: Record, track: Track, heads: Heads) -> None:
    over = _over(track, heads)
    queries, keys = track.shape
    size = f"{queries} queries × {keys} keys" if queries > 1 else f"{keys} keys"
    parts = [printable(track.label), over if track.heads > 1 else "", size]
    if track.direction != "both":
        parts.append(track.direction)
    canvas.prose(headline(parts), "dim")
    if record.reading and track.kind == "cross":
        canvas.prose(f"read {record.reading}", "dim")


def _over(track: Track, heads: Heads) -> str:
    """Say which heads a view is of: a reduction over all, or one."""
    if isinstance(heads, int):
        return track.head_name(heads)
    return f"{heads} of {track.heads} {track.parts}"


def _overview(canvas: Canvas, record: Record) -> None:
    """One line per layer with a bar per head: tall for attention on few keys, flat for uniform."""
    width = min(20, max(cell_len(printable(t.label)) for t in record.tracks))
    parts = {"members" if track.members > 1 else "heads" for track in record.tracks}
    each = "member" if parts == {"members"} else "head"
    canvas.prose(f"how sharply each {each} looks (tall: at one key, flat: at all alike)", "dim")
    for track in record.tracks:
        ceiling = np.log(max(2, track.shape[1]))
        focus = 1 - np.clip(track.entropy().mean(axis=1) / ceiling, 0, 1)
        signs = "".join(canvas.spark(level) for level in focus)
        canvas.line(row_label(track.label, width), "  ", signs)
    canvas.line("")


def _matrix(canvas: Canvas, record: Record, track: Track, heads: Heads, scale: Scale) -> None:
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
        canvas.line(row_label(piece, label), " ", cells, " ", height, _arrows(row, columns, after))
    _received(canvas, weights, cell, label)
    _legend(canvas, float(weights.max(initial=0.0)), len(columns), scale)
    if after < 12:
        canvas.line("")
        for piece, row in zip(rows, weights, strict=True):
            rest = canvas.console.width - label - 1
            canvas.line(row_label(piece, label), _arrows(row, columns, rest))


def _legend(canvas: Canvas, largest: float, keys: int, scale: Scale) -> None:
    """Say what the strongest shade stands for: maps of nearly equal weights are shaded all over."""
    full = "the largest of its row" if scale == "row" else f"{largest:.1%}"
    canvas.prose(f"strongest shade: {full}; an even share is {1 / keys:.1%}", "dim")


def _number(weight: float, width: int) -> str:
    """The percentage of a cell, if the cell is wide enough for a number."""
    return percent(weight).rjust(width) if width == 3 else " " * width


def _heading(canvas: Canvas, columns: tuple[str, ...], cell: int, label: int, after: str) -> None:
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
        canvas.line(" " * (label + 1), "".join(fit(sign, cell, right=True) for sign in signs), rest)


def _received(canvas: Canvas, weights: FloatArray, cell: int, label: int) -> None:
    """Print a bar under each column: the attention that its key received from all queries."""
    received = weights.sum(axis=0)
    levels = received / (len(weights) * full_share(received / len(weights)))
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
        name = name if cell_len(name) <= 16 else fit(name, 15).rstrip() + "…"
        start = " → " if rank == 0 else "  "
        width = cell_len(start) + cell_len(name) + 1 + len(number)
        if used + width > room:
            break
        text.append(start, style="dim")
        text.append(isolated(name), style="bold" if rank == 0 else "")
        text.append(f" {number}", style="dim")
        used += width
    return text


def _blocks(canvas: Canvas, record: Record, track: Track, heads: Heads, scale: Scale) -> None:
    """Print a map that is too large for one token a line: the largest weight of each block."""
    rows, columns = record.queries(track).pieces, record.keys(track).pieces
    label = min(17, canvas.console.width // 2)
    across = min(len(columns), max(1, (canvas.console.width - label - 3) // 2))
    _, peak = track.blocks(min(len(rows), across), across, heads=heads)
    levels = shade(peak, scale)
    down, across = peak.shape
    sizes = f"{-(-len(rows) // down)} queries x {-(-len(columns) // across)} keys"
    canvas.prose(f"each cell: the largest weight among about {sizes}", "dim")
    _legend(canvas, float(peak.max(initial=0.0)), len(columns), scale)
    spans = block_edges(len(rows), down)
    for start, row in zip(spans, levels, strict=True):
        name = f"{start + 1:>5} {printable(rows[start])}"
        canvas.line(
            row_label(name, label), " ", Text.assemble(*(canvas.cell("  ", x) for x in row))
        )
    ends = f"{1:<{across}}{len(columns):>{across}}"
    canvas.line(" " * (label + 1), Text(ends, style="dim"))


def _highlight(canvas: Canvas, record: Record, track: Track, heads: Heads, scale: Scale) -> None:
    """Print a text shaded by the weights of its single query, then the tokens of largest weight."""
    weights = _one_row(track, heads)
    levels = shade_text(weights, scale)
    pieces = [printable(piece) for piece in record.keys(track).pieces]
    text, marks, used = Text(), Text(), 0
    for piece, level in zip(pieces, levels, strict=True):
        piece = fit(piece, min(cell_len(piece), canvas.console.width - 2))
        width = cell_len(piece) + 1
        if used + width > canvas.console.width:
            _flush(canvas, text, marks)
            text, marks, used = Text(), Text(), 0
        text.append_text(
            canvas.cell(isolated(piece), level) if canvas.color else Text(isolated(piece))
        )
        text.append(" ")
        marks.append_text(canvas.cell(" " * cell_len(piece), level)).append(" ")
        used += width
    _flush(canvas, text, marks)
    canvas.line("")
    best = np.argsort(-weights, kind="stable")[:8]
    width = min(24, max(cell_len(pieces[i]) for i in best))
    room = min(32, canvas.console.width - width - 10)
    full = full_share(weights)
    for i in best:
        bar = "█" * round(room * float(weights[i]) / full)
        canvas.line(row_label(pieces[i], width), f" {100 * weights[i]:5.1f}% ", bar)
    canvas.prose(f"full bar: {full:.1%}; an even share is {1 / weights.size:.1%}", "dim")


def _flush(canvas: Canvas, text: Text, marks: Text) -> None:
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
