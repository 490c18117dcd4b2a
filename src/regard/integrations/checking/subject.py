"""A layer, model or function that is checked: called with NumPy arrays, answering in NumPy arrays."""

from __future__ import annotations

import contextlib
import copy
import dis
import functools
import inspect
import sys
import types
import warnings
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import nn

from regard.errors import InputError
from regard.integrations.checking.roles import Signature, read_signature

__all__ = ["Answer", "Subject", "to_array"]

Arrays = Mapping[str, np.ndarray]


@dataclass(frozen=True)
class Answer:
    """What a call returned.

    Attributes:
        output: the first array of floats, or the logits.
        weights: an array of weights beside it, if one came.
    """

    output: np.ndarray
    weights: np.ndarray | None


class Subject:
    """A layer, model or function and how it is called.

    Args:
        thing: what is checked.
        given: names of the example's arguments, or their number.
        hides: whether True of a mask hides a position, if the user says so.
        library: of the example's arrays, if there is one.
    """

    def __init__(self, thing: Any, *, given: Any, hides: bool | None, library: str | None) -> None:
        self.name: str = _name(thing)
        self._original: Any = thing if _is_unbuilt(thing) else None
        self.thing: Any = thing
        self.call: Callable[..., Any]
        self.modules: list[nn.Module]
        self.renew()
        thing = self.thing
        self.library: str = library or _library(thing, self.modules)
        self.fixed: dict[str, Any] = {}
        code = self.call if self.call is not thing else _code(thing)
        if hides is None and type(thing).__module__.startswith("torch.nn"):
            hides = True  # of all masks of torch's own layers
        self.signature: Signature = read_signature(code, self.name, given=given, hides=hides)

    def renew(self) -> None:
        """Take a new copy of what is built by its first call: the shapes that are tried build a copy."""
        if self._original is not None:
            self.thing = _unbuilt_copy(self._original)
        self.call, self.modules = _as_function(self.thing), _modules(self.thing)

    @property
    def parameters(self) -> list[torch.Tensor]:
        """Parameters of all modules, as far as they have a shape."""
        found = (p for module in self.modules for p in module.parameters())
        return [p for p in found if not isinstance(p, nn.parameter.UninitializedParameter)]

    @contextlib.contextmanager
    def evaluating(self) -> Iterator[None]:
        """Put every module into evaluation mode for a while."""
        parts = [part for module in self.modules for part in module.modules()]
        modes = [part.training for part in parts]
        for module in self.modules:
            if not _is_keras(module):
                module.eval()
        try:
            yield
        finally:
            for part, mode in zip(parts, modes, strict=True):
                part.training = mode

    def run(
        self,
        inputs: Arrays,
        mask: np.ndarray | None = None,
        *,
        seed: int = 0,
        grad: bool = False,
        call: Callable[..., Any] | None = None,
        dtype: Any = None,
        training: bool = False,
    ) -> tuple[Any, dict[str, Any]]:
        """Call it, and give what it returned and the arrays that it was given, in its own library."""
        own = {name: self.convert(array, dtype) for name, array in inputs.items()}
        arguments = dict(own)
        if grad:
            for name, array in own.items():
                if isinstance(array, torch.Tensor) and array.is_floating_point():
                    arguments[name] = (
                        array.requires_grad_().clone()
                    )  # which may be changed in place
        if mask is not None and self.signature.mask is not None:
            argument = self.signature.mask
            arguments |= dict.fromkeys((argument.name, *argument.beside), self.convert(mask, dtype))
        arguments |= self.signature.flags | self.fixed
        if training and _is_keras(self.thing):
            arguments["training"] = True
        gradients = torch.enable_grad() if grad else torch.no_grad()
        with warnings.catch_warnings(), _seeded(seed), gradients:
            warnings.simplefilter("ignore")
            return self._called(call or self.call, arguments), own

    def _called(self, call: Callable[..., Any], arguments: dict[str, Any]) -> Any:
        """Pass arguments by position where names are for positions only."""
        try:
            return call(**arguments)
        except TypeError as error:
            if "positional" not in str(error) and "keyword" not in str(error):
                raise
            return call(*arguments.values())

    def answer(self, inputs: Arrays, mask: np.ndarray | None = None, *, seed: int = 0) -> Answer:
        """Call it without gradients."""
        returned, _ = self.run(inputs, mask, seed=seed)
        return read_answer(returned)

    def copy(self) -> Subject | None:
        """A copy whose modules may be changed; `None` if there is none to be had."""
        if not isinstance(self.thing, nn.Module):
            return None
        try:
            other = copy.copy(self)
            other.thing = copy.deepcopy(self.thing)
        except Exception:  # a class of the user's decides what can be copied, and how it refuses
            return None
        other.modules, other.call = [other.thing], _as_function(other.thing)
        return other

    def convert(self, array: np.ndarray, dtype: Any = None) -> Any:
        """An array of its own library."""
        if self.library == "torch":
            parameter = next((p for p in self.parameters if p.is_floating_point()), None)
            made = torch.from_numpy(np.array(array))
            if made.is_floating_point():
                made = made.to(dtype or (torch.float32 if parameter is None else parameter.dtype))
            return made if parameter is None else made.to(parameter.device)
        if self.library == "keras":
            return sys.modules["keras"].ops.convert_to_tensor(array)
        if self.library == "jax":
            import jax.numpy

            return jax.numpy.asarray(array)
        return np.array(array)


