"""Selection of what is shown of a record, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from regard.api.views import select_map
from regard.models import AlignmentSettings
from regard.viewing import AttentionRecord, MapSummary, Tokens, Track


def record_of(text: str, pieces: list[str]) -> AttentionRecord:
    tokens = Tokens.of(pieces, text)
    summary = MapSummary.of(np.full((1, len(pieces), len(pieces)), 1 / len(pieces)))
    return AttentionRecord({"text": tokens}, (Track("encoder", "self", "text", "text", summary),))


def test_pieces_of_a_map_too_long_to_hold_stay_pieces_with_a_note() -> None:
    record = select_map(record_of("unlikely", ["un", "likely"]))
    assert record.tokens["text"].pieces == ("un", "likely")
    assert record.notes == (
        "Pieces are not merged to words: this text is too long to hold its maps in full.",
    )
    assert select_map(record_of("so be it", ["so", "be", "it"])).notes == ()


def crossed(layers: int = 2, heads: int = 2, *, summaries: bool = False) -> AttentionRecord:
    """Cross-attention of two target and three source tokens, its weights drawn at random."""
    rng = np.random.default_rng(0)
    tracks = []
    for layer in range(layers):
        weights = rng.dirichlet(np.ones(3), (heads, 2)).astype(np.float32)
        kept = MapSummary.of(weights) if summaries else weights
        tracks.append(Track("cross", "cross", "target", "source", kept, layer=layer))
    tokens = {"target": Tokens.of(["a", "b"]), "source": Tokens.of(["x", "y", "z"])}
    return AttentionRecord(tokens, tuple(tracks), reading="at some step")


@pytest.mark.parametrize(
    ("layer", "head", "label", "says"),
    [
        (None, None, "cross mean of layers", "mean of layers, mean of heads"),
        (1, None, "cross 1", "layer 1, mean of heads"),
        (None, 2, "cross mean of layers", "mean of layers, head 2"),
        (2, 1, "cross 2", "layer 2, head 1"),
    ],
)
def test_the_default_view_is_the_map_that_aligns_words(layer, head, label, says) -> None:
    record = crossed()
    shown = select_map(record, alignment=AlignmentSettings(layer=layer, head=head))
    (track,) = shown.tracks
    weights = np.stack([np.asarray(t.weights) for t in record.tracks])
    chosen = weights.mean(0) if layer is None else weights[layer - 1]
    chosen = chosen.mean(0) if head is None else chosen[head - 1]
    np.testing.assert_allclose(track.dense(), chosen, atol=1e-6)
    assert track.label == label
    assert shown.reading == f"at the step where the target token is the decoder's output, {says}"


def test_a_named_map_or_layer_is_shown_whatever_aligns_words() -> None:
    record, alignment = crossed(), AlignmentSettings(layer=1, head=1)
    for options in ({"name": "cross"}, {"layer": 2}, {"name": "cross", "layer": 2}):
        (track,) = select_map(record, alignment=alignment, **options).tracks  # type: ignore[arg-type]
        assert (track.label, track.heads) == ("cross 2", 2)
    assert select_map(record).tracks[0].label == "cross 2"


def test_of_maps_too_long_to_hold_a_layer_is_shown_with_a_note() -> None:
    shown = select_map(crossed(summaries=True), alignment=AlignmentSettings(), words=False)
    assert shown.tracks[0].label == "cross 2"
    assert "the last layer is shown" in shown.notes[0]
    assert "layer 2, mean of heads" in shown.reading
    one = AlignmentSettings(layer=1, head=2)
    shown = select_map(crossed(summaries=True), alignment=one, words=False)
    assert (shown.tracks[0].label, shown.tracks[0].heads) == ("cross 1", 2)
    assert "Head 2 is the one that aligns words" in shown.notes[0]


def test_of_one_layer_and_head_nothing_is_said() -> None:
    shown = select_map(crossed(1, 1), alignment=AlignmentSettings())
    assert shown.reading == "at the step where the target token is the decoder's output"
    assert shown.tracks[0].label == "cross 1"
