"""A record as JSON and compressed chunks, one chunk for each head, so that a page opens at once.

Small maps are kept exactly. Larger ones are kept as one byte a cell on a log scale, which is all that a
picture can show, with the largest weights of every row as float32 for the numbers.
"""

from __future__ import annotations

import base64
import zlib
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from regard.viewing.colors import palette
from regard.viewing.data.record import Record, Track
from regard.viewing.data.summary import FloatArray, Heads, IntArray, MapSummary, entropy, pool, topk
from regard.viewing.data.tokens import Tokens
from regard.viewing.printable import begins_right_to_left, printable

__all__ = ["Packed", "pack"]

Kept = Literal["exact", "coded", "blocks"]

_EXACT_CELLS = 1 << 20  # in the whole record; as float32 that is 4 MiB
_CODED_SIDE = 2048  # a longer map is kept as blocks
_TOP = 32
_TOP_ENTRIES = 2_000_000  # in the whole record, of six bytes each
_BLOCK_CELLS = 5_000_000  # in the whole record, of two bytes each
_BLOCKS = 1024
_DECADES = 8  # of the byte scale; `codec.js` says the same
_THUMBNAIL = 40


@dataclass(frozen=True)
class Packed:
    """What the front end reads: `about` as JSON, `chunks` of base64 text by name."""

    about: dict[str, Any]
    chunks: dict[str, str]


def pack(record: Record) -> Packed:
    """Pack a record for the page, within a budget of about 20 MB."""
    heads = sum(track.heads for track in record.tracks)
    cells = sum(track.heads * track.shape[0] * track.shape[1] for track in record.tracks)
    rows = sum((track.heads + 2) * track.shape[0] for track in record.tracks)
    keep = max(4, min(_TOP, _TOP_ENTRIES // rows))
    side = int(np.clip((_BLOCK_CELLS / heads) ** 0.5, 64, _BLOCKS))
    chunks: dict[str, str] = {}
    tracks, thumbnails = [], []
    for index, track in enumerate(record.tracks):
        kept = _how(track, cells)
        if kept == "exact":
            chunks |= {f"{index}.{h}": _chunk(track.dense(h)) for h in range(track.heads)}
        elif kept == "coded":
            chunks |= {f"{index}.{head}": _coded(track, head, keep) for head in _choices(track)}
        else:
            summary = track.summary(side, k=keep)
            grids = summary.coarser(side, side)
            chunks |= {f"{index}.{h}": _blocks(summary, grids, h, keep) for h in range(track.heads)}
        thumbnails += _thumbnails(track)
        tracks.append(_about(track, kept, side, keep))
    chunks["thumbnails"] = _chunk(*thumbnails)
    return Packed(_facts(record) | {"tracks": tracks}, chunks)


def _how(track: Track, cells: int) -> Kept:
    if isinstance(track.weights, MapSummary) or max(track.shape) > _CODED_SIDE:
        return "blocks"
    return "exact" if cells <= _EXACT_CELLS else "coded"


def _choices(track: Track) -> list[Heads]:
    """Heads that get a chunk. Mean and maximum are computed here, from exact weights, not from bytes."""
    return [*range(track.heads), *(("mean", "max") if track.heads > 1 else ())]


def _coded(track: Track, heads: Heads, keep: int) -> str:
    weights = track.dense(heads)
    values, keys = topk(weights, keep)
    facts = entropy(weights), weights.sum(axis=0)
    return _chunk(*facts, values, _narrow(keys, track.shape[1]), _codes(weights))


def _blocks(summary: MapSummary, grids: tuple[FloatArray, FloatArray], head: int, keep: int) -> str:
    mean, peak = (grid[head] for grid in grids)
    return _chunk(
        summary.entropy[head],
        summary.received[head],
        summary.top_values[head, :, :keep],
        _narrow(summary.top_keys[head, :, :keep], summary.received.shape[1]),
        _codes(peak),
        _codes(mean),
    )


def _thumbnails(track: Track) -> list[NDArray[np.uint8]]:
    """A small square of block maxima for every head."""
    side = _THUMBNAIL
    weights = track.weights
    pooled = weights.coarser if isinstance(weights, MapSummary) else partial(pool, weights)
    _, peaks = pooled(side, side)
    down, across = (np.arange(side) * n // side for n in peaks.shape[1:])
    return [_codes(peak[np.ix_(down, across)]) for peak in peaks]


def _about(track: Track, kept: Kept, side: int, keep: int) -> dict[str, Any]:
    _, keys = track.shape
    blocks: tuple[int, ...] = track.shape
    cover: tuple[int, ...] = (1, 1)  # positions each block has, but the last
    if kept == "blocks":
        held = (
            track.weights.mean.shape[1:] if isinstance(track.weights, MapSummary) else (side, side)
        )
        steps = [-(-n // side) for n in held]
        cover = tuple(
            -(-n // b) * step for n, b, step in zip(track.shape, held, steps, strict=True)
        )
        blocks = tuple(-(-n // size) for n, size in zip(track.shape, cover, strict=True))
    if isinstance(track.weights, MapSummary):
        keep = min(keep, track.weights.top_keys.shape[2])
    return {
        "label": printable(track.label),
        "kind": track.kind,
        "direction": track.direction,
        "queries": track.queries,
        "keys": track.keys,
        "heads": track.heads,
        "shape": track.shape,
        "kept": kept,
        "blocks": blocks,
        "cover": cover,
        "top": min(keep, keys),
        "entropy": [round(float(x), 4) for x in track.entropy().mean(axis=1)],
    }


def _facts(record: Record) -> dict[str, Any]:
    return {
        "title": printable(record.title) if record.title else "",
        "reading": printable(record.reading) if record.reading else "",
        "notes": [printable(note) for note in record.notes],
        "verdict": printable(record.verdict) if record.verdict else "",
        "tokens": {name: _tokens(tokens) for name, tokens in record.tokens.items()},
        "palettes": {theme: palette(theme).tobytes().hex() for theme in ("light", "dark")},
        "thumbnail": _THUMBNAIL,
    }


def _tokens(tokens: Tokens) -> dict[str, Any]:
    return {
        "pieces": [printable(piece) for piece in tokens.pieces],
        "special": tokens.special,
        "starts": tokens.word_starts(),
        "words": [printable(piece) for piece in tokens.words().pieces],
        "direction": "rtl" if begins_right_to_left(tokens.text) else "ltr",
    }


def _codes(weights: FloatArray) -> NDArray[np.uint8]:
    """Weights as bytes: 0 for less than 1e-8, then eight powers of ten in 255 even steps."""
    logs = np.log10(np.maximum(weights, 1e-30))
    codes = np.clip(np.round(255 + 254 / _DECADES * logs), 1, 255)
    return np.where(weights < 10.0**-_DECADES, 0, codes).astype(np.uint8)


def _narrow(keys: IntArray, count: int) -> NDArray[Any]:
    return keys.astype(np.uint16 if count <= 65535 else np.uint32)


def _chunk(*arrays: NDArray[Any]) -> str:
    """Arrays one after another, deflated; wide numbers byte plane by byte plane, for `Reader`."""
    raw = b"".join(
        np.ascontiguousarray(array.reshape(-1).astype(array.dtype.newbyteorder("<")))
        .view(np.uint8)
        .reshape(array.size, array.dtype.itemsize)
        .T.tobytes()
        for array in arrays
    )
    return base64.b64encode(zlib.compress(raw, 6)).decode()
