"""Our networks as graphs: modules from tensors to tensors, with names for inputs, outputs and sizes.

A network that reads is one graph. One that writes is two: `encoder`, and `decoder`, a step that takes what the
encoder gave and the state of the step before, and gives logits and the next state. A language model is a step
alone. Keys and values of the past are part of the state, so that no step computes them again.
"""

from __future__ import annotations

import copy
from abc import abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar, TypeAlias

import torch
from torch import Tensor, nn

from regard.layers import Cache, LearnedPositions, SinusoidalPositions
from regard.layers.cache import DeferredCaches
from regard.models.classifiers.wide_and_deep import WideAndDeep
from regard.models.contracts import Classifier, EncoderDecoder, Memory, Output, State, Step
from regard.models.extractive import SentenceExtractor
from regard.models.language_model import CachedState, TransformerLanguageModel
from regard.models.masked_language_model import MaskedLanguageModel
from regard.models.pointer_generator import PointerGenerator, PointerMemory, PointerState
from regard.models.recurrent_encoder_decoder import (
    RecurrentEncoderDecoder,
    RecurrentMemory,
    RecurrentState,
)
from regard.models.recurrent_layers import Hidden
from regard.models.transformer import Transformer, TransformerMemory, TransformerState

__all__ = ["Graph", "graphs_of", "obstacle"]

Named: TypeAlias = dict[str, Tensor]
Axes: TypeAlias = Mapping[str, tuple[str | None, ...]]


@dataclass(frozen=True)
class Graph:
    """A module to be exported.

    Attributes:
        name: of its file.
        module: takes the inputs in order and returns its outputs by name.
        inputs: an example of each input, by name.
        axes: names of the sizes of each input that may vary, `None` for the others.
        outputs: names of the outputs, in order.
        longest: largest value of a size that has one.
    """

    name: str
    module: nn.Module
    inputs: Mapping[str, Tensor]
    axes: Axes
    outputs: tuple[str, ...]
    longest: Mapping[str, int] = field(default_factory=dict)


def obstacle(network: nn.Module) -> str:
    """Why a network cannot become a graph, as the end of a sentence; empty if it can."""
    known = (
        Classifier, MaskedLanguageModel, SentenceExtractor, TransformerLanguageModel, Transformer,
        RecurrentEncoderDecoder, PointerGenerator,
    )  # fmt: skip
    own = isinstance(network, known) and type(network).__module__.startswith("regard.models")
    return "" if own else "it is a network of another library, whose own tools export it"


def graphs_of(network: nn.Module, *, longest: int, attention: bool) -> list[Graph]:
    """Graphs of a network without obstacle.

    Args:
        network: in evaluation mode; the graphs hold a copy.
        longest: most tokens that it is to read or write, for positions that are a table.
        attention: whether the graphs give their attention maps, too.
    """
    network = copy.deepcopy(network).cpu().float().eval().requires_grad_(False)
    positions = _extend_positions(network, longest)
    limits: dict[str, int] = {}
    if positions is not None:
        limits |= {"length": positions, "source": positions - 1, "past": positions - 1}
    if isinstance(network, TransformerLanguageModel):
        return [_language_model(network, attention)]
    if isinstance(network, EncoderDecoder):
        return _encoder_decoder(network, attention, limits)
    ids, lengths = torch.tensor([[5, 4, 6], [4, 5, 0]]), torch.tensor([3, 2])
    axes: Axes = {"ids": ("batch", "length"), "lengths": ("batch",)}
    if isinstance(network, SentenceExtractor):
        ids = torch.tensor([[[5, 4, 6], [4, 0, 0]], [[4, 4, 0], [0, 0, 0]]])
        lengths = torch.tensor([[3, 1], [2, 0]])
        axes = {"ids": ("batch", "sentences", "words"), "lengths": ("batch", "sentences")}
    reader = _WideAndDeep(network) if isinstance(network, WideAndDeep) else network
    module = _Reader(reader, attention)
    names = tuple(module(ids, lengths))
    given = {"ids": ids, "lengths": lengths}
    limits = {name: size for name, size in limits.items() if name in axes["ids"]}
    return [Graph("model", module, given, axes, names, limits)]


def _extend_positions(network: nn.Module, longest: int) -> int | None:
    """Give sinusoidal positions a table for all lengths; return how many positions there are, if limited."""
    size = None
    for part in network.modules():
        if isinstance(part, SinusoidalPositions):
            size = max(longest, len(part.table))
            part.table = part(size).clone()
        elif isinstance(part, LearnedPositions):
            size = len(part.table)
    return size


class _Reader(nn.Module):
    """A network that reads: ids and lengths to logits, and to its maps."""

    def __init__(self, network: nn.Module, attention: bool) -> None:
        super().__init__()
        self.network = network
        self.attention = attention

    def forward(self, ids: Tensor, lengths: Tensor) -> Named:
        output: Output = self.network(ids, lengths)
        maps = _named_maps(output) if self.attention else {}
        return {"logits": output.logits, **maps}


