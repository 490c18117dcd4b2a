"""Attention maps of one example as a record to look at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regard.attention import AttentionMap
from regard.models import DECODER_INPUT
from regard.viewing import AttentionRecord, Tokens, Track
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


def make_record(
    maps: Maps,
    tokens: Mapping[str, Tokens],
    *,
    title: str,
    reading: str = "",
    verdict: str = "",
) -> AttentionRecord:
    """Record of the maps of one example, the first of its batch.

    Args:
        maps: by site, one a layer.
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
    tracks = []
    for site, layers in maps.items():
        for layer, weights in enumerate(layers):
            array = weights.dense()[0].float().cpu().numpy()
            rows, columns, kind = _axes(site, array.shape[-2], tokens)
            if rows == "reader":
                tokens[rows] = Tokens.of(["reader"], special=["reader"])
            tracks.append(
                Track(
                    name=site,
                    kind=kind,
                    queries=rows,
                    keys=columns,
                    weights=array,
                    layer=layer,
                    direction="causal" if site == "decoder" else "both",
                )
            )
    used = {axis for track in tracks for axis in (track.queries, track.keys)}
    shown = {axis: side for axis, side in tokens.items() if axis in used}
    return AttentionRecord(shown, tuple(tracks), title=title, reading=reading, verdict=verdict)


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
    weights = words.dense()[0].float().sum(0)
    # A weight may be so small that it is zero. Sentences follow each other, so the number of a
    # token's sentence is the largest one seen up to it.
    number = weights.argmax(0).cummax(0).values.tolist()
    offsets = []
    for sentence in range(len(weights)):
        own = [span for span, n in zip(text.offsets, number, strict=True) if n == sentence]
        offsets.append((own[0][0], own[-1][1]) if own else (0, 0))
    pieces = tuple(text.text[start:end] for start, end in offsets)
    return Tokens(pieces, text.text, tuple(offsets))
