"""A module summarised by two passes over inputs of different sizes, from which shapes are told."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import Any, Literal

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.attention.normalizers import Softmax
from regard.attention.scores import ScaledDot, Score, uncapped
from regard.layers import AttentionPooling, MultiHeadAttention, Positions
from regard.layers.eval_mode import eval_mode
from regard.layers.pointer import PointerAttention
from regard.layers.single_head import SingleHeadAttention
from regard.models.contracts import EncoderDecoder, Output
from regard.models.extractive import SentenceExtractor
from regard.models.summary import AttentionSummary, LayerSummary, ModelSummary, NamedShape
from regard.models.trace import Ran, layers_of, trace

__all__ = ["Probe", "named_shape", "probe_network", "summarize"]


@dataclass(frozen=True)
class Probe:
    """A pass over an input whose sizes are known.

    Args:
        call: runs the module.
        inputs: tensors that it is given, by name.
        sizes: sizes of the input by name: `batch`, `length`, ...
    """

    call: Callable[[], object]
    inputs: Mapping[str, Tensor]
    sizes: Mapping[str, int]


def summarize(
    module: nn.Module,
    probes: tuple[Probe, Probe],
    *,
    title: str,
    maps: Mapping[str, AttentionMap] | None = None,
    cross: Collection[str] = (),
) -> ModelSummary:
    """Summarise a module.

    A size of an output that differs between the two passes follows from the input: it has the name of the
    size of the input that it equals in both, or of a product of two; else it is `None`.

    Args:
        module: put into evaluation mode for the passes.
        probes: the same sizes by name, all different, and different in each probe.
        title: of the summary.
        maps: maps of the first pass by the name of the module that attended, which is one layer then; `None`
            takes the maps that our layers return.
        cross: names of the layers that attend to another sequence, though it may be as long as their own.
    """
    layers = layers_of(module, maps or ())
    with eval_mode(module):
        first, result = trace(module, probes[0].call, probes[0].inputs, layers)
        second, _ = trace(module, probes[1].call, probes[1].inputs, layers)
    sizes = (probes[0].sizes, probes[1].sizes)
    maps = maps if maps is not None else _own_maps(layers, first, result)
    rows = [
        LayerSummary(
            name, "Input", (named_shape(tensor.shape, probes[1].inputs[name].shape, sizes),)
        )
        for name, tensor in probes[0].inputs.items()
    ]
    counted: dict[int, str] = {}
    kept = frozenset(id(tensor) for tensor in module.state_dict(keep_vars=True).values())
    alone = _alone(module, layers, kept)
    for name in dict.fromkeys([*first, *layers, *alone]):
        ran, part = first.get(name, Ran()), layers.get(name)
        if part is None:
            rows.append(
                _lone(name, alone[name], ran, counted)
                if name in alone
                else _join(name, ran, _shapes(ran, second.get(name, Ran()), sizes))
            )
        elif not _is_idle(part, ran):
            shapes = _shapes(ran, second.get(name, Ran()), sizes)
            seen = maps.get(name)
            if not ran.shapes and seen is not None:  # its weights are all that is used
                shapes = (_shape_of_map(seen, probes[0].sizes),)
            rows.append(
                LayerSummary(
                    name,
                    type(part).__name__,
                    shapes,
                    connected_to=tuple(ran.inputs),
                    attention=None if seen is None else _attention(part, seen, name in cross),
                    **_values(part.parameters(), _kept(part, kept), name, counted),
                )
            )
    return ModelSummary(title, tuple(rows))


def _own_maps(
    layers: Mapping[str, nn.Module], ran: Mapping[str, Ran], result: object
) -> dict[str, AttentionMap]:
    """Maps of our layers: those they return, and in order those that a model made of their weights."""
    returned = {name: each.map for name, each in ran.items() if each.map is not None}
    made = list(result.maps.values()) if isinstance(result, Output) else []
    shown = {each.shape for each in returned.values()}
    rest = iter([each for site in made for each in site if each.shape not in shown])
    silent = [
        name
        for name, layer in layers.items()
        if isinstance(layer, SingleHeadAttention | PointerAttention) and name not in returned
    ]
    return {**returned, **dict(zip(silent, rest, strict=False))}


def _kept(part: nn.Module, kept: frozenset[int]) -> list[Tensor]:
    """Buffers of a layer that are kept with the weights; the others follow from its settings."""
    return [tensor for tensor in part.buffers() if id(tensor) in kept]


def _alone(
    module: nn.Module, layers: Mapping[str, nn.Module], kept: frozenset[int]
) -> dict[str, Tensor]:
    """Parameters of a module, and buffers that are kept with them, that no layer holds."""
    held = {id(t) for layer in layers.values() for t in (*layer.parameters(), *layer.buffers())}
    buffers = [(name, tensor) for name, tensor in module.named_buffers() if id(tensor) in kept]
    named = [*module.named_parameters(), *buffers]
    return {name: tensor for name, tensor in named if id(tensor) not in held}


def _lone(name: str, tensor: Tensor, ran: Ran, counted: dict[int, str]) -> LayerSummary:
    own = [tensor]
    is_parameter = isinstance(tensor, nn.Parameter)
    return LayerSummary(
        name,
        "Parameter" if is_parameter else "Buffer",
        (tuple(tensor.shape),),
        connected_to=tuple(ran.inputs),
        **_values(own if is_parameter else [], [] if is_parameter else own, name, counted),
    )


def _join(name: str, ran: Ran, shapes: tuple[NamedShape, ...]) -> LayerSummary:
    """A sum, a concatenation or a stack of the outputs of layers."""
    kind = name.partition("_")[0].capitalize()
    return LayerSummary(name, kind, shapes, connected_to=tuple(ran.inputs))


def _is_idle(part: nn.Module, ran: Ran) -> bool:
    """Whether a layer did not run and holds no values: an empty list, an activation of another mode."""
    return not (ran.shapes or any(True for _ in (*part.parameters(), *part.buffers())))


def _values(
    parameters: Iterable[Tensor],
    buffers: Iterable[Tensor],
    name: str,
    counted: dict[int, str],
) -> dict[str, Any]:
    """Numbers of values that no row above holds, and the rows above that hold others of this one."""
    shares: dict[str, None] = {}
    new: dict[str, list[Tensor]] = {"parameters": [], "buffers": []}
    for kind, tensors in (("parameters", parameters), ("buffers", buffers)):
        for tensor in tensors:
            holder = counted.setdefault(id(tensor), name)
            if holder == name:
                new[kind].append(tensor)
            else:
                shares[holder] = None
    return {
        "parameters": sum(t.numel() for t in new["parameters"]),
        "trainable": sum(t.numel() for t in new["parameters"] if t.requires_grad),
        "buffers": sum(t.numel() for t in new["buffers"]),
        "size": sum(t.numel() * t.element_size() for each in new.values() for t in each),
        "shares": tuple(shares),
    }


# Shapes


def _shapes(
    one: Ran, two: Ran, sizes: tuple[Mapping[str, int], Mapping[str, int]]
) -> tuple[NamedShape, ...]:
    first, second = one.shapes or one.parts, two.shapes or two.parts
    if len(first) != len(second):  # the number of calls follows from the input
        return ((None,) * len(first[0]),) if first else ()
    pairs = zip(first, second, strict=True)
    return tuple(dict.fromkeys(named_shape(a, b, sizes) for a, b in pairs))


def named_shape(
    one: Sequence[int], two: Sequence[int], sizes: tuple[Mapping[str, int], Mapping[str, int]]
) -> NamedShape:
    """Shape of one tensor in two passes, with names for the sizes that the input decides.

    >>> sizes = {"batch": 3, "length": 7}, {"batch": 2, "length": 9}
    >>> named_shape((3, 7, 64), (2, 9, 64), sizes)
    ('batch', 'length', 64)
    >>> named_shape((21, 4), (18, 5), sizes)
    ('batch*length', None)
    """
    if len(one) != len(two):
        return (None,) * len(one)
    products = [(name,) for name in sizes[0]] + list(combinations(sizes[0], 2))
    known = {
        tuple(_product(each[name] for name in names) for each in sizes): "*".join(names)
        for names in reversed(products)
    }
    return tuple(
        a if a == b else known.get((a, b))
        for a, b in zip(map(int, one), map(int, two), strict=True)
    )


def _product(numbers: Iterable[int]) -> int:
    total = 1
    for number in numbers:
        total *= number
    return total


def _shape_of_map(seen: AttentionMap, sizes: Mapping[str, int]) -> NamedShape:
    names = {size: name for name, size in sizes.items()}
    return tuple(names.get(int(size), int(size)) for size in seen.shape)


# Attention


def _attention(layer: nn.Module, seen: AttentionMap, cross: bool) -> AttentionSummary:
    weights = seen.dense().detach().float()
    weights = weights if weights.ndim == 4 else weights[:, None]
    heads, queries, keys = weights.shape[1:]
    pools = isinstance(layer, AttentionPooling)
    site: Literal["self", "cross", "pooling"] = "self" if queries == keys and not cross else "cross"
    normalizer = getattr(layer, "normalizer", None)
    return AttentionSummary(
        "pooling" if pools else site,
        heads,
        seen.key_heads if seen.score is not None else getattr(layer, "key_heads", heads),
        _score(layer, seen),
        _normalizer(normalizer),
        tuple(_masks(weights)) if weights.isfinite().all() else (),
    )


_SCORES = {
    "Dot": "dot product",
    "ScaledDot": "scaled dot product",
    "General": "general score",
    "Cosine": "cosine",
    "Additive": "additive score",
    "Concat": "concat score",
}


def _normalizer(normalizer: Any) -> str:
    """Name of a normaliser; nothing for a plain softmax."""
    if isinstance(normalizer, Softmax):
        return "" if normalizer.sink is None else "Softmax with a sink"
    return "" if normalizer is None else type(normalizer).__name__


def _score(layer: nn.Module, seen: AttentionMap) -> str:
    """Name of the score, and of the positions that act inside it."""
    if isinstance(layer, AttentionPooling):
        return "additive score of a learned query"
    if isinstance(layer, PointerAttention):
        return "additive score" + ("" if layer.covered is None else " with coverage")
    if isinstance(layer, SingleHeadAttention):
        inner, capped = _inside_cap(layer.score())
        kind = type(inner).__name__
        general = kind == "Dot" and any(True for _ in layer.parameters())
        return capped + ("general score" if general else _SCORES.get(kind, kind))
    score = layer.score if isinstance(layer, MultiHeadAttention) else seen.score
    if score is None:
        return ""
    score, capped = _inside_cap(score)
    name = _SCORES.get(type(score).__name__, type(score).__name__)
    if isinstance(score, ScaledDot) and isinstance(score.scale, float) and score.scale == 1.0:
        name = _SCORES["Dot"]
    name = capped + name
    positions = getattr(layer, "positions", None)
    if isinstance(positions, Positions) and type(positions) is not Positions:
        name += f", {type(positions).__name__.removesuffix('Positions').lower()} positions"
    return name


def _inside_cap(score: Score) -> tuple[Score, str]:
    """The score inside a cap, and what the name of the whole begins with."""
    inner, cap = uncapped(score)
    return inner, "" if cap is None else "capped "


def _masks(weights: Tensor) -> list[str]:
    """What no query attends to, by its weights `(batch, heads, queries, keys)` in a padded batch."""
    queries, keys = weights.shape[2:]
    hidden = (weights == 0).all(1)
    never = hidden.all(1).int()  # (batch, keys)
    padding = never.flip(1).cumprod(1).flip(1).bool()[:, None].expand_as(hidden)
    later = torch.ones_like(hidden[0]).triu(1).expand_as(hidden)
    causal = queries == keys > 1 and bool(hidden[later].all())
    attends = ~hidden.all(2, keepdim=True)  # queries of padding may attend to nothing
    rest = hidden & attends & ~padding & ~(later & causal)
    found = {"padding": bool(padding.any()), "causal": causal, "other positions": bool(rest.any())}
    return [name for name, holds in found.items() if holds]


# Inputs of our models


def probe_network(network: nn.Module) -> tuple[Probe, Probe]:
    """Two passes of one of our networks over ids of padded texts."""
    with next(network.parameters()).device:
        return _probe(network, 0), _probe(network, 1)


_BATCH, _LENGTH, _TARGET, _SENTENCES = (3, 4), (7, 11), (5, 6), (4, 7)
"""Sizes of the two passes, all different."""


def _probe(network: nn.Module, number: int) -> Probe:
    batch, length = _BATCH[number], _LENGTH[number] + (1 - number) * _several_sentences(network)
    first = 4  # after the ids of PAD, UNK, BOS, EOS
    if isinstance(network, SentenceExtractor):
        sizes = {"batch": batch, "sentences": _SENTENCES[number], "words": length}
        ids = torch.full(tuple(sizes.values()), first)
        words = torch.full(ids.shape[:2], length)
        words[-1, -1] = 0  # one document is shorter
        ids[-1, -1] = 0
        return Probe(lambda: network(ids, words), {"document ids": ids}, sizes)
    ids, lengths = _padded(network, batch, length, number)
    if isinstance(network, EncoderDecoder):
        sizes = {"batch": batch, "source": length, "target": _TARGET[number]}
        target = torch.full((batch, _TARGET[number]), first)
        inputs = {"source ids": ids, "target ids": target}
        call = lambda: network(ids, lengths, target)  # noqa: E731
        return Probe(call, inputs, sizes)
    sizes = {"batch": batch, "length": length}
    return Probe(lambda: network(ids, lengths), {"ids": ids}, sizes)


def _ends_of_sentences(network: nn.Module) -> Tensor | None:
    """For each id whether it ends a sentence, of a hierarchical model."""
    found = (buffer for name, buffer in network.named_buffers() if name.endswith("stops"))
    return next(found, None)


def _several_sentences(network: nn.Module) -> int:
    """Tokens that are more than one sentence to a model that knows no mark that ends one; else 0."""
    ends = _ends_of_sentences(network)
    if ends is None or bool(ends.any()):
        return 0
    known = (getattr(part, "max_sentence_length", None) for part in network.modules())
    return 2 * next(each for each in known if isinstance(each, int))


def _padded(network: nn.Module, batch: int, length: int, number: int) -> tuple[Tensor, Tensor]:
    """Ids `(batch, length)` of which the last row is half as long, and lengths."""
    ids = torch.full((batch, length), 4)
    ends = _ends_of_sentences(network)
    if ends is not None and bool(ends.any()):
        others = (~ends[4:]).nonzero()
        ids.fill_(4 + int(others[0]) if len(others) else 4)
        marks = slice(0, 2 * number + 1, 2)  # apart, since several marks in a row end one sentence
        ids[:, marks] = int(ends.nonzero()[-1])
        ids[-1, 0] = ids[-1, -1]  # the last has a sentence less
    lengths = torch.full((batch,), length)
    lengths[-1] = (length + 1) // 2
    ids[-1, (length + 1) // 2 :] = 0
    return ids, lengths
