"""Decoding steps of a Transformer in compiled kernels and products, without modules and attention maps.

A step of the modules (`Transformer.step`, the slow twin) takes some hundred calls of torch, most of them for
maps that nobody reads, masks and checks. Here a step is 15 calls for each layer, and the attention to the
source is summed up while it is computed. What is not known here, or is observed, is left to the modules: see
`CompiledDecoder.of`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Protocol, Self

import torch
from torch import Tensor, nn
from torch.nn.modules import module as torch_module
from torch.overrides import _get_current_function_mode
from torch.utils._python_dispatch import _get_current_dispatch_mode

from regard.attention.exporting import is_exporting
from regard.attention.normalizers import Softmax
from regard.attention.scores import ScaledDot
from regard.compiled.memory import empty_in_large_pages
from regard.layers import MultiHeadAttention, Positions
from regard.layers.cache import DeferredCaches
from regard.layers.dropout import Dropout
from regard.layers.linear import Linear
from regard.layers.reduced import ReducedLinear
from regard.models.building_blocks import Embedding, FeedForward, Residual
from regard.models.contracts import State, Step
from regard.models.reading import AlignmentSettings
from regard.models.transformer_layers import DecoderLayer

__all__ = ["CompiledDecoder", "CompiledState"]

Product = Callable[[Tensor], Tensor]

PLAIN = (
    DecoderLayer, MultiHeadAttention, FeedForward, Residual, Positions, Linear, ReducedLinear, Dropout,
    nn.LayerNorm, nn.ReLU, nn.GELU,
)  # fmt: skip
"""Modules whose arithmetic is known here; a subclass may compute anything."""


class WithDecoder(Protocol):
    """What is needed of a Transformer."""

    target: Embedding
    places: nn.Module | None
    decoder: nn.ModuleList
    decoder_norm: nn.LayerNorm | nn.Identity
    output: Linear
    alignment: AlignmentSettings
    training: bool

    def parameters(self) -> Iterator[nn.Parameter]:
        """All of its parameters."""
        ...


@dataclass(frozen=True)
class _Norm:
    """Parameters of a layer norm."""

    weight: Tensor
    bias: Tensor
    epsilon: float

    @classmethod
    def of(cls, norm: nn.LayerNorm) -> _Norm:
        return cls(norm.weight.detach(), norm.bias.detach(), norm.eps)

    def after_sum(self, x: Tensor, y: Tensor | None) -> Tensor:
        """The norm of `x + y`, which becomes `x`."""
        from regard.compiled.norm import add_layer_norm  # Numba is slow to import

        return add_layer_norm(x, y, self.weight, self.bias, self.epsilon)


@dataclass(frozen=True)
class _Layer:
    """A decoder layer as its products and norms, in the order in which they are needed."""

    own_norm: _Norm
    project: Product
    own_output: Product
    cross_norm: _Norm
    cross_query: Product
    cross_output: Product
    inner_norm: _Norm
    inner: Product
    activation: Product
    outer: Product
    share: Tensor

    @classmethod
    def of(cls, layer: DecoderLayer, share: Tensor) -> _Layer:
        inner, activation, _, outer = layer.feedforward
        assert isinstance(inner, Linear)
        assert isinstance(outer, Linear)
        return cls(
            _Norm.of(layer.around_attention.norm),
            layer.attention.projection.row_product(),
            layer.attention.output.row_product(),
            _Norm.of(layer.around_cross.norm),
            layer.cross.projection.row_product(slice(layer.cross.width)),
            layer.cross.output.row_product(),
            _Norm.of(layer.around_feedforward.norm),
            inner.row_product(),
            torch.relu_ if isinstance(activation, nn.ReLU) else nn.functional.gelu,
            outer.row_product(),
            share,
        )


@dataclass(frozen=True)
class CompiledDecoder:
    """The decoder of a Transformer, prepared for the steps of one search.

    Attributes:
        model: of which embedding, positions and output layer are taken.
        layers: its decoder layers.
        norm: behind the last of them.
        heads: of every attention.
        scale: of the dot products.
    """

    model: WithDecoder
    layers: tuple[_Layer, ...]
    norm: _Norm
    heads: int
    scale: float

    @classmethod
    def of(cls, model: WithDecoder) -> CompiledDecoder | None:
        """Prepare a decoder that has no gradient, nobody to observe it, and nothing but what is known here.

        Returns:
            `None` for training, other devices and types than float32 on a processor, exports, hooks,
            modes of torch, changed modules, post-normalisation, and positions inside attention.
        """
        layers = [layer for layer in model.decoder if isinstance(layer, DecoderLayer)]
        norm = model.decoder_norm
        if not (
            torch.is_inference_mode_enabled()
            and not model.training
            and type(norm) is nn.LayerNorm
            and len(layers) == len(model.decoder)
            and _is_unobserved(model)
            and all(_is_plain(layer) for layer in layers)
            and all(_is_affine(part) for part in (norm, *model.decoder.modules()))
        ):
            return None
        heads = layers[0].attention.heads
        features = layers[0].attention.width // heads
        shares = _shares(model, len(layers), heads)
        return cls(
            model,
            tuple(map(_Layer.of, layers, shares)),
            _Norm.of(norm),
            heads,
            features**-0.5,
        )

    def start(self, rows: int) -> CompiledState:
        """The state before the first token."""
        width = self.norm.weight.numel()
        memory = torch.empty(len(self.layers), 0, rows, 2 * width)
        return CompiledState(self, _Positions(memory, 0), torch.empty(rows, 0, dtype=torch.int64))

    def embed(self, token: Tensor, position: int) -> Tensor:
        """The input of the first layer, `(rows, width)`."""
        x: Tensor = self.model.target(token)
        places = self.model.places
        return x.contiguous() if places is None else x + places(1, first=position)


@dataclass
class _Positions:
    """Memory of keys and values, side by side, of the positions so far.

    Attributes:
        both: `(layers, positions, stored, 2 * width)`.
        filled: positions written so far.
    """

    both: Tensor
    filled: int


@dataclass(frozen=True)
class CompiledState(State):
    """State of a search in compiled steps; may be stepped from twice, as any other.

    Attributes:
        decoder: prepared.
        positions: keys and values, shared with other states.
        row_index: `(rows, position)`, the row in memory of each position, as in `layers.cache.Cache`.
    """

    decoder: CompiledDecoder
    positions: _Positions
    row_index: Tensor

    def select(self, indices: Tensor) -> Self:
        """The state of the rows at `indices`."""
        return replace(self, row_index=self.row_index.index_select(0, indices))

    def step(self, token: Tensor, mask: Tensor, source: DeferredCaches, out: Tensor | None) -> Step:
        """Feed one token per row; see `EncoderDecoder.step`.

        Args:
            token: `(rows,)`.
            mask: `(examples, keys)` Boolean, where a row of each example may attend.
            source: keys and values of the source.
            out: where the logits may be written.
        """
        from regard.attention.kernels.decoder_attention import attend_own, attend_source

        decoder, rows, position = self.decoder, len(token), self.row_index.shape[1]
        positions, row_index = self._with_room(rows)
        example = torch.arange(len(mask)) if source.rows is None else source.rows
        weights = torch.zeros(rows, mask.shape[1])
        sizes = decoder.heads, decoder.scale
        x, y = decoder.embed(token, position), None
        for number, (layer, cache) in enumerate(zip(decoder.layers, source.stored, strict=True)):
            projected = layer.project(layer.own_norm.after_sum(x, y))
            y = layer.own_output(attend_own(projected, positions.both[number], row_index, *sizes))
            query = layer.cross_query(layer.cross_norm.after_sum(x, y))
            y = layer.cross_output(
                attend_source(
                    query,
                    cache.key,
                    cache.value,
                    example,
                    mask,
                    layer.share,
                    weights,
                    decoder.scale,
                )
            )
            inner = layer.activation(layer.inner(layer.inner_norm.after_sum(x, y)))
            y = layer.outer(inner)
        logits = decoder.model.output.into(decoder.norm.after_sum(x, y), out)
        return Step(logits, replace(self, positions=positions, row_index=row_index), weights)

    def _with_room(self, rows: int) -> tuple[_Positions, Tensor]:
        """Memory with a place for the next position of each row, and its table.

        Copies what these rows need if the memory is full, or if the next position has been written already
        by another state.
        """
        positions, row_index = self.positions, self.row_index
        used, own = row_index.shape[1], torch.arange(rows)[:, None]
        layers, size, stored, features = positions.both.shape
        if used == size or positions.filled != used or rows > stored:
            both = empty_in_large_pages((layers, max(16, 2 * (used + 1)), rows, features))
            for position in range(used):
                both[:, position] = positions.both[:, position].index_select(
                    1, row_index[:, position]
                )
            positions, row_index = _Positions(both, used), own.expand(rows, used)
        positions.filled = used + 1
        return positions, torch.cat([row_index, own], 1)


def _shares(model: WithDecoder, layers: int, heads: int) -> list[Tensor]:
    """What each head of each layer counts for in the attention that a step returns."""
    chosen = torch.zeros(layers, heads)
    layer, head = model.alignment.layer, model.alignment.head
    part = chosen if layer is None else chosen[layer - 1 : layer]
    part = part if head is None else part[:, head - 1 : head]
    part.fill_(1 / part.numel())
    return list(chosen)


def _is_unobserved(model: WithDecoder) -> bool:
    """Whether nobody follows modules or operators, and products are those of float32 on a processor."""
    parts = model.output, model.target, model.decoder_norm, *model.decoder.modules()
    return (
        not is_exporting()
        and not torch.compiler.is_compiling()
        and not torch.is_autocast_enabled("cpu")
        and _get_current_dispatch_mode() is None
        and _get_current_function_mode() is None  # type: ignore[no-untyped-call]
        and not _hooked(torch_module.__dict__, "_global_")
        and not any(_hooked(part.__dict__, "_") or "forward" in part.__dict__ for part in parts)
        and all(p.dtype == torch.float32 and p.device.type == "cpu" for p in model.parameters())
    )


def _hooked(names: dict[str, object], prefix: str) -> bool:
    return any(names.get(f"{prefix}{kind}") for kind in ("forward_hooks", "forward_pre_hooks"))


def _is_affine(module: nn.Module) -> bool:
    """Whether a module is a norm with factors and offsets, or no norm."""
    return not isinstance(module, nn.LayerNorm) or not (
        module.weight is None or module.bias is None
    )


def _is_plain(layer: DecoderLayer) -> bool:
    """Whether a layer consists of modules whose arithmetic is known here, pre-normalised."""
    attention = layer.attention, layer.cross
    return (
        type(layer) is DecoderLayer
        and all(type(part) in PLAIN for part in layer.modules())
        and layer.around_attention.pre_norm
        and all(
            type(part.score) is ScaledDot
            and part.score.scale is None
            and type(part.normalizer) is Softmax
            and part.normalizer.sink is None
            and part.extra_keys is None
            and part.memory is None
            and part.key_heads == part.heads == layer.attention.heads
            for part in attention
        )
    )
