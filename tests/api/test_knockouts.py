"""Heads and words by name, in a model that is looked at."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

import regard
from regard.api.knockouts import head_places, knocked_out, look_without
from regard.errors import InputError

TEXT = "The bank raised its rates."


def test_heads_and_words_of_an_encoder(pretrained: Callable[[str], Path]) -> None:
    model = regard.load(pretrained("bert"))
    before = model.look(TEXT)
    with knocked_out(model, TEXT, silence=["1.2"], hide=["rates"]):
        record = model.look(TEXT)
    first, second = (np.asarray(track.weights) for track in record.tracks[:2])
    assert first[1].max() == 0
    words = record.tokens["text"]
    hidden = [
        i
        for i, (start, end) in enumerate(words.offsets)
        if TEXT[start:end] in "rates" and end > start
    ]
    assert hidden
    assert second[:, :, hidden].max() == 0
    np.testing.assert_allclose(second.sum(-1), 1, atol=1e-5)
    after = model.look(TEXT)
    for track, again in zip(before.tracks, after.tracks, strict=True):
        np.testing.assert_array_equal(np.asarray(track.weights), np.asarray(again.weights))


def test_a_hidden_source_word_is_not_looked_at_while_writing(
    pretrained: Callable[[str], Path],
) -> None:
    model = regard.load(pretrained("marian"))
    with knocked_out(model, TEXT, silence=["cross.2.1"], hide=["The"]):
        record = model.look(TEXT)
    source = record.tokens["source"]
    hidden = [i for i, (_, end) in enumerate(source.offsets) if 0 < end <= 3]
    cross = {t.layer: np.asarray(t.weights) for t in record.tracks if t.name == "cross"}
    assert cross[0][:, :, hidden].max() == cross[1][0].max() == 0
    assert cross[0][0].max() > 0


@pytest.mark.parametrize("name", ["2", "0.1", "a.b", "2.x"])
def test_names_of_heads(name: str) -> None:
    with pytest.raises(InputError, match=r"LAYER\.HEAD"):
        head_places([name])


def test_a_record_says_what_was_knocked_out(pretrained: Callable[[str], Path]) -> None:
    model = regard.load(pretrained("sentiment"))
    record = look_without(model, TEXT, silence=["2.1"], hide=["bank"])
    assert record.notes[-1] == "Steered: without head 2.1, no attention to 'bank'."
    assert record.explanation is None
    assert record.prediction is not None
    plain = look_without(model, TEXT)
    assert not plain.notes
    assert plain.explanation is not None


def test_what_is_not_there(pretrained: Callable[[str], Path]) -> None:
    model = regard.load(pretrained("bert"))
    with pytest.raises(InputError, match="no word 'dog'"), knocked_out(model, TEXT, hide=["dog"]):
        pass
