"""Which part of a record to show when nobody says."""

from __future__ import annotations

from regard.viewing import AttentionRecord

__all__ = ["chosen"]


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
    """
    if name is None:
        there = {track.name for track in record.tracks}
        name = next((usual for usual in ("cross", "sentences") if usual in there), None)
    if name is not None or layer is not None:
        if layer is None:
            layer = -1
        record = record.select(name, layer=layer - 1 if layer > 0 else layer)
    return record.words() if words else record
