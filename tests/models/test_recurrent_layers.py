"""Recurrent layers against torch's."""

from __future__ import annotations

from typing import Literal, TypeAlias

import pytest
import torch
from torch import nn

from regard.models.recurrent_layers import BidirectionalRnn, DecoderRnn

Cell: TypeAlias = Literal["gru", "lstm"]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


@pytest.mark.parametrize("cell", ["gru", "lstm"])
@pytest.mark.parametrize("layers", [1, 2])
def test_steps_against_torch(cell: Cell, layers: int) -> None:
    rnn = DecoderRnn(cell, 3, 4, layers=layers)
    x, hidden = torch.randn(2, 5, 3), rnn.initial_state(torch.randn(2, 4))
    whole = rnn.run_all(x, hidden)
    for t, projected in enumerate(rnn.project_inputs(x).unbind(1)):
        output, hidden = rnn.step(projected, None, hidden)
        torch.testing.assert_close(output, whole[:, t])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_input_feeding_adds_to_the_gates(cell: Cell) -> None:
    rnn = DecoderRnn(cell, 3, 4, feed=2)
    x, fed, hidden = torch.randn(2, 1, 3), torch.randn(2, 2), rnn.initial_state(torch.randn(2, 4))
    output, _ = rnn.step(rnn.project_inputs(x)[:, 0], fed, hidden)
    assert rnn.feed is not None
    gates = rnn.project_inputs(x)[:, 0] + fed @ rnn.feed.T
    rnn.feed = None
    whole, _ = rnn.step(gates, fed, hidden)
    torch.testing.assert_close(output, whole)
    assert not torch.allclose(output, rnn.step(rnn.project_inputs(x)[:, 0], fed, hidden)[0])


def test_sequences_of_one_length_as_beside_a_longer_one() -> None:
    """Without padding nothing is masked and the mirrored sequence is flipped, with equal gradients."""
    encoder = BidirectionalRnn("gru", 3, 4, layers=2)
    x = torch.randn(3, 5, 3)
    gradients, answers = [], []
    for rows, lengths in ((2, [4, 4]), (3, [4, 4, 5])):
        given = x[:rows, : max(lengths)].clone().requires_grad_()
        states, last = encoder(given, torch.tensor(lengths))
        (states[:2] * torch.arange(8)).sum().backward()
        answers.append((states[:2, :4], last[:2]))
        assert given.grad is not None
        gradients.append(given.grad[:2, :4])
    torch.testing.assert_close(answers[0], answers[1])
    torch.testing.assert_close(gradients[0], gradients[1])


@pytest.mark.parametrize("cell", ["gru", "lstm"])
def test_the_encoder_against_torch_without_padding(cell: Cell) -> None:
    encoder = BidirectionalRnn(cell, 3, 4, layers=2)
    x, lengths = torch.randn(3, 6, 3), torch.tensor([2, 6, 1])
    with_nan = x.clone()
    with_nan[torch.arange(6) >= lengths[:, None]] = torch.nan
    states, last = encoder(with_nan, lengths)
    theirs = (nn.GRU if cell == "gru" else nn.LSTM)(3, 4, 2, bidirectional=True, batch_first=True)
    for side, suffix in ((encoder.onward, ""), (encoder.reverse, "_reverse")):
        for layer, module in enumerate(side):
            for name, value in module.state_dict().items():
                getattr(theirs, name.replace("l0", f"l{layer}{suffix}")).data.copy_(value)
    assert not states[torch.arange(6) >= lengths[:, None]].any()
    for row, n in enumerate(lengths):
        alone, _ = theirs(x[row : row + 1, :n])
        torch.testing.assert_close(states[row, :n], alone[0])
        ends = torch.cat([alone[0, -1, :4], alone[0, 0, 4:]])
        torch.testing.assert_close(last[row], ends)
