"""Which part of a record to show, in words of people, who count from 1; and when nobody says."""

from __future__ import annotations

from typing import Literal

from regard.errors import InputError, nearest
from regard.viewing import AttentionRecord

__all__ = ["chosen", "chosen_head"]


def chosen(
    record: AttentionRecord,
    *,
    name: str | None = None,
    layer: int | None = None,
    words: bool = True,
) -> AttentionRecord:
    """A part of a record.

    Args:
        record: with all maps.
        name: of the maps; `None` takes cross-attention where there is any, attention over sentences
            where words have theirs in sentences, else all.
        layer: counted from 1, -1 for the last; `None` takes the last where there are several.
        words: whether pieces are merged to words.

    Raises:
        InputError: there is no such map or layer; names those there are.
    """
    there = list(dict.fromkeys(track.name for track in record.tracks))
    if name is None:
        name = next((usual for usual in ("cross", "sentences") if usual in there), None)
    elif name not in there:
        raise InputError(f"no map {name!r}; {nearest(name, there)}")
    if name is not None or layer is not None:
        layer = -1 if layer is None else layer
        count = 1 + max(track.layer for track in record.tracks if name in (None, track.name))
        if not (1 <= layer <= count or -count <= layer <= -1):
            of = "" if name is None else f" of map {name!r}"
            raise InputError(f"no layer {layer}{of}; expected 1 to {count}, or -1 for the last")
        record = record.select(name, layer=layer - 1 if layer > 0 else layer)
    return record.words() if words else record


def chosen_head(record: AttentionRecord, head: int | None) -> int | Literal["mean"]:
    """What views call a head that is counted from 1, or their mean.

    Raises:
        InputError: no map of the record has so many.
    """
    most = max(track.heads for track in record.tracks)
    if head is not None and not 1 <= head <= most:
        raise InputError(f"no head {head}; expected 1 to {most}")
    return "mean" if head is None else head - 1