class _WideAndDeep(nn.Module):
    """`WideAndDeep` in use, its n-grams found by operations that a graph can hold."""

    def __init__(self, network: WideAndDeep) -> None:
        super().__init__()
        self.wide = network.wide.graph()
        self.deep = network.deep
        self.deep_weight = network.deep_weight

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        output: Output = self.deep(ids, lengths)
        return Output(self.wide(ids, lengths) + self.deep_weight * output.logits, output.maps)


def _named_maps(output: Output) -> Named:
    """Maps by name: `attention_encoder_1`, `attention_pooling_1`, ..."""
    return {
        f"attention_{site}_{number}": weights.dense()
        for site, layers in output.maps.items()
        for number, weights in enumerate(layers, 1)
    }


class _LanguageStep(nn.Module):
    """Some further tokens of a language model, with keys and values of those before."""

    def __init__(self, network: TransformerLanguageModel, attention: bool) -> None:
        super().__init__()
        self.network = network
        self.attention = attention

    def forward(self, ids: Tensor, keys: Tensor, values: Tensor) -> Named:
        caches = tuple(Cache(key, value) for key, value in zip(keys, values, strict=True))
        step = self.network.prefill(ids, CachedState(caches))
        assert isinstance(step.state, CachedState)
        weights = {"attention": step.weights} if self.attention else {}
        return {"logits": step.logits, **_next(_stacked(step.state.caches)), **weights}


def _stacked(caches: Iterable[Cache | None]) -> Named:
    """Keys and values of all layers, `(layers, batch, heads, length, features)` each."""
    present = [cache for cache in caches if cache is not None]
    return {
        "keys": torch.stack([cache.key for cache in present]),
        "values": torch.stack([cache.value for cache in present]),
    }


def _next(state: Named) -> Named:
    """A state under the names of outputs: ONNX has one name for one tensor."""
    return {f"next_{name}": tensor for name, tensor in state.items()}


_CACHE_AXES = (None, "batch", None, "past", None)


