"""Hearing an answer grow, hiding source words from it, and what may come next."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from regard.decoding import DecodingSettings, decode, likeliest_next
from regard.models import EncoderDecoder
from regard.text import BOS

Source = tuple[Tensor, Tensor]


def test_a_hidden_place_is_not_looked_at_and_others_do_not_notice(
    model: EncoderDecoder, source: Source
) -> None:
    hidden = torch.zeros_like(source[0], dtype=torch.bool)
    hidden[1, [0, 3]] = True
    plain = decode(model, *source)
    found = decode(model, *source, hidden=hidden)
    for row, (one, other) in enumerate(zip(plain, found, strict=True)):
        if row != 1:
            assert one[0].ids == other[0].ids
            assert one[0].log_probs == pytest.approx(other[0].log_probs, abs=1e-6)
    weights = found[1][0].attention
    assert not weights[:, [0, 3]].any()
    assert weights.sum(1) == pytest.approx(1.0, abs=1e-5)
    assert plain[1][0].log_probs != pytest.approx(found[1][0].log_probs, abs=1e-5)


def test_hiding_everything_leaves_finite_answers(model: EncoderDecoder, source: Source) -> None:
    found = decode(model, *source, hidden=torch.ones_like(source[0], dtype=torch.bool))
    for (hypothesis,) in found:
        assert torch.tensor(hypothesis.log_probs).isfinite().all()
        assert not hypothesis.attention.any()


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_a_listener_hears_every_step_in_its_place(
    model: EncoderDecoder, source: Source, method: str
) -> None:
    heard: dict[int, list[list[int]]] = {row: [] for row in range(len(source[0]))}
    settings = DecodingSettings(method=method, beam=1, rows=2, max_length=6)
    found = decode(model, *source, settings, listener=lambda row, ids: heard[row].append(ids))
    for row, (hypothesis,) in enumerate(found):
        ids = hypothesis.ids
        assert heard[row] == [ids[:count] for count in range(1, len(ids) + 1)]


def test_a_listener_hears_the_best_of_a_beam(model: EncoderDecoder, source: Source) -> None:
    first: dict[int, list[int]] = {}
    decode(
        model,
        *source,
        DecodingSettings(beam=4, min_length=2),
        listener=lambda row, ids: first.setdefault(row, ids),
    )
    for row, length in enumerate(source[1]):
        logs = likeliest_next(model, source[0][row : row + 1, :length], length[None], [])
        logs[:4] = -torch.inf
        logs[1] = likeliest_next(model, source[0][row : row + 1, :length], length[None], [])[1]
        assert first[row] == [int(logs.argmax())]


def test_what_may_come_next_is_what_teacher_forcing_says(
    model: EncoderDecoder, source: Source
) -> None:
    ids, length = source[0][1:2], source[1][1:2]
    found = likeliest_next(model, ids, length, [5, 4, 6])
    logits = model(ids, length, torch.tensor([[BOS, 5, 4, 6]])).logits[0, -1]
    assert found == pytest.approx(logits.log_softmax(-1), abs=1e-5)
    hidden = torch.tensor([[True, False, False, False, False]])
    assert likeliest_next(model, ids, length, [5], hidden=hidden) != pytest.approx(
        likeliest_next(model, ids, length, [5]), abs=1e-3
    )
