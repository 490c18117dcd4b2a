"""Views of a record as figures: map, head grid, layer overview, alignment, highlighted text."""

from __future__ import annotations

from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import PathPatch
from matplotlib.path import Path
from matplotlib.text import Text

from regard.errors import InputError
from regard.viewing.colors import DECADES, Scale, contrast, palette, shade, shade_text
from regard.viewing.data.record import Record, Track
from regard.viewing.data.summary import (
    FloatArray,
    Heads,
    MapSummary,
    full_share,
    reduce_heads,
    topk,
)
from regard.viewing.data.tokens import Tokens
from regard.viewing.figure import style
from regard.viewing.figure.sheet import Sheet
from regard.viewing.printable import begins_right_to_left, headline

__all__ = [
    "alignment",
    "attention_map",
    "head_grid",
    "highlight",
    "layer_overview",
    "text_block",
]

_CELL = 0.19  # inches a token gets while there is room
_THUMBNAIL = 0.62  # inches of a small map
_LINED = 4.0  # points of the smallest cell that is parted from others by a line
_FINEST = 1.5  # points of the smallest cell that shows


def attention_map(record: Record, heads: Heads, scale: Scale, sheet: Sheet) -> None:
    """Draw one map with labelled tokens: queries down, keys across."""
    track = _single_track(record)
    rows, columns = record.queries(track).pieces, record.keys(track).pieces
    left, above = style.label_width(rows), style.label_width(columns)
    natural = (_CELL * len(columns), _CELL * len(rows))
    wide, tall = sheet.fit(natural, left=left, right=0.6, above=above)
    sheet.open(left + wide + 0.6, tall + above + 0.05)
    axes = sheet.add_axes(left, 0.05, wide, tall)
    grid, note = _cells(track, heads, tall, wide)
    mesh = _draw_cells(axes, grid, scale, track, inches=(tall, wide))
    style.label_tokens(axes, rows, side="left", inches=tall)
    style.label_tokens(axes, columns, side="top", inches=wide)
    style.apply_to(axes)
    axes.annotate(
        "keys →\nqueries ↓",
        (0, 1),
        xytext=(-5, 4),
        xycoords="axes fraction",
        textcoords="offset points",
        ha="right",
        fontsize=style.SMALL_SIZE - 1,
        color=style.MUTED_COLOR,
    )
    bar = sheet.add_axes(left + wide + 0.12, 0.05 + max(0, tall - 1.4), 0.09, min(tall, 1.4))
    _legend(sheet, bar, mesh, scale, float(grid.max(initial=0.0)))
    facts = headline([style.describe(record, track, heads), note])
    sheet.heading(record.title, facts, top=0.05 + tall + above + 0.08)


