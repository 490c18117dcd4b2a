"""A model in the middle of decoding: it stops between two steps."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from regard.cancel import AbandonedError, cancelled_if
from regard.decoding import DecodingSettings, decode, generate
from regard.decoding.stepper import Stepper
from regard.models import EncoderDecoder, LanguageModel


@pytest.mark.parametrize("threads", [1, 2])
def test_decoding_stops_at_its_next_step(
    monkeypatch: pytest.MonkeyPatch,
    model: EncoderDecoder,
    source: tuple[Tensor, Tensor],
    threads: int,
) -> None:
    steps: list[int] = []
    step = Stepper.step

    def counted(self: Stepper, token: Tensor) -> tuple[Tensor, Tensor, Stepper]:
        steps.append(1)
        return step(self, token)

    monkeypatch.setattr(Stepper, "step", counted)
    settings = DecodingSettings(beam=2, rows=2, min_length=8, max_length=9)  # one batch per source
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(threads)
        with pytest.raises(AbandonedError), cancelled_if(lambda: len(steps) > 3):
            decode(model, *source, settings)
    finally:
        torch.set_num_threads(before)
    assert len(steps) <= 3 + len(source[0])  # not 6 sources of 8 steps


def test_generation_stops_at_its_next_step(language_model: LanguageModel) -> None:
    checks: list[int] = []

    def enough() -> bool:
        checks.append(1)
        return len(checks) > 2

    with pytest.raises(AbandonedError), cancelled_if(enough):
        generate(language_model, [[4, 5]], DecodingSettings(method="greedy", min_length=9))
    assert len(checks) == 3
