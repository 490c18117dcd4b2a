"""What tensors were computed from, as far as it tells attention from other uses of a softmax.

A router and a classifier take a softmax over the outputs of a linear layer; attention takes it over positions.
The outputs of linear layers are marked with the axis of their features, products of two activations, random
numbers and parameters as such, and element-by-element operations pass the marks on.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeAlias, TypeVar

from torch import Tensor, nn

from regard.integrations.axes import AxisMap, Part

__all__ = ["ELEMENTWISE", "Origin", "Origins", "StorageTable", "result_of", "tensors_of"]

Kind: TypeAlias = Literal["linear", "product", "random", "parameter", "sampled"]
"""Outputs of a linear layer, product of activations, random numbers, parameter, values read off a grid."""

T = TypeVar("T")

ELEMENTWISE = frozenset(
    [
        "add",
        "sub",
        "rsub",
        "mul",
        "div",
        "neg",
        "reciprocal",
        "where",
        "masked_fill",
        "clone",
        "_to_copy",
        "copy",
        "contiguous",
        "nan_to_num",
        "clamp",
        "clamp_min",
        "clamp_max",
        "pow",
        "sqrt",
        "square",
        "abs",
        "tanh",
        "native_dropout",
        "relu",
        "gelu",
        "silu",
        "sigmoid",
        "leaky_relu",
        "softplus",
        "lift_fresh",
        "bernoulli",
        "lt",
        "le",
        "gt",
        "ge",
        "eq",
        "ne",
        "logical_not",
        "bitwise_not",
        "exp",
        "maximum",
        "minimum",
        "native_layer_norm",
        "constant_pad_nd",
        "tril",
        "triu",
    ]
)
"""Operators whose result has the axes of their first argument of that shape."""

_RANDOM = frozenset(
    ["bernoulli", "bernoulli_", "rand", "rand_like", "uniform", "uniform_", "randn_like"]
)
_PRIORITY: tuple[Kind, ...] = ("product", "sampled", "linear")
_JOINED: tuple[Kind, ...] = ("product", "sampled")
_PURE: tuple[Kind, ...] = ("random", "parameter")  # of which nothing else is part


@dataclass(frozen=True)
class Origin:
    """What a tensor was computed from.

    Attributes:
        kind: its origin.
        axes: of a linear layer: axis 1 is that of its features, axis 0 all others.
    """

    kind: Kind
    axes: AxisMap | None = None


class StorageTable(Generic[T]):
    """Facts about tensors, found through any view of them: by the identity of their storage."""

    def __init__(self) -> None:
        self._entries: dict[int, tuple[Any, T]] = {}

    def get(self, tensor: Tensor) -> T | None:
        """The fact noted about the storage of a tensor."""
        storage = tensor.untyped_storage()
        entry = self._entries.get(storage._cdata)
        if entry is None or entry[0]() is None:
            return None
        return entry[1]

    def put(self, tensor: Tensor, fact: T) -> None:
        """Note a fact; it is forgotten with the storage."""
        storage = tensor.untyped_storage()
        key = storage._cdata

        def forget(gone: Any) -> None:
            if (entry := self._entries.get(key)) is not None and entry[0] is gone:
                del self._entries[key]

        self._entries[key] = weakref.ref(storage, forget), fact

    def drop(self, tensor: Tensor) -> None:
        """Forget what was noted."""
        self._entries.pop(tensor.untyped_storage()._cdata, None)

    def clear(self) -> None:
        """Forget everything."""
        self._entries.clear()


def tensors_of(values: Iterable[Any]) -> list[Tensor]:
    """The tensors among arguments, those in lists included."""
    found: list[Tensor] = []
    for value in values:
        if isinstance(value, Tensor):
            found.append(value)
        elif isinstance(value, list | tuple):
            found += [item for item in value if isinstance(item, Tensor)]
    return found


def result_of(made: Any) -> Tensor | None:
    """The tensor that an operator made: the first of several."""
    first = made[0] if isinstance(made, list | tuple) and made else made
    return first if isinstance(first, Tensor) else None


class Origins:
    """Origins of the tensors of a running model.

    Args:
        model: its parameters are known from the start.
    """

    def __init__(self, model: nn.Module) -> None:
        self._table: StorageTable[Origin] = StorageTable()
        # Held by the model while it is watched, so an address stands for its parameter.
        self._parameters = {part.untyped_storage()._cdata for part in model.parameters()}

    def of(self, tensor: Tensor) -> Origin | None:
        """The origin of a tensor, if it is known."""
        if tensor.untyped_storage()._cdata in self._parameters:
            return Origin("parameter")
        return self._table.get(tensor)

    def is_kind(self, tensor: Tensor, kind: Kind) -> bool:
        """Return whether a tensor is of this origin."""
        origin = self.of(tensor)
        return origin is not None and origin.kind == kind

    def is_over_features(self, tensor: Tensor, axis: int) -> bool:
        """Return whether an axis is that of the features of a linear layer."""
        origin = self.of(tensor)
        if origin is None or origin.kind != "linear" or origin.axes is None:
            return False
        parts = origin.axes.of_dimension(tensor.shape[axis], tensor.stride(axis))
        return bool(parts) and all(part.axis == 1 for part in parts or ())

    def copy(self, source: Tensor, made: Tensor) -> None:
        """Note that `made` is computed from `source` element by element."""
        self._propagate([source], made)

    def observe(self, name: str, args: tuple[Any, ...], made: Tensor) -> None:
        """Note the origin of the result of an operator."""
        if name in ("mm", "bmm"):
            self._product(args[0], args[1], made)
        elif name in ("addmm", "baddbmm"):
            self._product(args[1], args[2], made)
        elif name == "convolution":
            self._linear(made, 1)
        elif name in _RANDOM:
            self._table.put(made, Origin("random"))
        elif name.startswith("grid_sampler"):
            self._table.put(made, Origin("sampled"))
        elif name in ("cat", "stack"):
            self._join(tensors_of(args), made)
        elif name in ELEMENTWISE:
            self._propagate(tensors_of(args), made)

    def _product(self, left: Tensor, right: Tensor, made: Tensor) -> None:
        if self.is_kind(right, "parameter"):
            self._linear(made, made.dim() - 1)
        elif self.is_kind(left, "parameter"):
            self._linear(made, made.dim() - 2)
        else:
            self._table.put(made, Origin("product"))

    def _linear(self, made: Tensor, features: int) -> None:
        parts = [
            Part(int(axis == features), 1, size, stride)
            for axis, (size, stride) in enumerate(zip(made.shape, made.stride(), strict=True))
            if size > 1 and stride
        ]
        ordered = tuple(sorted(parts, key=lambda part: part.stride))
        self._table.put(made, Origin("linear", AxisMap(ordered, int(made.storage_offset()))))

    def _join(self, pieces: list[Tensor], made: Tensor) -> None:
        kinds = {origin.kind for piece in pieces if (origin := self.of(piece)) is not None}
        for kind in _JOINED:
            if kind in kinds:
                self._table.put(made, Origin(kind))
                return

    def _propagate(self, sources: list[Tensor], made: Tensor) -> None:
        known = [(source, self.of(source)) for source in sources]
        origins = [(source, origin) for source, origin in known if origin is not None]
        if not origins:
            return
        for kind in _PRIORITY:
            for source, origin in origins:
                if origin.kind != kind:
                    continue
                if origin.axes is None:
                    self._table.put(made, origin)
                    return
                if source.numel() == made.numel() or source.dim() == made.dim():
                    axes = origin.axes.follow(source, made)
                    if axes is not None:
                        self._table.put(made, Origin(kind, axes))
                        return
        for kind in _PURE:
            if all(origin is not None and origin.kind == kind for _, origin in known):
                self._table.put(made, Origin(kind))
                return
