"""Recurrent layers: a bidirectional encoder, and a decoder that can run step by step."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.attention.exporting import is_exporting
from regard.layers.deferred_gradients import Matmul
from regard.layers.dropout import Dropout
from regard.layers.single_head import PLAIN_MATMUL

__all__ = ["BidirectionalRnn", "DecoderRnn", "Hidden"]

Hidden = tuple[tuple[Tensor, ...], ...]
"""Hidden state of each layer: the output and, in an LSTM, the cell; `(batch, width)` each."""


def recurrent_layer(
    cell: Literal["gru", "lstm"],
    inputs: int,
    width: int,
    *,
    layers: int = 1,
    dropout: float = 0.0,
) -> nn.GRU | nn.LSTM:
    """Make torch's layer, with Xavier initialisation of inputs and orthogonal recurrence, gate by gate.

    The bias of the forget gate of an LSTM is 1 (Jozefowicz et al. 2015).

    Args:
        cell: GRU (Cho et al. 2014) or LSTM.
        inputs: features of the input.
        width: features of the state.
        layers: number of layers, one on the other.
        dropout: rate between layers.
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
        elif not parameter.is_meta:  # an outline: there orthogonal_ would import torch's compiler
            for gate in torch.split(parameter, width):
                (nn.init.orthogonal_ if "weight_hh" in name else nn.init.xavier_uniform_)(gate)
    return layer


class BidirectionalRnn(nn.Module):
    """Bidirectional GRU or LSTM that ignores padding.

    The second direction gets each sequence mirrored within its own length, so nothing is packed: the
    backward pass of torch's packed layers adds up a gradient as large as the batch at every step, which
    took a third of a small model's training.

    Args:
        cell: GRU (Cho et al. 2014) or LSTM.
        inputs: features of the input.
        width: features of each direction's state.
        layers: number of layers, one on the other.
        dropout: rate between layers.
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

        def stack() -> nn.ModuleList:
            return nn.ModuleList(
                recurrent_layer(cell, 2 * width if lower else inputs, width)
                for lower in range(layers)
            )

        self.onward: nn.ModuleList = stack()
        self.reverse: nn.ModuleList = stack()
        self.dropout: Dropout = Dropout(dropout)

    def forward(self, x: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Encode every sequence.

        Args:
            x: `(batch, length, inputs)`.
            lengths: `(batch,)`, each at least 1.

        Returns:
            States `(batch, length, 2 * width)`, zero in the padding, and the last states of both
            directions of the top layer, `(batch, 2 * width)`.
        """
        padding = _Padding.of(x, lengths)
        x = one = two = x if padding is None else x.masked_fill(padding.padded, 0.0)
        for layer, (onward, reverse) in enumerate(zip(self.onward, self.reverse, strict=True)):
            x = self.dropout(x) if layer else x
            one, two = _run(onward, x), _mirrored(_run(reverse, _mirrored(x, padding)), padding)
            x = torch.cat([one, two], -1)
            x = x if padding is None else x.masked_fill(padding.padded, 0.0)
        if padding is None:
            return x, torch.cat([one[:, -1], two[:, 0]], -1)
        # A graph for every batch has no `len`.
        ends = one[torch.arange(x.shape[0], device=x.device), lengths - 1]
        return x, torch.cat([ends, two[:, 0]], -1)


class _Padding(NamedTuple):
    """Padding of a batch.

    Attributes:
        padded: `(batch, length, 1)` Boolean, `True` in the padding.
        mirror: `(batch, length)`, position that each position of the mirrored sequences is from. Padding keeps
            its own, so that they also begin at 0.
    """

    padded: Tensor
    mirror: Tensor

    @classmethod
    def of(cls, x: Tensor, lengths: Tensor) -> _Padding | None:
        """The padding of `x` `(batch, length, inputs)`; `None` where there is none, except in a graph."""
        if not is_exporting() and min(lengths.tolist(), default=0) >= x.shape[1]:
            return None
        position = torch.arange(x.shape[1], device=x.device)
        padded = position >= lengths[:, None]
        return cls(
            padded[..., None], torch.where(padded, position, lengths[:, None] - 1 - position)
        )


def _mirrored(x: Tensor, padding: _Padding | None) -> Tensor:
    """`x` `(batch, length, features)` with each sequence from its end to its beginning."""
    return x.flip(1) if padding is None else x.gather(1, padding.mirror[..., None].expand_as(x))


def _run(layer: nn.Module, x: Tensor) -> Tensor:
    """Outputs of a recurrent layer of one direction, `(batch, length, width)`."""
    assert isinstance(layer, nn.GRU | nn.LSTM)
    outputs: Tensor = _scanned(layer, x) if is_exporting() else layer(x)[0]
    return outputs