def _language_model(network: TransformerLanguageModel, attention: bool) -> Graph:
    module = _LanguageStep(network, attention)
    layer: Any = network.decoder[0].attention
    past = torch.zeros(len(network.decoder), 2, layer.key_heads, 3, layer.width // layer.heads)
    given = {"ids": torch.tensor([[5, 4], [4, 5]]), "keys": past, "values": past.clone()}
    axes = {"ids": ("batch", "new"), "keys": _CACHE_AXES, "values": _CACHE_AXES}
    return Graph("decoder", module, given, axes, tuple(module(*given.values())))


class _Codec:
    """What a kind of encoder-decoder keeps between steps, as tensors with names and back."""

    #: Names of the sizes of each tensor: of the memory, and of the state.
    memory: ClassVar[Axes]
    state: ClassVar[Axes]

    @abstractmethod
    def pack_memory(self, memory: Memory) -> Named:
        """Tensors of a memory, by name."""

    @abstractmethod
    def unpack_memory(self, tensors: Named) -> Memory:
        """The memory again."""

    @abstractmethod
    def pack_state(self, state: State) -> Named:
        """Tensors of a state, by name."""

    @abstractmethod
    def unpack_state(self, tensors: Named) -> State:
        """The state again."""


class _TransformerCodec(_Codec):
    memory: ClassVar[Axes] = {
        "mask": ("batch", "source"),
        "memory_keys": (None, "batch", None, "source", None),
        "memory_values": (None, "batch", None, "source", None),
    }
    state: ClassVar[Axes] = {"keys": _CACHE_AXES, "values": _CACHE_AXES}

    def pack_memory(self, memory: Memory) -> Named:
        assert isinstance(memory, TransformerMemory)
        stacked = _stacked(memory.caches)
        return {"mask": memory.mask, **{f"memory_{name}": x for name, x in stacked.items()}}

    def unpack_memory(self, tensors: Named) -> Memory:
        pairs = zip(tensors["memory_keys"], tensors["memory_values"], strict=True)
        caches = DeferredCaches([Cache(key, value) for key, value in pairs])
        return TransformerMemory(tensors["mask"], caches)

    def pack_state(self, state: State) -> Named:
        assert isinstance(state, TransformerState)
        return _stacked(state.caches)

    def unpack_state(self, tensors: Named) -> State:
        pairs = zip(tensors["keys"], tensors["values"], strict=True)
        return TransformerState(
            tuple(Cache(key, value) for key, value in pairs), tensors["keys"].shape[3]
        )


class _RecurrentCodec(_Codec):
    memory: ClassVar[Axes] = {
        "mask": ("batch", "source"),
        "states": ("batch", "source", None),
        "projected_key": ("batch", "source", None),
    }
    state: ClassVar[Axes] = {"hidden": (None, None, "batch", None), "attentional": ("batch", None)}

    def pack_memory(self, memory: Memory) -> Named:
        assert isinstance(memory, RecurrentMemory)
        return {name: getattr(memory, name) for name in self.memory}

    def unpack_memory(self, tensors: Named) -> Memory:
        summary = tensors["states"][:, 0]  # of the state before the first step alone
        return RecurrentMemory(**{name: tensors[name] for name in self.memory}, summary=summary)

    def pack_state(self, state: State) -> Named:
        assert isinstance(state, RecurrentState)
        return {"hidden": _pack_hidden(state.hidden), "attentional": state.attentional}

    def unpack_state(self, tensors: Named) -> State:
        return RecurrentState(_unpack_hidden(tensors["hidden"]), tensors["attentional"])


class _PointerCodec(_Codec):
    memory: ClassVar[Axes] = {**_RecurrentCodec.memory, "source_ids": ("batch", "source")}
    state: ClassVar[Axes] = {
        "hidden": (None, None, "batch", None),
        "context": ("batch", None),
        "coverage": ("batch", "source"),
    }

    def pack_memory(self, memory: Memory) -> Named:
        assert isinstance(memory, PointerMemory)
        return {
            "mask": memory.mask,
            "states": memory.states,
            "projected_key": memory.projected_key,
            "source_ids": memory.source,
        }

    def unpack_memory(self, tensors: Named) -> Memory:
        states = tensors["states"]
        return PointerMemory(
            tensors["mask"], states, tensors["projected_key"], states[:, 0], tensors["source_ids"]
        )

    def pack_state(self, state: State) -> Named:
        assert isinstance(state, PointerState)
        hidden = _pack_hidden(state.hidden)
        return {"hidden": hidden, "context": state.context, "coverage": state.coverage}

    def unpack_state(self, tensors: Named) -> State:
        return PointerState(
            _unpack_hidden(tensors["hidden"]), tensors["context"], tensors["coverage"]
        )


def _pack_hidden(hidden: Hidden) -> Tensor:
    """Hidden state of all layers, `(layers, parts, batch, width)`."""
    return torch.stack([torch.stack(layer) for layer in hidden])


def _unpack_hidden(hidden: Tensor) -> Hidden:
    return tuple(tuple(layer.unbind(0)) for layer in hidden.unbind(0))


class _Encoder(nn.Module):
    """Source to memory, and to the state before the first token."""

    def __init__(self, network: EncoderDecoder, codec: _Codec) -> None:
        super().__init__()
        self.network = network
        self.codec = codec

    def forward(self, source: Tensor, source_lengths: Tensor) -> Named:
        memory = self.network.encode(source, source_lengths)
        packed = self.codec.pack_memory(memory)
        state = self.network.start(memory)
        if isinstance(state, TransformerState):  # nothing is written yet
            empty = packed["memory_keys"][:, :, :, :0]
            return {**packed, "keys": empty, "values": empty.clone()}
        return {**packed, **self.codec.pack_state(state)}


class _Decoder(nn.Module):
    """One step: a token for each row, memory and state to logits and the next state."""

    def __init__(self, network: EncoderDecoder, codec: _Codec, attention: bool) -> None:
        super().__init__()
        self.network = network
        self.codec = codec
        self.attention = attention

    def forward(self, token: Tensor, *tensors: Tensor) -> Named:
        named = dict(zip([*self.codec.memory, *self.codec.state], tensors, strict=True))
        step: Step = self.network.step(
            token, self.codec.unpack_state(named), self.codec.unpack_memory(named)
        )
        weights = {"attention": step.weights} if self.attention else {}
        state = _next(self.codec.pack_state(step.state))
        return {"logits": step.logits, **state, **weights}


def _codec_of(network: EncoderDecoder) -> _Codec:
    if isinstance(network, Transformer):
        return _TransformerCodec()
    return _PointerCodec() if isinstance(network, PointerGenerator) else _RecurrentCodec()


def _encoder_decoder(
    network: EncoderDecoder, attention: bool, limits: Mapping[str, int]
) -> list[Graph]:
    codec = _codec_of(network)
    source, lengths = torch.tensor([[5, 4, 3], [4, 3, 0]]), torch.tensor([3, 2])
    encoder, decoder = _Encoder(network, codec), _Decoder(network, codec, attention)
    encoded = encoder(source, lengths)
    first = {"token": torch.tensor([2, 2]), **encoded}
    if isinstance(network, Transformer):  # a step in the middle, whose past is a size of its own
        first |= {name: _longer(first[name], 4) for name in codec.state}
    written = decoder(*first.values())
    axes = {"token": ("batch",), **codec.memory, **codec.state}
    return [
        Graph(
            "encoder",
            encoder,
            {"source": source, "source_lengths": lengths},
            {"source": ("batch", "source"), "source_lengths": ("batch",)},
            tuple(encoded),
            {name: size for name, size in limits.items() if name == "source"},
        ),
        Graph(
            "decoder",
            decoder,
            first,
            axes,
            tuple(written),
            {name: size for name, size in limits.items() if name == "past"},
        ),
    ]


def _longer(past: Tensor, length: int) -> Tensor:
    """Keys or values of some steps, zeros, in the shape of those of none."""
    shape = list(past.shape)
    shape[3] = length
    return past.new_zeros(shape)
