"""Attention maps of one example as a record to look at."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.attention import AttentionMap
from regard.models import DECODER_INPUT
from regard.viewing import AttentionRecord, MapSummary, Tokens, Track
from regard.viewing.data.record import Kind

__all__ = ["Maps", "make_record"]

Maps = Mapping[str, Sequence[AttentionMap]]
"""Attention by site, one map a layer; `Output.maps` of a network."""

_AXES = {
    "encoder": ("source", "source"),
    "decoder": ("target", "target"),
    "cross": ("target", "source"),
    "words": ("sentences", "text"),
    "sentences": ("reader", "sentences"),
}
"""Names of the token axes of a site's maps: queries, keys."""

DENSE_WEIGHTS = 1 << 24
"""Weights that a record holds in full, 64 MB; with more, its large maps are held as summaries."""
SMALL_MAP = 512 * 512
"""Weights of a head of a map that is held in full in every record."""
_BLOCKS, _TOP_KEYS = 512, 32  # of a summary


def make_record(
    maps: Maps,
    tokens: Mapping[str, Tokens],
    *,
    title: str,
    reading: str = "",
    verdict: str = "",
) -> AttentionRecord:
    """Record of the maps of one example, the first of its batch.

    The members of an ensemble share a track, as heads of one layer. In a record of more than
    `DENSE_WEIGHTS` weights, each map of more than `SMALL_MAP` is a `MapSummary`, computed without the
    matrix: the memory of a record is bounded by the length of its text, not by the square.

    Args:
        maps: by site, one a layer (and member of an ensemble).
        tokens: `"source"` and `"target"` for a model that writes, the tokens of each row of
            cross-attention, and `DECODER_INPUT` where these are not what the decoder read; `"text"`
            for a model that only reads.
        title: heading of the record.
        reading: the decoder step at which cross-attention is read.
        verdict: how far the maps may be trusted as an explanation.
    """
    tokens = dict(tokens)
    if "sentences" in maps:
        tokens["sentences"] = _sentences(tokens["text"], maps["words"][0])
    summed = sum(_size(weights) for layers in maps.values() for weights in layers) > DENSE_WEIGHTS
    tracks = []
    for site, layers in maps.items():
        for layer, members in enumerate(_by_layer(layers)):
            rows, columns, kind = _axes(site, members[0].shape[-2], tokens)
            if rows == "reader":
                tokens[rows] = Tokens.of(["reader"], special=["reader"])
            tracks.append(
                Track(
                    name=site,
                    kind=kind,
                    queries=rows,
                    keys=columns,
                    weights=_weights(members, summed=summed),
                    layer=layer,
                    direction="causal" if site == "decoder" else "both",
                    members=len(members),
                )
            )
    used = {axis for track in tracks for axis in (track.queries, track.keys)}
    shown = {axis: side for axis, side in tokens.items() if axis in used}
    return AttentionRecord(shown, tuple(tracks), title=title, reading=reading, verdict=verdict)


def _by_layer(maps: Sequence[AttentionMap]) -> list[list[AttentionMap]]:
    """Maps of a site by layer: those of all members at one depth together."""
    layers: dict[int | None, list[AttentionMap]] = {}
    for weights in maps:
        layers.setdefault(weights.member, []).append(weights)
    return [list(members) for members in zip(*layers.values(), strict=True)]


def _size(weights: AttentionMap) -> int:
    """Number of weights of the first example."""
    return math.prod(weights.shape[1:])


def _weights(members: Sequence[AttentionMap], *, summed: bool) -> NDArray[np.float32] | MapSummary:
    """Weights `(heads, queries, keys)` of the first example, the heads of all members concatenated."""
    if not summed or math.prod(members[0].shape[-2:]) <= SMALL_MAP:
        return np.concatenate([_first(weights.dense(), 2) for weights in members])
    parts = zip(*map(_statistics, members), strict=True)
    return MapSummary(*(np.concatenate(part) for part in parts))


def _statistics(weights: AttentionMap) -> list[NDArray[np.float32]]:
    """What a `MapSummary` of the first example holds, in its order."""
    pool, top = weights.pool(_BLOCKS, _BLOCKS), weights.topk(_TOP_KEYS)
    matrices = [_first(array, 2) for array in (*pool, *top)]
    return [*matrices, _first(weights.entropy(), 1), _first(weights.received(), 1)]


def _first(array: Any, axes: int) -> NDArray[np.float32]:
    """The first example `(heads, ...)` of a batch of arrays of so many axes, with or without heads."""
    example: NDArray[np.float32] = array[0].float().numpy(force=True)
    return example if example.ndim > axes else example[None]


def _axes(site: str, queries: int, tokens: Mapping[str, Tokens]) -> tuple[str, str, Kind]:
    """Names of the query and key axes of a map, and its kind."""
    if site in ("words", "sentences"):
        return *_AXES[site], "pooling"
    if site == "decoder" and DECODER_INPUT in tokens:
        return DECODER_INPUT, DECODER_INPUT, "self"
    if "text" in tokens:
        return ("reader", "text", "pooling") if queries == 1 else ("text", "text", "self")
    return *_AXES[site], "cross" if site == "cross" else "self"


def _sentences(text: Tokens, words: AttentionMap) -> Tokens:
    """Sentences a hierarchical model cut a text into: each attends to its own tokens only."""
    number = np.zeros(len(text), dtype=int)
    for rows, weights in words.tiles():
        attended = weights[0].float().sum(0).numpy(force=True) > 0
        own, token = np.nonzero(attended)
        np.maximum.at(number, token, own + rows.start)
    # A weight may be so small that it is zero. Sentences follow each other, so the number of a
    # token's sentence is the largest one seen up to it.
    number = np.maximum.accumulate(number)
    edges = np.searchsorted(number, np.arange(words.shape[-2] + 1))
    offsets = [
        (text.offsets[first][0], text.offsets[end - 1][1]) if end > first else (0, 0)
        for first, end in pairwise(edges.tolist())
    ]
    pieces = tuple(text.text[start:end] for start, end in offsets)
    return Tokens(pieces, text.text, tuple(offsets))