def _scanned(layer: nn.GRU | nn.LSTM, x: Tensor) -> Tensor:
    """The outputs by a loop that a graph can hold for every length, where torch unrolls its own for one."""
    # `scan` itself compiles its step, and what it compiled for one loop asks for the sizes of the next, which a
    # graph may not know; this is the operation that it ends in.
    from torch._higher_order_ops.scan import scan_op

    gru = isinstance(layer, nn.GRU)
    names = ("weight_ih_l0", "bias_ih_l0", "weight_hh_l0", "bias_hh_l0")
    weight_in, bias_in, weight, bias = (getattr(layer, name) for name in names)
    gates = F.linear(x, weight_in, bias_in).transpose(0, 1)
    zeros = x.new_zeros(x.shape[0], layer.hidden_size)

    def step(*tensors: Tensor) -> tuple[Tensor, ...]:
        *before, gates, weight, bias = tensors
        after = (_gru if gru else _lstm)(gates, F.linear(before[0], weight, bias), tuple(before))
        return (*after, after[0].clone())  # what is carried on may not be an output, too

    start = (zeros,) if gru else (zeros, zeros.clone())
    *_, outputs = scan_op(step, start, (gates,), (weight, bias))
    result: Tensor = outputs.transpose(0, 1)
    return result


class DecoderRnn(nn.Module):
    """Unidirectional GRU or LSTM, over a whole sequence or one step at a time, with input feeding.

    Args:
        cell: GRU (Cho et al. 2014) or LSTM.
        inputs: features of the input that is known beforehand (embedded tokens).
        width: features of the state.
        feed: features of the input that is known only at its step (input feeding); 0 = none.
        layers: number of layers, one on the other.
        dropout: rate between layers.
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
        self.cell = cell
        self.layers: int = layers
        self.rnn: nn.GRU | nn.LSTM = recurrent_layer(
            cell, inputs, width, layers=layers, dropout=dropout
        )
        gates = len(self._weight("hh", 0))
        self.feed: nn.Parameter | None = nn.Parameter(torch.empty(gates, feed)) if feed else None
        if self.feed is not None:
            for gate in torch.split(self.feed.data, width):
                nn.init.xavier_uniform_(gate)
        self.dropout: Dropout = Dropout(dropout)

    def initial_state(self, outputs: Tensor) -> Hidden:
        """Make the state before the first step: `outputs` `(batch, width)` in every layer, cells 0."""
        one = (outputs,) if self.cell == "gru" else (outputs, torch.zeros_like(outputs))
        return (one,) * self.layers

    def project_inputs(self, x: Tensor) -> Tensor:
        """Multiply the inputs of all steps by the first layer's weights, in one product.

        Args:
            x: `(batch, length, inputs)`, or `(batch, inputs)` for one step.

        Returns:
            `(..., gates)`, to be passed to `step` one step at a time.
        """
        return F.linear(x, self._weight("ih", 0), self._bias("ih", 0))

    def step(
        self, projected: Tensor, fed: Tensor | None, hidden: Hidden, matmul: Matmul = PLAIN_MATMUL
    ) -> tuple[Tensor, Hidden]:
        """Run one step.

        Args:
            projected: `(batch, gates)`, one step of what `project_inputs` returned.
            fed: `(batch, feed)`, or `None` if `feed` is 0.
            hidden: from the step before.
            matmul: `DeferredMatmul` in a loop that is trained.

        Returns:
            The output of the top layer `(batch, width)`, and the hidden state.
        """
        gates = projected
        if self.feed is not None:
            assert fed is not None
            gates = projected + matmul.linear(fed, self.feed)
        after: list[tuple[Tensor, ...]] = []
        for layer, before in enumerate(hidden):
            if layer:
                below = self.dropout(after[-1][0])
                gates = matmul.linear(below, self._weight("ih", layer), self._bias("ih", layer))
            weight, bias = self._weight("hh", layer), self._bias("hh", layer)
            recurrent = matmul.linear(before[0], weight, bias)
            after.append((_gru if self.cell == "gru" else _lstm)(gates, recurrent, before))
        return after[-1][0], tuple(after)

    def run_all(self, x: Tensor, hidden: Hidden) -> Tensor:
        """Run all steps at once, without input feeding: `(batch, length, inputs)` to `(..., width)`."""
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
    """One step of torch's GRU: the reset gate acts on the product of the state, not on the state."""
    reset, update, candidate = gates.chunk(3, -1)
    state_reset, state_update, state_candidate = recurrent.chunk(3, -1)
    reset, update = torch.sigmoid(reset + state_reset), torch.sigmoid(update + state_update)
    candidate = torch.tanh(torch.addcmul(candidate, reset, state_candidate))
    return (torch.lerp(candidate, before[0], update),)


def _lstm(gates: Tensor, recurrent: Tensor, before: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """One step of torch's LSTM: gates in the order input, forget, candidate, output."""
    input_gate, forget_gate, candidate, output_gate = (gates + recurrent).chunk(4, -1)
    kept = torch.sigmoid(forget_gate) * before[1]
    cell = kept + torch.sigmoid(input_gate) * torch.tanh(candidate)
    return torch.sigmoid(output_gate) * torch.tanh(cell), cell