def _as_function(thing: Any) -> Callable[..., Any]:
    """What to call: a layer of Keras that takes a list is called with it."""
    keras = sys.modules.get("keras")
    if keras is not None and isinstance(thing, keras.layers.Attention):

        def attend(query: Any, key: Any, value: Any, mask: Any = None) -> Any:
            masks = None if mask is None else [None, mask]
            return thing([query, value, key], mask=masks, return_attention_scores=True)

        return attend
    if not callable(thing):
        raise InputError(
            f"check got {type(thing).__name__}; expected a torch module, a layer of Keras or a function, or "
            "score=, normalizer=, mask= or bias="
        )
    called: Callable[..., Any] = thing
    return called


def _is_unbuilt(thing: Any) -> bool:
    """Return whether the first call of a thing gives it its weights."""
    if _is_keras(thing):
        return not thing.built
    return isinstance(thing, nn.Module) and any(
        isinstance(p, nn.parameter.UninitializedParameter) for p in thing.parameters()
    )


def _unbuilt_copy(thing: Any) -> Any:
    """A copy of a thing without weights.

    Raises:
        InputError: it cannot be copied.
    """
    try:
        if _is_keras(thing):
            accepted = inspect.signature(type(thing)).parameters
            config = (
                thing.get_config()
            )  # names "trainable" and "dtype" too, which a class may not take
            if not any(p.kind is p.VAR_KEYWORD for p in accepted.values()):
                config = {name: value for name, value in config.items() if name in accepted}
            return type(thing).from_config(config)
        return copy.deepcopy(thing)
    except Exception as error:
        raise InputError(
            f"{type(thing).__name__} has no weights yet and cannot be copied ({error}); call it once "
            "with an array "
            "of yours before the check"
        ) from error


def _code(thing: Any) -> Any:
    if _is_keras(thing):
        return thing.call
    if isinstance(thing, nn.Module):
        return thing.forward
    return thing


def _is_keras(thing: Any) -> bool:
    keras = sys.modules.get("keras")
    return keras is not None and isinstance(thing, keras.layers.Layer)


def _name(thing: Any) -> str:
    name = getattr(thing, "__name__", None)
    return name if isinstance(name, str) else type(thing).__name__


def _modules(thing: Any) -> list[nn.Module]:
    """Modules that a call runs, as far as they can be seen from outside."""
    if isinstance(thing, nn.Module):
        return [thing]
    if isinstance(thing, functools.partial):
        return _modules(thing.func)
    if isinstance(thing, types.MethodType):
        return _modules(thing.__self__)
    if not isinstance(thing, types.FunctionType):
        return []
    held = [cell.cell_contents for cell in thing.__closure__ or () if _filled(cell)]
    held += [thing.__globals__[n] for n in thing.__code__.co_names if n in thing.__globals__]
    return [x for x in held if isinstance(x, nn.Module)]


def _filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # an empty cell, of a name that is defined later
        return False


def _library(thing: Any, modules: list[nn.Module]) -> str:
    """The array library that a thing computes with: that of its modules, or which its code names."""
    if _is_keras(thing) and sys.modules["keras"].backend.backend() != "torch":
        return "keras"
    if modules:
        return "torch"
    while isinstance(thing, functools.partial):
        thing = thing.func
    thing = getattr(thing, "__func__", thing)
    if not isinstance(thing, types.FunctionType):
        return "torch"
    named = {
        getattr(thing.__globals__.get(step.argval), "__name__", "").partition(".")[0]
        for step in dis.get_instructions(thing)
        if step.opname == "LOAD_GLOBAL"
    }
    return next((library for library in ("torch", "jax", "numpy") if library in named), "torch")


@contextlib.contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Draw equal random numbers in each call, so that two answers differ by their inputs only."""
    state = np.random.get_state()  # that which a user's NumPy function draws from
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(state)


def read_answer(returned: Any) -> Answer:
    """Find output and weights in what a call returned.

    Raises:
        InputError: no array of floats.
    """
    found = list(_arrays(returned, ""))
    floats = [(path, x) for path, x in found if x.dtype.kind == "f" and x.ndim]
    if not floats:
        raise InputError(f"a call returned {type(returned).__name__} without an array of floats")
    output = next(
        (x for path, x in floats if path in ("logits", "last_hidden_state", "output")), None
    )
    if output is not None:
        return Answer(output, next((x for path, x in floats if path == "weights"), None))
    first, others = floats[0][1], [x for _, x in floats[1:]]
    weights = next((x for x in others if _like_weights(x)), None)
    if weights is None and others and _like_weights(first) and not _like_weights(others[0]):
        return Answer(others[0], first)
    return Answer(first, weights)


def _like_weights(array: np.ndarray) -> bool:
    """Return whether numbers are weights: none below 0, and some axis sums to 1, or all at most 1."""
    return bool(
        array.ndim >= 2
        and (
            not np.isfinite(array).all()
            or (array.min(initial=0) >= 0 and array.max(initial=0) < 1.6)
        )
    )


def _arrays(value: Any, path: str) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays in what was returned, with the name that each has there."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _arrays(each, str(name))
    elif isinstance(value, list | tuple):
        for each in value:
            yield from _arrays(each, path)
    elif hasattr(value, "dense"):  # a map of ours
        yield "weights", to_array(value.dense())
    elif isinstance(value, np.ndarray | torch.Tensor) or hasattr(value, "__array__"):
        yield path, to_array(value)


def to_array(value: Any) -> np.ndarray:
    """A NumPy array of at least float32."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu()
        value = value.float() if value.dtype in (torch.bfloat16, torch.float16) else value
    elif "keras" in sys.modules and sys.modules["keras"].ops.is_tensor(value):
        value = sys.modules["keras"].ops.convert_to_numpy(value)
    return np.asarray(value)
