"""Drafts while decoding, source positions masked out, and probabilities of the next token."""

from __future__ import annotations

from typing import Literal, TypeAlias

import pytest
import torch
from torch import Tensor

from regard.decoding import DecodingSettings, decode, next_log_probs
from regard.models import EncoderDecoder
from regard.text import BOS

Source: TypeAlias = tuple[Tensor, Tensor]
Method: TypeAlias = Literal["greedy", "beam", "sample"]


def test_a_masked_position_gets_no_attention_and_other_examples_are_unchanged(
    model: EncoderDecoder, source: Source
) -> None:
    masked_out = torch.zeros_like(source[0], dtype=torch.bool)
    masked_out[1, [0, 3]] = True
    plain = decode(model, *source)
    found = decode(model, *source, masked_out=masked_out)
    for row, (one, other) in enumerate(zip(plain, found, strict=True)):
        if row != 1:
            assert one[0].ids == other[0].ids
            assert one[0].log_probs == pytest.approx(other[0].log_probs, abs=1e-6)
    weights = found[1][0].attention
    assert not weights[:, [0, 3]].any()
    assert weights.sum(1) == pytest.approx(1.0, abs=1e-5)
    assert plain[1][0].log_probs != pytest.approx(found[1][0].log_probs, abs=1e-5)


def test_masking_everything_leaves_finite_answers(model: EncoderDecoder, source: Source) -> None:
    found = decode(model, *source, masked_out=torch.ones_like(source[0], dtype=torch.bool))
    for (hypothesis,) in found:
        assert torch.tensor(hypothesis.log_probs).isfinite().all()
        assert not hypothesis.attention.any()


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_every_step_is_reported_with_the_index_of_its_example(
    model: EncoderDecoder, source: Source, method: Method
) -> None:
    drafts: dict[int, list[list[int]]] = {row: [] for row in range(len(source[0]))}
    settings = DecodingSettings(method=method, beam=1, rows=2, max_length=6)
    found = decode(model, *source, settings, on_draft=lambda row, ids: drafts[row].append(ids))
    for row, (hypothesis,) in enumerate(found):
        ids = hypothesis.ids
        assert drafts[row] == [ids[:count] for count in range(1, len(ids) + 1)]


def test_the_best_of_a_beam_is_reported(model: EncoderDecoder, source: Source) -> None:
    first: dict[int, list[int]] = {}
    decode(
        model,
        *source,
        DecodingSettings(beam=4, min_length=2),
        on_draft=lambda row, ids: first.setdefault(row, ids),
    )
    for row, length in enumerate(source[1]):
        logs = next_log_probs(model, source[0][row : row + 1, :length], length[None], [])
        logs[:4] = -torch.inf
        logs[1] = next_log_probs(model, source[0][row : row + 1, :length], length[None], [])[1]
        assert first[row] == [int(logs.argmax())]


def test_next_log_probs_against_teacher_forcing(model: EncoderDecoder, source: Source) -> None:
    ids, length = source[0][1:2], source[1][1:2]
    found = next_log_probs(model, ids, length, [5, 4, 6])
    logits = model(ids, length, torch.tensor([[BOS, 5, 4, 6]])).logits[0, -1]
    assert found == pytest.approx(logits.log_softmax(-1), abs=1e-5)
    masked_out = torch.tensor([[True, False, False, False, False]])
    assert next_log_probs(model, ids, length, [5], masked_out=masked_out) != pytest.approx(
        next_log_probs(model, ids, length, [5]), abs=1e-3
    )
