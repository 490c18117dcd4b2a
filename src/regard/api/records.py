"""Maps of one example as a record to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

from regard.attention import AttentionMap
from regard.viewing import AttentionRecord, Tokens, Track

__all__ = ["Maps", "record_of"]

Maps = Mapping[str, Sequence[AttentionMap]]

_AXES = {
    "encoder": ("source", "source"),
    "decoder": ("target", "target"),
    "cross": ("target", "source"),
}


def record_of(
    maps: Maps,
    tokens: Mapping[str, Tokens],
    *,
    title: str,
    reading: str = "",
    verdict: str = "",
) -> AttentionRecord:
    """The maps of one example, the first of its batch.

    Args:
        maps: by place, one a layer.
        tokens: `"source"` and `"target"` of a model that writes, `"text"` of one that reads.
        title: a heading.
        reading: at which step cross-attention is read.
        verdict: how far to trust the maps as an explanation.
    """
    tokens = dict(tokens)
    tracks = []
    for place, layers in maps.items():
        for layer, weights in enumerate(layers):
            array = weights.dense()[0].float().cpu().numpy()
            pooled = "text" in tokens and array.shape[-2] == 1
            rows, columns = ("text", "text") if "text" in tokens else _AXES[place]
            if pooled:
                rows = "reader"
                tokens[rows] = Tokens.of(["reader"], special=["reader"])
            kind: Literal["self", "cross", "pooling"] = "cross" if place == "cross" else "self"
            tracks.append(
                Track(
                    name=place,
                    kind="pooling" if pooled else kind,
                    queries=rows,
                    keys=columns,
                    weights=array,
                    layer=layer,
                    direction="causal" if place == "decoder" else "both",
                )
            )
    used = {axis for track in tracks for axis in (track.queries, track.keys)}
    shown = {axis: side for axis, side in tokens.items() if axis in used}
    return AttentionRecord(shown, tuple(tracks), title=title, reading=reading, verdict=verdict)
