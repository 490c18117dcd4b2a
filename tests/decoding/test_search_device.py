"""What a search makes lies where its model lies: a device that is not the default one.

torch's meta device stands in for the default: it mixes with no other, so that a tensor made without a word
of where shows itself, as it would with a model on a GPU.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from regard.decoding import DecodingSettings, Hypothesis, decode, generate
from regard.models import EncoderDecoder, LanguageModel

METHODS = [
    {"method": "greedy"},
    {"method": "beam", "n_best": 2, "block_ngrams": 2},
    {"method": "sample", "n_best": 2, "top_p": 0.9},
]


def numbers(found: list[list[Hypothesis]]) -> list[list[tuple[list[int], list[float]]]]:
    return [[(one.ids, list(one.log_probs)) for one in each] for each in found]


@pytest.mark.parametrize("values", METHODS, ids=lambda values: values["method"])
def test_translations(
    model: EncoderDecoder, source: tuple[Tensor, Tensor], values: dict[str, Any]
) -> None:
    settings = DecodingSettings(max_length=6, **values)
    expected = decode(model, *source, settings)
    with torch.device("meta"):
        found = decode(model, *source, settings)
    assert numbers(found) == numbers(expected)


@pytest.mark.parametrize("values", METHODS, ids=lambda values: values["method"])
def test_continuations(language_model: LanguageModel, values: dict[str, Any]) -> None:
    settings = DecodingSettings(max_length=6, **values)
    expected = generate(language_model, [[4, 5, 6], [5]], settings)
    with torch.device("meta"):
        found = generate(language_model, [[4, 5, 6], [5]], settings)
    assert numbers(found) == numbers(expected)
