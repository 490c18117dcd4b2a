"""Maps of one example as a record to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regard.attention import AttentionMap
from regard.viewing import AttentionRecord, Tokens, Track
from regard.viewing.data.record import Kind

__all__ = ["Maps", "record_of"]

Maps = Mapping[str, Sequence[AttentionMap]]

_AXES = {
    "encoder": ("source", "source"),
    "decoder": ("target", "target"),
    "cross": ("target", "source"),
    "words": ("sentences", "text"),
    "sentences": ("reader", "sentences"),
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
    if "sentences" in maps:
        tokens["sentences"] = _sentences(tokens["text"], maps["words"][0])
    tracks = []
    for place, layers in maps.items():
        for layer, weights in enumerate(layers):
            array = weights.dense()[0].float().cpu().numpy()
            rows, columns, kind = _axes(place, array.shape[-2], text="text" in tokens)
            if rows == "reader":
                tokens[rows] = Tokens.of(["reader"], special=["reader"])
            tracks.append(
                Track(
                    name=place,
                    kind=kind,
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


def _axes(place: str, queries: int, *, text: bool) -> tuple[str, str, Kind]:
    """Which tokens ask, which are asked, and what that is called."""
    if place in ("words", "sentences"):
        return *_AXES[place], "pooling"
    if text:
        return ("reader", "text", "pooling") if queries == 1 else ("text", "text", "self")
    return *_AXES[place], "cross" if place == "cross" else "self"


def _sentences(text: Tokens, words: AttentionMap) -> Tokens:
    """The sentences a model cut a text into: each looks at its own tokens only."""
    weights = words.dense()[0].float().sum(0)
    # A weight may be so small that it is zero; sentences follow each other all the same.
    number = weights.argmax(0).cummax(0).values.tolist()
    offsets = []
    for sentence in range(len(weights)):
        own = [span for span, place in zip(text.offsets, number, strict=True) if place == sentence]
        offsets.append((own[0][0], own[-1][1]) if own else (0, 0))
    pieces = tuple(text.text[start:end] for start, end in offsets)
    return Tokens(pieces, text.text, tuple(offsets))
