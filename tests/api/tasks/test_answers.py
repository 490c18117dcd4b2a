"""Answers outlive their model: pickled, copied, or after its weights have changed."""

from __future__ import annotations

import copy
import pickle
from collections.abc import Callable
from dataclasses import fields
from typing import Any, TypeVar

import numpy as np
import pytest
import torch

from regard.api import Translator
from regard.decoding import DecodingSettings, Reading
from regard.errors import InputError

T = TypeVar("T")


def pickled(value: T) -> T:
    copied: T = pickle.loads(pickle.dumps(value))
    return copied


@pytest.mark.parametrize("copied", [pickled, copy.deepcopy, copy.copy])
@pytest.mark.parametrize(
    "name", ["translator", "classifier", "extractive", "abstractive", "generator"]
)
def test_answers_survive_pickle_and_copies(
    name: str, copied: Callable[[Any], Any], request: pytest.FixtureRequest
) -> None:
    model = request.getfixturevalue(name)
    texts = ["3 May 2001 is here. It is good.", ""]
    ask = getattr(model, model.verb)
    settings = {}
    if model.writes:
        settings["settings"] = model.decoding_settings({"min_length": 2, "max_length": 5})
    for answer in ask(texts, **settings):
        expected = {f.name for f in fields(answer)} - {"view", "alignment_view"}
        before = copied(answer)
        if not answer.tokens:
            continue
        record, maps = answer.look(), answer.maps
        after = copied(answer)
        for again in (before, after):
            for field in expected - {"alignment", "alternatives"}:
                assert getattr(again, field) == getattr(answer, field), field
        assert str(after.look()) == str(record)
        assert list(after.maps) == list(maps)
        for one, other in zip(after.look().tracks, record.tracks, strict=True):
            np.testing.assert_array_equal(one.weights, other.weights)
            assert not one.weights.flags.writeable


def test_a_pickled_translation_keeps_the_map_of_its_decoding(translator: Translator) -> None:
    settings = DecodingSettings(n_best=2, min_length=2, max_length=6)
    (answer,) = translator.translate("3 May 2001", settings=settings)
    again = pickled(pickled(answer))
    with pytest.raises(InputError, match="reading 'sideways'"):
        again.aligned("sideways")  # type: ignore[arg-type]
    assert [other.text for other in again.alternatives] == [a.text for a in answer.alternatives]
    assert again.word_alignment() == answer.word_alignment()
    readings: tuple[Reading | None, ...] = (None, "input", "output")
    for reading in readings:
        one, other = again.aligned(reading), answer.aligned(reading)
        assert (one.reading, one.tokens) == (other.reading, other.tokens)
        np.testing.assert_array_equal(one.tracks[0].weights, other.tracks[0].weights)
    with pytest.raises(InputError, match="left its model behind"):
        again.look()


def test_an_answer_of_other_weights_is_not_shown(translator: Translator) -> None:
    model = copy.deepcopy(translator)
    first, second = model.translate(["3 May 2001", "4 May 2001"])
    shown = first.look()
    with torch.no_grad():
        next(model.network.parameters()).add_(1.0)
    assert first.look() is shown
    with pytest.raises(InputError, match="weights have changed since this answer"):
        second.look()
    assert model.translate("4 May 2001")[0].look()
