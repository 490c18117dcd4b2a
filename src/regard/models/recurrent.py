"""What recurrent models are made of: a bidirectional encoder, and a decoder cell step by step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

from regard.layers.dropout import Dropout

__all__ = ["BiEncoder", "Hidden", "Recurrence"]

Hidden = tuple[tuple[Tensor, ...], ...]
"""Per layer the output, and the cell too in an LSTM: `(batch, width)` each."""


def recurrent_layer(
    cell: Literal["gru", "lstm"],
    inputs: int,
    width: int,
    *,
    layers: int = 1,
    dropout: float = 0.0,
    bidirectional: bool = False,
) -> nn.GRU | nn.LSTM:
    """torch's layer, initialised with Xavier inputs and orthogonal recurrence, gate by gate.

    The forget gate of an LSTM starts open (Jozefowicz et al. 2015).
    """
    kind = nn.GRU if cell == "gru" else nn.LSTM
    layer = kind(
        inputs,
        width,
        num_layers=layers,
        dropout=dropout if layers > 1 else 0.0,
        bidirectional=bidirectional,
        batch_first=True,
    )
    for name, parameter in layer.named_parameters():
        if "bias" in name:
            nn.init.zeros_(parameter)
            if cell == "lstm" and "bias_ih" in name:
                nn.init.ones_(parameter[width : 2 * width])
        else:
            for gate in torch.split(parameter, width):
                (nn.init.orthogonal_ if "weight_hh" in name else nn.init.xavier_uniform_)(gate)
    return layer


class BiEncoder(nn.Module):
    """A recurrent layer read both ways; padding is never read.

    Args:
        cell: GRU (Cho et al. 2014) or LSTM.
        inputs: width of what is read.
        width: of each direction.
        layers: one on the other.
        dropout: between layers.
    """

    def __init__(
        self,
        cell: Literal["gru", "lstm"],
        inputs: int,
        width: int,
        *,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.rnn = recurrent_layer(
            cell, inputs, width, layers=layers, dropout=dropout, bidirectional=True
        )

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read every sequence.

        Args:
            x: `(batch, length, inputs)`.
            lengths: `(batch,)`, each at least 1.

        Returns:
            States `(batch, length, 2 * width)`, zero in the padding, and the last state of both
            directions of the top layer, `(batch, 2 * width)`.
        """
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, last = self.rnn(packed)
        hidden = last[0] if isinstance(last, tuple) else last
        states, _ = pad_packed_sequence(states, batch_first=True, total_length=x.shape[1])
        return states, torch.cat([hidden[-2], hidden[-1]], -1)


class Recurrence(nn.Module):
    """A unidirectional recurrent layer, over a whole sequence or one step at a time.

    Args:
        cell: GRU or LSTM.
        inputs: width of what is known beforehand (embedded tokens).
        width: of the state.
        feed: width of what is known only when the step comes (input feeding).
        layers: one on the other.
        dropout: between layers.
    """

    def __init__(
        self,
        cell: Literal["gru", "lstm"],
        inputs: int,
        width: int,
        *,
        feed: int = 0,
        layers: int = 1,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        self.cell, self.inputs, self.layers = cell, inputs, layers
        self.rnn = recurrent_layer(cell, inputs + feed, width, layers=layers, dropout=dropout)
        self.dropout = Dropout(dropout)

    def begin(self, outputs: Tensor) -> Hidden:
        """Every layer starts from `outputs` `(batch, width)`; an LSTM's cells start empty."""
        one = (outputs,) if self.cell == "gru" else (outputs, torch.zeros_like(outputs))
        return (one,) * self.layers

    def prepare(self, x: Tensor) -> Tensor:
        """The inputs' share of the first layer's gates, for all steps in one product."""
        return F.linear(x, self._weight("ih", 0)[:, : self.inputs], self._bias("ih", 0))

    def step(self, prepared: Tensor, fed: Tensor | None, hidden: Hidden) -> tuple[Tensor, Hidden]:
        """One step.

        Args:
            prepared: `(batch, gates)`, one step of what `prepare` returned.
            fed: `(batch, feed)`, or `None` where nothing is fed.
            hidden: from the step before.

        Returns:
            The output of the top layer `(batch, width)`, and the hidden state.
        """
        gates = prepared
        if fed is not None:
            gates = gates + F.linear(fed, self._weight("ih", 0)[:, self.inputs :])
        after: list[tuple[Tensor, ...]] = []
        for layer, before in enumerate(hidden):
            if layer:
                below = self.dropout(after[-1][0])
                gates = F.linear(below, self._weight("ih", layer), self._bias("ih", layer))
            recurrent = F.linear(before[0], self._weight("hh", layer), self._bias("hh", layer))
            after.append((_gru if self.cell == "gru" else _lstm)(gates, recurrent, before))
        return after[-1][0], tuple(after)

    def run(self, x: Tensor, hidden: Hidden) -> Tensor:
        """All steps at once, where nothing is fed: `(batch, length, inputs)` to `(..., width)`."""
        stacked = [torch.stack(part) for part in zip(*hidden, strict=True)]
        start = stacked[0] if self.cell == "gru" else tuple(stacked)
        outputs: Tensor = self.rnn(x, start)[0]
        return outputs

    def _weight(self, side: str, layer: int) -> Tensor:
        weight: Tensor = getattr(self.rnn, f"weight_{side}_l{layer}")
        return weight

    def _bias(self, side: str, layer: int) -> Tensor:
        bias: Tensor = getattr(self.rnn, f"bias_{side}_l{layer}")
        return bias


def _gru(gates: Tensor, recurrent: Tensor, before: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """torch's GRU: the reset gate acts on the product of the state, not on the state."""
    reset, update, new = gates.chunk(3, -1)
    own_reset, own_update, own_new = recurrent.chunk(3, -1)
    reset, update = torch.sigmoid(reset + own_reset), torch.sigmoid(update + own_update)
    new = torch.tanh(torch.addcmul(new, reset, own_new))
    return (torch.lerp(new, before[0], update),)


def _lstm(gates: Tensor, recurrent: Tensor, before: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """torch's LSTM: gates in the order input, forget, cell, output."""
    enter, forget, new, leave = (gates + recurrent).chunk(4, -1)
    cell = torch.sigmoid(forget) * before[1] + torch.sigmoid(enter) * torch.tanh(new)
    return torch.sigmoid(leave) * torch.tanh(cell), cell
