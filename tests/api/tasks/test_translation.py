"""Translation: answers with maps, tokens and alignment, fresh and from the folder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from regard.api import (
    Model,
    Translator,
)
from regard.data import Example
from regard.decoding import DecodingSettings
from regard.errors import InputError, SettingsError
from regard.models import AlignmentSettings

TEXTS = ["3. Mai 2018", "", "jeudi 4 juin 2020", "   "]

Reload = Callable[[Model], Any]


def test_a_translator_from_its_folder_translates_the_same(
    translator: Translator, reloaded: Reload
) -> None:
    again = reloaded(translator)
    for one, other in zip(translator.translate(TEXTS), again.translate(TEXTS), strict=True):
        assert (one.text, one.tokens, one.source_tokens) == (
            other.text,
            other.tokens,
            other.source_tokens,
        )
        assert one.score == pytest.approx(other.score)


def test_a_translation_carries_maps_tokens_and_alignment(translator: Translator) -> None:
    answer = translator.translate("3. Mai 2018", settings=DecodingSettings(n_best=3))[0]
    tokens, sources = len(answer.tokens), len(answer.source_tokens)
    assert answer.source_tokens == (*"3. Mai 2018", "</s>")
    assert answer.text == "".join(answer.tokens)
    assert answer.alignment.shape == (tokens, sources)
    np.testing.assert_allclose(answer.alignment.sum(1), 1, atol=1e-5)
    cross = answer.maps["cross"]
    assert [m.shape for m in cross] == [(1, 2, tokens + 1, sources)] * 2
    # What the decoder reported on the way is what a second pass finds: the mean of layers and heads,
    # at the step that wrote each token; the last row is of the step that wrote EOS.
    weights = np.stack([m.dense()[0].numpy() for m in cross])
    np.testing.assert_allclose(answer.alignment, weights.mean((0, 1))[:-1], atol=1e-5)
    assert answer.read_at == translator.alignment == AlignmentSettings()
    assert len(answer.alternatives) == 2
    assert answer.score >= answer.alternatives[0].score >= answer.alternatives[1].score
    assert all(0 <= i < 4 and j >= 0 for i, j in answer.word_alignment())


def test_the_layer_head_and_step_of_an_alignment_can_be_given(translator: Translator) -> None:
    for chosen in (
        AlignmentSettings(layer=1),
        AlignmentSettings(layer=2, head=1, reading="input"),
        AlignmentSettings(head=2),
    ):
        layer, head, reading = chosen.layer, chosen.head, chosen.reading
        answer = translator.translate("3. Mai 2018", alignment=chosen)[0]
        weights = np.stack([m.dense()[0].numpy() for m in answer.maps["cross"]])
        layers = weights.mean(0) if layer is None else weights[layer - 1]
        found = layers.mean(0) if head is None else layers[head - 1]
        rows = found[1:] if reading == "input" else found[:-1]
        np.testing.assert_allclose(answer.alignment, rows, atol=1e-5)
        assert answer.read_at == chosen
        assert answer.aligned().reading == chosen.describe(2, 2)
        assert f"decoder's {reading}" in answer.look().reading
    assert translator.alignment == AlignmentSettings()
    for wrong in (AlignmentSettings(layer=3), AlignmentSettings(head=3)):
        with pytest.raises(SettingsError, match="3 of cross-attention; this model has 2"):
            translator.translate("3. Mai 2018", alignment=wrong)


def test_look_shows_the_attention_of_a_given_target(translator: Translator) -> None:
    record = translator.look("3. Mai 2018", "2018-05-03")
    assert record.tokens["target"].pieces == (*"2018-05-03", "</s>")
    assert record.tokens["decoder input"].pieces == ("<s>", *"2018-05-03")
    assert "decoder's output" in record.reading
    assert {(t.name, t.layer) for t in record.tracks} == {
        (name, layer) for name in ("encoder", "decoder", "cross") for layer in (0, 1)
    }


def test_look_reads_cross_attention_at_either_step(translator: Translator) -> None:
    given = ("3. Mai 2018", "2018-05-03")
    written, read = translator.look(*given), translator.look(*given, reading="input")
    assert read.tokens["target"].pieces == ("<s>", *"2018-05-03")
    assert "decoder's input" in read.reading
    for one, other in zip(written.tracks, read.tracks, strict=True):  # row t is step t in both
        assert isinstance(one.weights, np.ndarray)
        assert isinstance(other.weights, np.ndarray)
        np.testing.assert_array_equal(one.weights, other.weights)
    for name in ("encoder", "decoder"):  # what self-attention read does not depend on the reading
        track = next(t for t in written.tracks if t.name == name)
        same = next(t for t in read.tracks if t.name == name)
        assert written.queries(track).pieces == read.queries(same).pieces
    answer = translator.translate(given[0])[0]
    assert answer.look().reading == written.reading
    assert answer.look("input").tokens["target"].pieces == ("<s>", *answer.tokens)
    with pytest.raises(InputError, match="reading 'sideways'; expected 'output'"):
        translator.look(*given, reading="sideways")  # type: ignore[arg-type]
    with pytest.raises(InputError, match="reading 'sideways'"):
        answer.aligned("sideways")  # type: ignore[arg-type]


def test_a_translation_begins_with_its_prefix(translator: Translator) -> None:
    found = translator.translate(["", "3. Mai 2018"], prefix=["", "20"])
    assert found[1].text.startswith("20")


def test_an_evaluation_says_how_many_sources_were_cut(translator: Translator) -> None:
    long = Example("3 May 2001 " * 60, "2001-05-03")
    settings = DecodingSettings(method="greedy", max_length=4)
    found = translator.evaluate([Example("3 May 2001", "2001-05-03"), long], settings=settings)
    assert found.note == "1 of 2 sources are longer than max_tokens and were cut"
    assert translator.evaluate([Example("3 May", "05-03")], settings=settings).note == ""
