"""Selection of the part of a record to show; layers and heads are counted from 1."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from regard.errors import InputError, nearest
from regard.models import AlignmentSettings
from regard.viewing import AttentionRecord, MapSummary

__all__ = ["head_index", "in_words", "select_map"]


def select_map(
    record: AttentionRecord,
    *,
    name: str | None = None,
    layer: int | None = None,
    words: bool = True,
    alignment: AlignmentSettings | None = None,
    single: bool = False,
) -> AttentionRecord:
    """Record of one map, or of all maps.

    Args:
        record: with all maps.
        name: name of the map; `None` takes cross-attention if there is any, else attention over
            sentences if there is any, else all maps.
        layer: counted from 1, -1 for the last; `None` takes the last layer of a named map.
        words: whether pieces are merged to words, if the maps are held in full.
        alignment: layer and head of cross-attention to take where neither a map nor a layer is named,
            and the decoder step at which the record is read.
        single: whether one map is left where there are several: the one that is shown first.

    Raises:
        InputError: no such map or layer; the message names the existing ones.
    """
    names = {track.name for track in record.tracks}
    if name is None and layer is None and alignment is not None and "cross" in names:
        record = _aligned_map(record.select("cross"), alignment)
        return in_words(record) if words else record
    if name is None:
        name = next((usual for usual in ("cross", "sentences") if usual in names), None)
    elif name not in names:
        raise InputError(f"no map {name!r}; {nearest(name, names)}")
    if name is not None or layer is not None:
        layer = -1 if layer is None else layer
        count = 1 + max(track.layer or 0 for track in record.tracks if name in (None, track.name))
        if not (1 <= layer <= count or -count <= layer <= -1):
            of = "" if name is None else f" of map {name!r}"
            raise InputError(f"no layer {layer}{of}; expected 1 to {count}, or -1 for the last")
        record = record.select(name, layer=layer - 1 if layer > 0 else layer)
    if single and len(record.tracks) > 1:
        first = record.featured()
        record = record.select(first.name, kind=first.kind, layer=first.layer)
    return in_words(record) if words else record


def _aligned_map(record: AttentionRecord, alignment: AlignmentSettings) -> AttentionRecord:
    """The one map of cross-attention that says where a word looked; its record says which it is."""
    tracks, layer = record.tracks, alignment.layer
    count, heads = len(tracks), tracks[0].heads
    full = not any(isinstance(track.weights, MapSummary) for track in tracks)
    notes = record.notes
    if layer is None and not full:  # a mean of summaries is not the summary of the mean
        layer = count
        notes = (*notes, "This text is too long for the mean of layers: the last layer is shown.")
    if layer is None and count > 1:
        weights = np.mean([np.asarray(track.weights) for track in tracks], axis=0)
        track = replace(tracks[0], weights=weights, layer=None)
    else:
        track = tracks[(layer or 1) - 1]
    if alignment.head is not None and full:
        head = slice(alignment.head - 1, alignment.head)
        track = replace(track, weights=np.asarray(track.weights)[head])
    elif alignment.head is not None:
        notes = (
            *notes,
            f"Head {alignment.head} is the one that aligns words; all heads are held here.",
        )
    reading = alignment.replace(layer=layer).describe(count, heads)
    return replace(record, tracks=(track,), reading=reading, notes=notes)


def in_words(record: AttentionRecord) -> AttentionRecord:
    """The record with its pieces merged to words; with a note instead, if it is too long to merge them."""
    mergeable = any(len(side.word_starts()) < len(side) for side in record.tokens.values())
    if mergeable and any(isinstance(track.weights, MapSummary) for track in record.tracks):
        note = "Pieces are not merged to words: this text is too long to hold its maps in full."
        return replace(record, notes=(*record.notes, note))
    return record.words()


def head_index(record: AttentionRecord, head: int) -> int:
    """Index from 0, as views count, of a head counted from 1.

    Raises:
        InputError: some map of the record has fewer heads.
    """
    count = min(track.heads for track in record.tracks)
    if not 1 <= head <= count:
        raise InputError(f"no head {head}; expected 1 to {count}")
    return head - 1
