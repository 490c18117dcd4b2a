"""A record as JSON and compressed chunks, one chunk for each head, so that a page opens at once.

Small maps are stored exactly. Of larger ones every cell, or every block of cells, is one byte on a log scale,
which is all that a picture can show; the largest weights of each row are float32 beside it, for the numbers.
The front end reads this in `loader.js`; `types.d.ts` has the types of the JSON.
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

Storage = Literal["float32", "quantized", "blocks"]

_FLOAT32_CELLS = 1 << 20  # in the whole record; 4 MiB
_QUANTIZED_SIDE = 2048  # a longer map is stored as blocks
_TOP_K = 32
_TOP_ENTRIES = 2_000_000  # in the whole record, of six bytes each
_BLOCK_CELLS = 5_000_000  # in the whole record, of two bytes each
_BLOCKS = 1024  # along each side, at most
_CODE_DECADES = 8  # `codec.js` has the same
_THUMBNAIL = 40  # pixels of each side
_LABELS = 50  # labels whose probabilities are kept


@dataclass(frozen=True)
class Packed:
    """A record as the front end reads it.

    Attributes:
        metadata: everything but the weights, for JSON.
        chunks: base64 text of deflated arrays, by name: `"0.1"` is head 1 of layer 0.
    """

    metadata: dict[str, Any]
    chunks: dict[str, str]


def pack(record: Record) -> Packed:
    """Pack a record within a budget of about 20 MB."""
    heads = sum(track.heads for track in record.tracks)
    cells = sum(track.heads * track.shape[0] * track.shape[1] for track in record.tracks)
    rows = sum((track.heads + 2) * track.shape[0] for track in record.tracks)
    k = max(4, min(_TOP_K, _TOP_ENTRIES // rows))
    side = int(np.clip((_BLOCK_CELLS / heads) ** 0.5, 64, _BLOCKS))
    chunks: dict[str, str] = {}
    layers, thumbnails = [], []
    for index, track in enumerate(record.tracks):
        storage = _storage(track, cells)
        if storage == "float32":
            chunks |= {f"{index}.{h}": _chunk(track.dense(h)) for h in range(track.heads)}
        elif storage == "quantized":
            chunks |= {f"{index}.{head}": _quantized(track, head, k) for head in _choices(track)}
        else:
            summary = track.summary(side, k=k)
            grids = summary.coarser(side, side)
            chunks |= {f"{index}.{h}": _blocks(summary, grids, h, k) for h in range(track.heads)}
        thumbnails += _thumbnails(track)
        layers.append(_layer(track, storage, side, k))
    chunks["thumbnails"] = _chunk(*thumbnails)
    return Packed(_metadata(record) | {"layers": layers}, chunks)


def _storage(track: Track, cells: int) -> Storage:
    if isinstance(track.weights, MapSummary) or max(track.shape) > _QUANTIZED_SIDE:
        return "blocks"
    return "float32" if cells <= _FLOAT32_CELLS else "quantized"


def _choices(track: Track) -> list[Heads]:
    """Heads, and reductions over them, that get a chunk.

    Reductions of codes would be inexact, so those of quantized maps are made here, from exact weights.
    """
    return [*range(track.heads), *(("mean", "max") if track.heads > 1 else ())]


def _quantized(track: Track, heads: Heads, k: int) -> str:
    weights = track.dense(heads)
    values, keys = topk(weights, k)
    statistics = entropy(weights), weights.sum(axis=0)
    return _chunk(*statistics, values, _narrow(keys, track.shape[1]), _codes(weights))


def _blocks(summary: MapSummary, grids: tuple[FloatArray, FloatArray], head: int, k: int) -> str:
    mean, maximum = (grid[head] for grid in grids)
    return _chunk(
        summary.entropy[head],
        summary.received[head],
        summary.top_values[head, :, :k],
        _narrow(summary.top_keys[head, :, :k], summary.received.shape[1]),
        _codes(maximum),
        _codes(mean),
    )


def _thumbnails(track: Track) -> list[NDArray[np.uint8]]:
    """Codes of every head as a small square of block maxima."""
    side = _THUMBNAIL
    weights = track.weights
    pooled = weights.coarser if isinstance(weights, MapSummary) else partial(pool, weights)
    _, maxima = pooled(side, side)
    down, across = (np.arange(side) * n // side for n in maxima.shape[1:])
    return [_codes(maximum[np.ix_(down, across)]) for maximum in maxima]


def _layer(track: Track, storage: Storage, side: int, k: int) -> dict[str, Any]:
    grid: tuple[int, ...] = track.shape
    block_size: tuple[int, ...] = (1, 1)
    if storage == "blocks":
        # The summary's own blocks, as many of them merged as it takes to have at most `side` along each axis.
        own = (
            track.weights.mean.shape[1:] if isinstance(track.weights, MapSummary) else (side, side)
        )
        merged = [-(-n // side) for n in own]
        block_size = tuple(
            -(-n // blocks) * times
            for n, blocks, times in zip(track.shape, own, merged, strict=True)
        )
        grid = tuple(-(-n // size) for n, size in zip(track.shape, block_size, strict=True))
    if isinstance(track.weights, MapSummary):
        k = min(k, track.weights.top_keys.shape[2])
    return {
        "label": printable(track.label),
        "queries": track.queries,
        "keys": track.keys,
        "heads": track.heads,
        "members": track.members,
        "head_names": [track.head_name(head) for head in range(track.heads)],
        "shape": track.shape,
        "storage": storage,
        "grid": grid,
        "block_size": block_size,
        "top_k": min(k, track.shape[1]),
        "mean_entropy": [round(float(x), 4) for x in track.entropy().mean(axis=1)],
    }


def _metadata(record: Record) -> dict[str, Any]:
    return {
        "title": printable(record.title) if record.title else "",
        "reading": printable(record.reading) if record.reading else "",
        "notes": [printable(note) for note in record.notes],
        "verdict": printable(record.verdict) if record.verdict else "",
        "tokens": {name: _tokens(tokens) for name, tokens in record.tokens.items()},
        "prediction": _prediction(record),
        "explanation": _explanation(record),
        "palettes": {theme: palette(theme).tobytes().hex() for theme in ("light", "dark")},
        "against": {
            theme: palette(theme, "against").tobytes().hex() for theme in ("light", "dark")
        },
        "thumbnail_size": _THUMBNAIL,
    }


def _prediction(record: Record) -> dict[str, Any] | None:
    if record.prediction is None:
        return None
    likely = record.prediction.probabilities[:_LABELS]
    return {
        "labels": [printable(label) for label in record.prediction.labels],
        "probabilities": [
            {"label": printable(label), "probability": probability} for label, probability in likely
        ],
    }


def _explanation(record: Record) -> dict[str, Any] | None:
    """Scores as JSON numbers, `null` where a word was not measured."""
    explanation = record.explanation
    if explanation is None:
        return None
    return {
        "words": [printable(piece) for piece in explanation.tokens.pieces],
        "direction": "rtl" if begins_right_to_left(explanation.tokens.text) else "ltr",
        "label": printable(explanation.label),
        "probability": explanation.probability,
        "reason": printable(explanation.reason),
        "attributions": [
            {
                "name": scores.name,
                "about": printable(scores.about),
                "signed": scores.signed,
                "full": scores.full,
                "scale": scores.scale,
                "values": [None if np.isnan(x) else round(float(x), 5) for x in scores.values],
            }
            for scores in explanation.attributions
        ],
    }


def _tokens(tokens: Tokens) -> dict[str, Any]:
    return {
        "pieces": [printable(piece) for piece in tokens.pieces],
        "special": tokens.special,
        "word_starts": tokens.word_starts(),
        "words": [printable(piece) for piece in tokens.words().pieces],
        "direction": "rtl" if begins_right_to_left(tokens.text) else "ltr",
    }


def _codes(weights: FloatArray) -> NDArray[np.uint8]:
    """Weights as bytes: 0 is less than 1e-8, and 1 to 255 are eight powers of ten on a log scale."""
    logs = np.log10(np.maximum(weights, 1e-30))
    codes = np.clip(np.round(255 + 254 / _CODE_DECADES * logs), 1, 255)
    return np.where(weights < 10.0**-_CODE_DECADES, 0, codes).astype(np.uint8)


def _narrow(keys: IntArray, count: int) -> NDArray[Any]:
    return keys.astype(np.uint16 if count <= 65535 else np.uint32)


def _chunk(*arrays: NDArray[Any]) -> str:
    """Arrays one after another, deflated, in base64.

    Wide numbers are stored byte plane by byte plane (the first byte of each, then the second ...),
    because the high bytes of neighbouring weights are alike and deflate well.
    """
    raw = b"".join(
        np.ascontiguousarray(array.reshape(-1).astype(array.dtype.newbyteorder("<")))
        .view(np.uint8)
        .reshape(array.size, array.dtype.itemsize)
        .T.tobytes()
        for array in arrays
    )
    return base64.b64encode(zlib.compress(raw, 6)).decode()
