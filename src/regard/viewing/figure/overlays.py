"""Figures of attention over an image and over a sound."""

from __future__ import annotations

import textwrap
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from regard.viewing.data.picture import PictureAttention, SoundAttention
from regard.viewing.figure import style
from regard.viewing.printable import printable

__all__ = ["picture", "sound"]

_PANEL = 1.6  # inches
_ACROSS = 4
_MOST_QUERIES = 60


def picture(
    attention: PictureAttention, *, layer: int | None = None, head: int | None = None
) -> Figure:
    """The image, and under a spotlight each layer, or of one layer each head, or one head.

    Of a caption a picture for each word, as in Xu et al. (2015): the mean of all layers and heads, or of a
    layer, or of a head.

    Args:
        attention: what to draw.
        layer: from 1, -1 the last; `None` draws every layer.
        head: from 1; `None` draws means over heads, and of one layer every head.
    """
    panels = [("as the model reads it", attention.image), *_panels(attention, layer, head)]
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    height = _PANEL * attention.image.shape[0] / attention.image.shape[1]
    figure = style.new_figure(across * (_PANEL + 0.15), down * (height + 0.35) + 0.5)
    grid = figure.subplots(down, across, squeeze=False)
    for axes in grid.flat:
        axes.set_axis_off()
    for axes, (name, image) in zip(grid.flat, panels, strict=False):
        axes.imshow(image, interpolation="nearest")
        axes.set_title(style.label(name), fontsize=8)
    _heading(
        figure,
        attention.title,
        _facts(attention, layer, head),
        attention.notes,
    )
    return figure


def _panels(
    attention: PictureAttention, layer: int | None, head: int | None
) -> list[tuple[str, Any]]:
    """Names and pictures of what is drawn beside the image."""
    layers, heads = attention.weights.shape[:2]
    if attention.words:
        return [
            (each.word, attention.spotlight(layer, head, word=n))
            for n, each in enumerate(attention.words, 1)
        ]
    if layer is None:
        of_head = f", head {head}" if head else ""
        return [(f"layer {n}{of_head}", attention.spotlight(n, head)) for n in range(1, layers + 1)]
    if head is not None:
        return [(f"layer {layer}, head {head}", attention.spotlight(layer, head))]
    mean = (f"layer {layer}, mean of heads", attention.spotlight(layer))
    return [mean, *((f"head {n}", attention.spotlight(layer, n)) for n in range(1, heads + 1))]


def sound(
    attention: SoundAttention, *, layer: int | None = None, head: int | None = None
) -> Figure:
    """The spectrogram, and below it on the same axis of time where each query attended.

    Args:
        attention: what to draw.
        layer: from 1, -1 the last; `None` the mean of all, or of one query a row for each.
        head: from 1; `None` the mean of all.
    """
    if len(attention.queries) == 1 and layer is None:
        layers = attention.weights.shape[0]
        rows = np.concatenate([attention.rows(n + 1, head) for n in range(layers)])
        names = [f"layer {n + 1}" for n in range(layers)]
    else:
        rows, names = attention.rows(layer, head), list(attention.queries)
    height = 0.16 * len(names) + 0.3
    figure = style.new_figure(style.PAGE_WIDTH, 1.7 + height + 0.7)
    above, below = figure.subplots(2, 1, sharex=True, height_ratios=[1.5, height])
    extent = (0.0, attention.seconds)
    bands = attention.spectrogram.shape[0]
    above.imshow(
        attention.spectrogram,
        origin="lower",
        aspect="auto",
        cmap="gray_r",
        extent=(*extent, 0, bands),
    )
    above.set_ylabel("band", fontsize=8)
    peak = rows.max(axis=1, keepdims=True)
    shares = rows / np.maximum(peak, np.finfo(np.float32).tiny)
    below.imshow(
        shares,
        aspect="auto",
        cmap=style.colormap(),
        extent=(0.0, rows.shape[1] * attention.frame_seconds, len(names), 0),
        interpolation="nearest",
    )
    step = -(-len(names) // _MOST_QUERIES)
    places = range(0, len(names), step)
    below.set_yticks([n + 0.5 for n in places], [style.label(names[n]) for n in places], fontsize=7)
    below.set_xlabel("seconds", fontsize=8)
    for word in attention.words:
        above.axvline(word.start, color="C1", linewidth=0.7)
        above.text(word.start, bands, style.label(word.word), fontsize=7, rotation=45, va="bottom")
    for axes in (above, below):
        axes.tick_params(labelsize=7)
    _heading(figure, attention.title, "each row relative to its largest weight", attention.notes)
    return figure


def _facts(attention: PictureAttention, layer: int | None, head: int | None) -> str:
    facts = f"attention of the {attention.query} to each patch"
    if not attention.words:  # the panels say which layer and head they are of
        return facts
    if layer is None and head is None:
        return f"{facts}; mean of layers and heads"
    of_layer = "mean of layers" if layer is None else f"layer {layer}"
    return f"{facts}; {of_layer}, " + ("mean of heads" if head is None else f"head {head}")


def _shown(text: str) -> str:
    """A text of several lines as a label: no formula, which a dollar sign would begin."""
    lines = (printable(line) for line in text.split("\n"))
    return "\n".join(textwrap.fill(line, 80) for line in lines).replace("$", r"\$")


def _heading(figure: Figure, title: str, facts: str, notes: tuple[str, ...]) -> None:
    lines = [line for line in (title, facts) if line]
    figure.suptitle(_shown("\n".join(lines)), fontsize=9)
    if notes:
        figure.supxlabel(_shown("\n".join(notes)), fontsize=7)
    figure.set_layout_engine("constrained")