def head_grid(record: Record, heads: Heads, scale: Scale, sheet: Sheet) -> None:
    """Draw all heads of one layer side by side, on one colour scale."""
    track = _single_track(record)
    rows, columns = record.queries(track).pieces, record.keys(track).pieces
    across = min(4, track.heads)
    down = -(-track.heads // across)
    left, above, gap = (
        style.label_width(rows, style.SMALL_SIZE),
        style.label_width(columns, style.SMALL_SIZE),
        0.24,
    )
    side = max(0.2, (sheet.width - left - 0.6) / across - 0.1)
    tall = float(np.clip(side * track.shape[0] / track.shape[1], side / 2, side * 2))
    tall = max(0.2, min(tall, (sheet.height - above) / down - gap))
    height = down * (tall + gap) + above
    sheet.open(sheet.width, height)
    grids = np.stack([_cells(track, head, tall, side)[0] for head in range(track.heads)])
    peak = float(grids.max(initial=0.0))
    mesh: Any = None  # every map has the scale of the last
    for head, grid in enumerate(grids):
        row, column = divmod(head, across)
        x, y = left + column * (side + 0.1), height - above - row * (tall + gap) - tall
        axes = sheet.add_axes(x, y, side, tall)
        mesh = _draw_cells(axes, grid, scale, track, inches=(tall, side), peak=peak)
        axes.set_xlabel(
            track.head_name(head), fontsize=style.SMALL_SIZE, color=style.MUTED_COLOR, labelpad=3
        )
        axes.set_xticks([])
        axes.set_yticks([])
        if row == 0:
            style.label_tokens(axes, columns, side="top", inches=side, size=style.SMALL_SIZE)
        if column == 0:
            style.label_tokens(axes, rows, side="left", inches=tall, size=style.SMALL_SIZE)
        style.apply_to(axes)
        axes.tick_params(labelsize=style.SMALL_SIZE)
    bar = sheet.add_axes(left + across * (side + 0.1) + 0.02, height - above - tall, 0.09, tall)
    _legend(sheet, bar, mesh, scale, peak)
    facts = headline([style.describe(record, track, None), _cells(track, 0, tall, side)[1]])
    sheet.heading(record.title, facts, top=height + 0.08)


def layer_overview(record: Record, heads: Heads, scale: Scale, sheet: Sheet) -> None:
    """Draw every layer (down) and head (across) as a small map on a colour scale of its own."""
    tracks, most = record.tracks, max(track.heads for track in record.tracks)
    pixels, gap = 48, 6
    mosaic = np.full(
        (len(tracks) * (pixels + gap) - gap, most * (pixels + gap) - gap), np.nan, dtype=np.float32
    )
    for row, track in enumerate(tracks):
        for head in range(track.heads):
            _, peak = track.blocks(pixels, pixels, heads=head)
            small = shade(_upsampled(peak, pixels), scale)
            y, x = row * (pixels + gap), head * (pixels + gap)
            mosaic[y : y + pixels, x : x + pixels] = small
    left = style.label_width([track.label for track in tracks])
    natural = (_THUMBNAIL * most, _THUMBNAIL * len(tracks))
    wide, tall = sheet.fit(natural, left=left, right=0.1, above=0.25)
    if wide < natural[0]:
        tall = min(tall, len(tracks) * wide / most)
    sheet.open(left + wide + 0.1, tall + 0.25)
    axes = sheet.add_axes(left, 0.05, wide, tall)
    axes.imshow(mosaic, cmap=style.colormap(), vmin=0, vmax=1, interpolation="none", aspect="auto")
    middle = pixels / 2 - 0.5
    axes.set_yticks(
        np.arange(len(tracks)) * (pixels + gap) + middle, [style.label(t.label) for t in tracks]
    )
    axes.xaxis.tick_top()
    widest = max(tracks, key=lambda track: track.heads)
    names = [_short_name(widest, head) for head in range(most)]
    axes.set_xticks(np.arange(most) * (pixels + gap) + middle, names)
    style.apply_to(axes)
    across = "heads" if widest.members == 1 else "members"
    facts = f"largest weight per block, each map on its own scale · {across} across, layers down"
    sheet.heading(record.title, facts, top=tall + 0.32)


def alignment(record: Record, heads: Heads, scale: Scale, sheet: Sheet) -> None:
    """Draw lines from every query to its strongest keys, thicker for larger weights."""
    track = _single_track(record)
    weights = track.dense(heads)
    rows, columns = record.queries(track).pieces, record.keys(track).pieces
    most = max(len(rows), len(columns))
    left, right = style.label_width(rows), style.label_width(columns)
    middle, tall = sheet.fit((2.2, most * 0.2), left=left, right=right, above=0.05)
    tall = max(tall, min(most * 0.2, sheet.height - 0.05))
    sheet.open(left + middle + right, tall + 0.05)
    axes = sheet.add_axes(left, 0.05, middle, tall)
    axes.set(xlim=(0, 1), ylim=(1, 0))
    levels = shade(weights, scale)
    values, keys = topk(weights, 3)
    thin = min(1.0, tall * 72 / most / 8)  # lines of crowded words would cover each other
    for query in np.argsort(values[:, 0], kind="stable"):  # the strongest lines on top
        for key in keys[query][::-1]:
            if weights[query, key] >= 0.05:
                ends = (query + 0.5) / len(rows), (key + 0.5) / len(columns)
                _line(axes, *ends, float(levels[query, key]), thin)
    _column(axes, rows, x=-0.03, align="right", inches=tall)
    _column(axes, columns, x=1.03, align="left", inches=tall)
    axes.set_axis_off()
    facts = headline([style.describe(record, track, heads), "top 3 keys of at least 0.05"])
    sheet.heading(record.title, facts, top=tall + 0.15)


def highlight(record: Record, heads: Heads, scale: Scale, sheet: Sheet) -> None:
    """Draw the text that a single query attends to, each token shaded by its weight."""
    track = _single_track(record)
    if track.shape[0] != 1:
        raise InputError(
            f"track {track.label!r} has {track.shape[0]} queries; a highlighted text needs one; "
            "try view='map'"
        )
    weights = _reader_row(track, heads)
    sheet.open(sheet.width, 1.0)
    height = text_block(sheet, record.keys(track), shade_text(weights, scale))
    facts = [
        style.describe(record, track, heads),
        f"largest {weights.max():.3g}, even share {1 / weights.size:.3g}, "
        f"darkest shade {full_share(weights):.3g}",
    ]
    sheet.heading(record.title, headline(facts), top=height + 0.05)


def text_block(sheet: Sheet, tokens: Tokens, levels: FloatArray, *, below: float = 0.0) -> float:
    """Draw a text in lines, each token on its shade, and give the sheet its height; returns the height.

    Shades below 0 are those of scores that speak against a label; `below` is left free under the text.
    """
    size, line = style.BODY_SIZE + 1, 0.21
    words = [_word(sheet, p, level, size) for p, level in zip(tokens.pieces, levels, strict=True)]
    widths = [word.get_window_extent().width / sheet.dpi for word in words]
    mirrored = begins_right_to_left(tokens.text)
    x, y, positions = 0.08, 0.0, []
    for width in widths:
        if x + width > sheet.width - 0.08:
            x, y = 0.08, y + line
        positions.append((sheet.width - x - width if mirrored else x, y))
        x += width + 0.085
    last = sheet.lowest_line(y + line + 0.05 + below) - line - below
    kept = [place for place in positions if place[1] <= last + 1e-9]
    for word in words[len(kept) :]:
        word.remove()
    height = (kept[-1][1] if kept else 0.0) + line + 0.05 + below
    sheet.resize(height)
    for word, (x, y) in zip(words, kept, strict=False):
        sheet.move(word, x, height - 0.2 - y)
    if len(kept) < len(words):
        more = f"… {len(words) - len(kept)} tokens more, for which the axes have no room"
        sheet.text(0.05, below - 0.1, more, fontsize=style.SMALL_SIZE, color=style.MUTED_COLOR)
    return height


def _reader_row(track: Track, heads: Heads) -> FloatArray:
    """The single row of a map; of a summary, only its top keys are known."""
    if not isinstance(track.weights, MapSummary):
        return np.asarray(track.dense(heads)[0])
    values, keys = track.topk(track.shape[1])
    row = np.zeros((track.heads, track.shape[1]), dtype=np.float32)
    np.put_along_axis(row, keys[:, 0], values[:, 0], axis=1)
    return reduce_heads(row, heads)


def _short_name(track: Track, head: int) -> str:
    """Number of a head; of an ensemble that of its member, and that of the head if it has several."""
    each = track.heads // track.members
    return str(head + 1) if 1 in (each, track.members) else f"{head // each + 1}.{head % each + 1}"


def _single_track(record: Record) -> Track:
    track, *others = record.tracks
    if others:
        names = ", ".join(track.label for track in record.tracks)
        raise InputError(
            f"this view shows one map and the record has {len(record.tracks)} ({names}); "
            "choose with record.select(name, layer=...), or draw view='layers'"
        )
    return track


def _cells(track: Track, heads: Heads, tall: float, wide: float) -> tuple[FloatArray, str]:
    """The weights to draw, and a note if they were pooled to blocks.

    Cells of less than `_FINEST` points would not show: of several, printers and screens keep any one.
    """
    down, across = (max(1, int(inches * 72 / _FINEST)) for inches in (tall, wide))
    fits = track.shape[0] <= down and track.shape[1] <= across
    if fits and not isinstance(track.weights, MapSummary):
        return track.dense(heads), ""
    peak = track.blocks(down, across, heads=heads)[1]
    return peak, f"largest weight per block, {peak.shape[0]} × {peak.shape[1]} blocks"


def _draw_cells(
    axes: Axes,
    grid: FloatArray,
    scale: Scale,
    track: Track,
    *,
    inches: tuple[float, float],
    peak: float | None = None,
) -> Any:
    """Draw shaded cells in token coordinates; as vector graphics where lines between them leave them room."""
    levels = shade(grid, scale)
    if peak is not None and scale != "row":
        levels = shade(np.append(grid, [[peak] * grid.shape[1]], axis=0), scale)[:-1]
    queries, keys = track.shape
    points = min(72 * size / cells for size, cells in zip(inches, grid.shape, strict=True))
    options: dict[str, Any] = {"cmap": style.colormap(), "vmin": 0, "vmax": 1}
    extent = (-0.5, keys - 0.5, queries - 0.5, -0.5)
    if grid.size <= 64 * 64 and points >= _LINED:
        x, y = (
            np.linspace(*extent[:2], grid.shape[1] + 1),
            np.linspace(-0.5, extent[2], len(grid) + 1),
        )
        mesh: Any = axes.pcolormesh(x, y, levels, edgecolors="white", linewidth=0.5, **options)
    else:
        mesh = axes.imshow(levels, extent=extent, interpolation="none", aspect="auto", **options)
    axes.set(xlim=extent[:2], ylim=extent[2:])
    return mesh


def _legend(sheet: Sheet, bar: Axes, mesh: Any, scale: Scale, peak: float) -> None:
    """Draw a colour bar with the weights that the shades mean."""
    drawn = sheet.figure.colorbar(mesh, cax=bar)
    if scale == "log":
        marks = [f"{peak * 10.0**-d:.1g}" for d in range(DECADES, -1, -1)]
        marks[0] = f"≤ {marks[0]}"
    elif scale == "row":
        marks = ["0", "row's\nlargest"]
    else:
        marks = ["0", f"{peak / 2:.2g}", f"{peak:.2g}"]
    drawn.set_ticks(list(np.linspace(0, 1, len(marks))), labels=marks)
    drawn.outline.set_visible(False)
    style.apply_to(bar)
    bar.tick_params(labelsize=style.SMALL_SIZE, labelcolor=style.MUTED_COLOR)


def _upsampled(grid: FloatArray, side: int) -> FloatArray:
    """A map repeated to a square of `side` cells."""
    rows = np.arange(side) * grid.shape[0] // side
    columns = np.arange(side) * grid.shape[1] // side
    return grid[np.ix_(rows, columns)]


def _line(axes: Axes, start: float, end: float, level: float, thin: float) -> None:
    curve = Path(
        [(0, start), (0.4, start), (0.6, end), (1, end)],
        [Path.MOVETO, Path.CURVE4, Path.CURVE4, Path.CURVE4],
    )
    color = palette("light")[round(255 * (0.12 + 0.88 * level))] / 255.0
    axes.add_patch(
        PathPatch(curve, fc="none", ec=color, lw=thin * (0.4 + 3.2 * level), capstyle="butt")
    )


def _column(axes: Axes, pieces: tuple[str, ...], *, x: float, align: str, inches: float) -> None:
    for i in style.label_positions(len(pieces), inches):
        text = axes.text(
            x,
            (i + 0.5) / len(pieces),
            style.label(pieces[i]),
            ha=align,
            va="center",
            fontsize=style.BODY_SIZE,
            color=style.TEXT_COLOR,
        )
        style.set_family([text])


def _word(sheet: Sheet, piece: str, level: float, size: float) -> Text:
    color = palette("light", "for" if level >= 0 else "against")[round(255 * abs(float(level)))]
    box = {"boxstyle": "round,pad=0.18,rounding_size=0.25", "fc": color / 255.0, "ec": "none"}
    look = {"fontsize": size, "color": contrast(color), "bbox": box, "va": "baseline"}
    return sheet.text(0, 0, style.label(piece), **look)
