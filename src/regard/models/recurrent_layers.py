"""What recurrent models are made of: a bidirectional encoder, and a decoder cell step by step."""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.layers.deferred_gradients import Matmul
from regard.layers.dropout import Dropout
from regard.layers.single_head import PLAIN_MATMUL

__all__ = ["BidirectionalRnn", "DecoderRnn", "Hidden"]

Hidden = tuple[tuple[Tensor, ...], ...]
"""Per layer the output, and the cell too in an LSTM: `(batch, width)` each."""


def recurrent_layer(
    cell: Literal["gru", "lstm"],
    inputs: int,
    width: int,
    *,
    layers: int = 1,
    dropout: float = 0.0,
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


class BidirectionalRnn(nn.Module):
    """A recurrent layer read both ways; padding is never read.

    The second direction reads each sequence mirrored within its own length, so nothing is packed: the
    backward pass of torch's packed layers adds up a gradient as large as the batch at every step, which
    took a third of a small model's training.

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
        widths = [inputs] + [2 * width] * (layers - 1)
        self.onward = nn.ModuleList(recurrent_layer(cell, w, width) for w in widths)
        self.reverse = nn.ModuleList(recurrent_layer(cell, w, width) for w in widths)
        self.dropout = Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Read every sequence.

        Args:
            x: `(batch, length, inputs)`.
            lengths: `(batch,)`, each at least 1.

        Returns:
            States `(batch, length, 2 * width)`, zero in the padding, and the last state of both
            directions of the top layer, `(batch, 2 * width)`.
        """
        place = torch.arange(x.shape[1], device=x.device)
        padded = (place >= lengths[:, None])[..., None]
        mirror = torch.where(padded[..., 0], place, lengths[:, None] - 1 - place)
        x = x.masked_fill(padded, 0.0)
        for layer, (onward, reverse) in enumerate(zip(self.onward, self.reverse, strict=True)):
            x = self.dropout(x) if layer else x
            one, two = onward(x)[0], _mirrored(reverse(_mirrored(x, mirror))[0], mirror)
            x = torch.cat([one, two], -1).masked_fill(padded, 0.0)
        ends = one[torch.arange(len(x), device=x.device), lengths - 1]
        return x, torch.cat([ends, two[:, 0]], -1)


def _mirrored(x: Tensor, mirror: Tensor) -> Tensor:
    """`x` `(batch, length, features)` with place `mirror[b, t]` at place `t`."""
    return x.gather(1, mirror[..., None].expand_as(x))


class DecoderRnn(nn.Module):
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
        self.cell, self.layers = cell, layers
        self.rnn = recurrent_layer(cell, inputs, width, layers=layers, dropout=dropout)
        gates = len(self._weight("hh", 0))
        self.feed = nn.Parameter(torch.empty(gates, feed)) if feed else None
        if self.feed is not None:
            for gate in torch.split(self.feed.data, width):
                nn.init.xavier_uniform_(gate)
        self.dropout = Dropout(dropout)

    def begin(self, outputs: Tensor) -> Hidden:
        """Every layer starts from `outputs` `(batch, width)`; an LSTM's cells start empty."""
        one = (outputs,) if self.cell == "gru" else (outputs, torch.zeros_like(outputs))
        return (one,) * self.layers

    def prepare(self, x: Tensor) -> Tensor:
        """The inputs' share of the first layer's gates, for all steps in one product."""
        return F.linear(x, self._weight("ih", 0), self._bias("ih", 0))

    def step(
        self, prepared: Tensor, fed: Tensor, hidden: Hidden, matmul: Matmul = PLAIN_MATMUL
    ) -> tuple[Tensor, Hidden]:
        """One step.

        Args:
            prepared: `(batch, gates)`, one step of what `prepare` returned.
            fed: `(batch, feed)`; not looked at where nothing is fed.
            hidden: from the step before.
            matmul: `DeferredMatmul` in a loop that is trained.

        Returns:
            The output of the top layer `(batch, width)`, and the hidden state.
        """
        gates = prepared if self.feed is None else prepared + matmul.linear(fed, self.feed)
        after: list[tuple[Tensor, ...]] = []
        for layer, before in enumerate(hidden):
            if layer:
                below = self.dropout(after[-1][0])
                gates = matmul.linear(below, self._weight("ih", layer), self._bias("ih", layer))
            weight, bias = self._weight("hh", layer), self._bias("hh", layer)
            recurrent = matmul.linear(before[0], weight, bias)
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
