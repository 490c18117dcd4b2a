"""Which part of a record to show, in words of people, who count from 1; and when nobody says."""

from __future__ import annotations

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
    there = {track.name for track in record.tracks}
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


def chosen_head(record: AttentionRecord, head: int) -> int:
    """What views, who count from 0, call a head.

    Raises:
        InputError: some map of the record has not so many.
    """
    count = min(track.heads for track in record.tracks)
    if not 1 <= head <= count:
        raise InputError(f"no head {head}; expected 1 to {count}")
    return head - 1
