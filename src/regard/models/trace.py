"""Trace of one forward pass: which layers ran, in which order, on the outputs of which, with which shapes."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import wraps
from typing import Any, TypeAlias

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from regard.attention import AttentionMap
from regard.layers import AttentionPooling, MultiHeadAttention
from regard.layers.nested import tensors_in
from regard.layers.pointer import PointerAttention
from regard.layers.single_head import SingleHeadAttention
from regard.models.recurrent_layers import BidirectionalRnn, DecoderRnn

__all__ = ["Ran", "Shape", "layers_of", "trace"]

Shape: TypeAlias = tuple[int, ...]

_METHODS: Mapping[type[nn.Module], tuple[str, ...]] = {
    MultiHeadAttention: ("forward", "step", "attend_cached"),
    SingleHeadAttention: ("forward", "attend_projected", "attend_step"),
    PointerAttention: ("forward",),
    AttentionPooling: ("forward",),
    BidirectionalRnn: ("forward",),
    DecoderRnn: ("step", "run_all"),
}
"""Layers that are one row though they hold modules, with the methods that give their output."""

_PREPARING = ("project_memory", "project_keys", "project_inputs", "initial_state")
"""Methods of these layers that take an input before the output is asked for."""


_JOINING: Mapping[str, str] = {
    **dict.fromkeys(("add", "add_", "__add__", "__radd__", "__iadd__"), "add"),
    **dict.fromkeys(("cat", "concat", "concatenate"), "concatenate"),
    "stack": "stack",
}
"""Operations that join the outputs of several layers, by what Keras calls their layers."""


@dataclass
class Ran:
    """What one layer did in a pass.

    Attributes:
        shapes: distinct shapes of its outputs, in the order met.
        parts: distinct shapes of what was computed from its parameters without calling it.
        inputs: names of the layers and inputs that its inputs came from, in the order met.
        map: attention map that it returned, if any.
    """

    shapes: list[Shape] = field(default_factory=list)
    parts: list[Shape] = field(default_factory=list)
    inputs: dict[str, None] = field(default_factory=dict)
    map: AttentionMap | None = None


def layers_of(module: nn.Module, whole: Collection[str] = ()) -> dict[str, nn.Module]:
    """Modules that are one layer to a reader, by name: those without children, and attention and recurrence.

    Dropout and `nn.Identity` are none: they return their input when a model answers.

    Args:
        module: of any kind.
        whole: names of further modules that are one layer each, with everything in them.
    """
    found: dict[str, nn.Module] = {}

    def descend(name: str, part: nn.Module) -> None:
        children = dict(part.named_children())
        if name in whole or not children or isinstance(part, tuple(_METHODS)):
            idle = isinstance(part, nn.Identity) or "Dropout" in type(part).__name__
            if not idle and all(part is not other for other in found.values()):
                found[name or type(part).__name__] = part
            return
        for child, inner in children.items():
            descend(f"{name}.{child}" if name else child, inner)

    descend("", module)
    return found


def trace(
    module: nn.Module,
    call: Callable[[], object],
    inputs: Mapping[str, Tensor],
    layers: Mapping[str, nn.Module],
) -> tuple[dict[str, Ran], object]:
    """Run a module once and follow its tensors from layer to layer.

    A sum or a concatenation of the outputs of several layers is a layer itself, `add`, `add_1`, ..., as in
    Keras. Another operation between layers belongs to none: what it returns comes from all layers that its
    arguments came from. An operation on a parameter is the work of the layer that owns it, called or not.

    Args:
        module: in evaluation mode.
        call: runs it.
        inputs: its inputs by name.
        layers: from `layers_of`.

    Returns:
        What each layer did, in the order in which they began, and what `call` returned. Parameters that no
        layer holds are among the layers under their own names.
    """
    tracer = _Tracer(module, inputs, layers)
    with tracer.recording(), torch.no_grad(), tracer:
        result = call()
    return tracer.finish(), result


class _Tracer(TorchFunctionMode):
    """Mode in which every tensor has the names of the layers that it came from."""

    def __init__(
        self, module: nn.Module, inputs: Mapping[str, Tensor], layers: Mapping[str, nn.Module]
    ) -> None:
        super().__init__()
        self.ran: dict[str, Ran] = {}
        self._layers = layers
        self._owner = {
            id(parameter): name
            for name, layer in reversed(list(layers.items()))
            for parameter in layer.parameters()
        }
        for name, parameter in module.named_parameters():
            self._owner.setdefault(id(parameter), name)
        self._before_output: dict[str, Ran] = {}
        self._joins: dict[tuple[str, ...], str] = {}
        self._came_from: dict[int, dict[str, None]] = {}
        self._alive: list[Tensor] = []  # or their ids would be used again
        self._inside = False
        for name, tensor in inputs.items():
            self._mark(tensor, {name: None})

    def _mark(self, tensor: Tensor, names: dict[str, None]) -> None:
        self._alive.append(tensor)
        self._came_from[id(tensor)] = names

    def _sources(self, values: Sequence[Any]) -> dict[str, None]:
        """Names of the layers that the tensors in `values` came from."""
        found: dict[str, None] = {}
        for tensor in tensors_in(values):
            found |= self._came_from.get(id(tensor), {})
        return found

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = kwargs or {}
        result = func(*args, **kwargs)
        if self._inside:
            return result
        given = [*args, *kwargs.values()]
        made = list(tensors_in(result))
        sources = self._sources(given)
        name = getattr(func, "__name__", "")
        if made and (owners := self._owners(given)):
            for owner in owners:
                self._note_part(owner, sources, made[0])
            sources = owners
        elif made and name in _JOINING and len(self._distinct(given)) > 1:
            sources = {self._joined(_JOINING[name], sources, made[0]): None}
        in_place = name == "__setitem__" or (name.endswith("_") and not name.endswith("__"))
        for tensor in made:
            self._mark(tensor, sources)
        if in_place and isinstance(args[0], Tensor):
            self._mark(args[0], {**self._came_from.get(id(args[0]), {}), **sources})
        return result

    def _owners(self, values: Sequence[Any]) -> dict[str, None]:
        """Layers that hold the parameters in `values`."""
        return {self._owner[id(t)]: None for t in tensors_in(values) if id(t) in self._owner}

    def _distinct(self, values: Sequence[Any]) -> set[tuple[str, ...]]:
        """Different places that the tensors in `values` came from."""
        found = {tuple(self._came_from.get(id(tensor), ())) for tensor in tensors_in(values)}
        return found - {()}

    def _joined(self, kind: str, sources: Mapping[str, None], output: Tensor) -> str:
        """Name of the sum or concatenation of these layers, the same in every step of a loop."""
        key = (kind, *sources)
        if key not in self._joins:
            count = sum(each[0] == kind for each in self._joins)
            self._joins[key] = f"{kind}_{count}" if count else kind
        self._note(self._joins[key], sources, output)
        return self._joins[key]

    def _note(
        self,
        name: str,
        sources: Mapping[str, None],
        output: Tensor | None,
        seen: AttentionMap | None = None,
    ) -> None:
        ran = self.ran.setdefault(name, self._before_output.pop(name, Ran()))
        self._add_inputs(ran, name, sources)
        ran.map = ran.map or seen
        if output is not None and (shape := tuple(output.shape)) not in ran.shapes:
            ran.shapes.append(shape)

    def _note_part(self, name: str, sources: Mapping[str, None], output: Tensor) -> None:
        """Note work on a parameter of a layer outside the layer."""
        ran = self.ran.setdefault(name, self._before_output.pop(name, Ran()))
        self._add_inputs(ran, name, sources)
        if (shape := tuple(output.shape)) not in ran.parts:
            ran.parts.append(shape)

    @staticmethod
    def _add_inputs(ran: Ran, name: str, sources: Mapping[str, None]) -> None:
        ran.inputs |= {source: None for source in sources if source != name}

    def finish(self) -> dict[str, Ran]:
        """Everything that ran; last what was only prepared."""
        return {**self.ran, **self._before_output}

    @contextmanager
    def recording(self) -> Iterator[None]:
        """Context in which the layers report when they are called."""
        wrapped: list[tuple[nn.Module, str]] = []
        try:
            for name, layer in self._layers.items():
                kinds = [kind for kind in _METHODS if isinstance(layer, kind)]
                results = _METHODS[kinds[0]] if kinds else ("forward",)
                for method in (*results, *(_PREPARING if kinds else ())):
                    if hasattr(layer, method) and method not in vars(layer):
                        wrapper = self._reporting(name, getattr(layer, method), method in results)
                        object.__setattr__(layer, method, wrapper)
                        wrapped.append((layer, method))
            yield
        finally:
            for layer, method in wrapped:
                object.__delattr__(layer, method)

    def _reporting(
        self, name: str, method: Callable[..., Any], gives_output: bool
    ) -> Callable[..., Any]:
        """The method, which also tells what it was given and what it returned."""

        @wraps(method)
        def call(*args: Any, **kwargs: Any) -> Any:
            if self._inside:
                return method(*args, **kwargs)
            sources = self._sources([*args, *kwargs.values()])
            if not gives_output and name not in self.ran:
                self._add_inputs(self._before_output.setdefault(name, Ran()), name, sources)
            else:
                self._note(name, sources, None)
            self._inside = True
            try:
                result = method(*args, **kwargs)
            finally:
                self._inside = False
            made = list(tensors_in(result))
            if gives_output:
                maps = result if isinstance(result, tuple) else ()
                seen = next((each for each in maps if isinstance(each, AttentionMap)), None)
                self._note(name, {}, made[0] if made else None, seen)
            for tensor in made:
                self._mark(tensor, {name: None})
            return result

        return call
