"""Selection of what is shown of a record, by hand."""

from __future__ import annotations

import numpy as np

from regard.api.views import select_map
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
