"""Inputs that a layer, model or function takes: found by calling it, or taken from an example."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any, cast

import numpy as np
from torch import nn

from regard.errors import InputError
from regard.integrations.checking.roles import Argument
from regard.integrations.checking.subject import Answer, Subject, read_answer, to_array

__all__ = ["Fitted", "Input", "Sizes", "fit", "fit_example", "hidden_mask"]

_HEADS = ("num_heads", "n_heads", "n_head", "nhead", "heads", "num_attention_heads", "h")
_WIDTHS = ("embed_dim", "d_model", "hidden_size", "hidden_dim", "dim", "width", "units", "features",
           "input_size", "input_dim", "query_dim", "query_width", "n_embd", "kdim", "vdim", "key_dim",
           "in_features", "in_channels", "d_k", "head_dim")  # fmt: skip
_PRIMES = (7, 5, 3, 11, 13, 17, 19)
_TRIALS = 4000
LAYERS = 2
"""Layers of a recurrent network's state that a query may be."""


@dataclass(frozen=True)
class Sizes:
    """Lengths, each another number than any width, so that an axis is known by its size."""

    batch: int
    queries: int
    keys: int
    heads: tuple[int, ...] = ()


@dataclass(frozen=True)
class Input:
    """One argument: which axes are its batch and length, and its values.

    Attributes:
        argument: name and role.
        values: vectors or ids.
        batch: axis of the examples, if it has one.
        length: axis of the positions, if it has one.
        vocabulary: number of ids; 0 for vectors.
        layers: axis of the layers of a state, if it has one.
    """

    argument: Argument
    values: np.ndarray
    batch: int | None
    length: int | None
    vocabulary: int = 0
    layers: int | None = None

    @property
    def described(self) -> str:
        """Name and shape."""
        return f"{self.argument.name} {self.values.shape}"


@dataclass(frozen=True)
class Fitted:
    """How a subject is called.

    Attributes:
        inputs: by name of the argument.
        sizes: of the batch and lengths.
        mask_shape: letters of the axes of the mask, such as `"bk"` or `"bqk"`; empty if none is passed.
        mask_kind: type of the mask's numbers.
        refused: why no mask could be passed.
    """

    inputs: Mapping[str, Input]
    sizes: Sizes
    mask_shape: str = ""
    mask_kind: str = "bool"
    refused: str = ""

    def of_role(self, *roles: str) -> list[Input]:
        """Inputs of these roles."""
        return [x for x in self.inputs.values() if x.argument.role in roles]

    @property
    def values(self) -> dict[str, np.ndarray]:
        """The arrays, by name."""
        return {name: each.values for name, each in self.inputs.items()}


def hidden_mask(fitted: Fitted, subject: Subject, keep: np.ndarray) -> np.ndarray | None:
    """The mask that keeps these keys, `(batch, keys)`, in the form that the subject takes."""
    argument = subject.signature.mask
    if argument is None or not fitted.mask_shape:
        return None
    if argument.lengths:
        return np.asarray(keep.sum(1), np.int64)
    return shaped_mask(fitted, subject, keep[:, None, :])


def shaped_mask(fitted: Fitted, subject: Subject, keep: np.ndarray) -> np.ndarray:
    """A mask `(batch, queries or 1, keys)` of what is kept, in the form that the subject takes."""
    letters, argument = fitted.mask_shape, subject.signature.mask
    shape = {"b": keep.shape[0], "q": fitted.sizes.queries, "k": keep.shape[2], "1": 1}
    if not fitted.of_role("query"):
        shape["q"] = keep.shape[2] if not fitted.of_role("target") else fitted.sizes.queries
    if "b" not in letters:
        keep = keep[:1]
    if "q" not in letters:
        keep = keep[:, :1]
    full = np.broadcast_to(
        keep, (keep.shape[0], shape["q"] if "q" in letters else 1, keep.shape[2])
    )
    kept = full.reshape([shape[letter] for letter in letters])
    if argument is not None and argument.hides:
        kept = ~kept
    return np.asarray(kept, {"bool": bool, "int": np.int64, "float": np.float32}[fitted.mask_kind])


def fit(subject: Subject, features: int | None, padding: int | float | None) -> Fitted:
    """Find shapes that the subject takes.

    Raises:
        InputError: it refuses all that were tried.
    """
    arguments = subject.signature.arguments
    widths = [features] if features else _widths(subject)
    heads = _heads(subject)
    free = [p for p in _PRIMES if p not in (*widths, *heads)]
    asking = any(a.role in ("query", "target") for a in arguments)
    sizes = Sizes(free[2], free[1] if asking else free[0], free[0], tuple(heads))
    error: Exception | None = None
    mixed: tuple[Fitted, list[str]] | None = None
    for way, inputs in itertools.islice(_candidates(subject, sizes, widths), _TRIALS):
        others = [w for w, a in zip(way, arguments, strict=True) if a.role != "query"]
        if mixed is not None and (others != mixed[1] or len(others) == len(way)):
            continue
        fitted = Fitted({x.argument.name: x for x in inputs}, sizes)
        try:
            fitted = _fit_mask(subject, fitted)
            answer = _try(subject, fitted)
        except Exception as wrong:
            error = error or wrong
            subject.renew()
            continue
        if any(x.batch is not None for x in inputs) and _mixes(subject, fitted, answer):
            # Broadcast by chance, or a fault: other shapes of the query are tried first.
            mixed = mixed or (fitted, others)
            continue
        return fitted
    if mixed is not None:
        return mixed[0]
    names = ", ".join(a.name for a in arguments)
    raise InputError(
        f"check found no shapes of {names} that {subject.name} takes; pass example=, a dictionary or tuple "
        f"of arrays that it runs with, or features= (the first error was {type(error).__name__}: {error})"
    ) from error


def fit_example(subject: Subject, example: Any, padding: int | float | None) -> Fitted:
    """Take the shapes of an example.

    Raises:
        InputError: the subject does not run with it.
    """
    arguments = subject.signature.arguments
    if isinstance(example, Mapping):
        known = {a.name for a in arguments} | (
            {subject.signature.mask.name} if subject.signature.mask else set()
        )
        subject.fixed = {name: value for name, value in example.items() if name not in known}
    arrays = (
        [to_array(example[a.name]) for a in arguments]
        if isinstance(example, Mapping)
        else [to_array(x) for x in example]
    )
    inputs = [_of_example(subject, a, x) for a, x in zip(arguments, arrays, strict=False)]
    inputs = [_by_state(x, inputs) for x in inputs]
    keyed = next(
        (x for x in reversed(inputs) if x.length is not None and x.argument.role != "query"),
        inputs[0],
    )
    asking = next((x for x in inputs if x.argument.role in ("query", "target")), keyed)
    batch = keyed.values.shape[keyed.batch] if keyed.batch is not None else 1
    keys = keyed.values.shape[keyed.length] if keyed.length is not None else 1
    queries = asking.values.shape[asking.length] if asking.length is not None else 1
    fitted = Fitted(
        {x.argument.name: x for x in inputs}, Sizes(batch, queries, keys, tuple(_heads(subject)))
    )
    try:
        _try(subject, fitted) if not subject.signature.mask_required else None
        return _fit_mask(subject, fitted)
    except Exception as error:
        raise InputError(
            f"{subject.name} does not run with the example ({', '.join(x.described for x in inputs)}): "
            f"{type(error).__name__}: {error}"
        ) from error


def _of_example(subject: Subject, argument: Argument, array: np.ndarray) -> Input:
    if array.dtype.kind in "iu":
        return Input(argument, array.astype(np.int64), 0, 1, int(array.max(initial=1)) + 1)
    array = array.astype(np.float32)
    first = _batch_first(subject)
    axes: tuple[int | None, int | None]
    if array.ndim == 2:
        axes = (
            (0, None)
            if argument.role == "query" and _others_wider(subject, argument)
            else (None, 0)
        )
    else:
        axes = (0, array.ndim - 2) if first else (1, 0)
    return Input(argument, array, *axes)


def _by_state(each: Input, inputs: list[Input]) -> Input:
    """An input with the length first, if its second axis is as long as a state's batch and its first is not."""
    states = {x.values.shape[0] for x in inputs if x.batch == 0 and x.length is None}
    if each.values.ndim != 3 or len(states) != 1 or each.batch != 0:
        return each
    first, second = each.values.shape[:2]
    return replace(each, batch=1, length=0) if first not in states and second in states else each


def _others_wider(subject: Subject, argument: Argument) -> bool:
    return any(a.role == "memory" for a in subject.signature.arguments if a is not argument)


def _try(subject: Subject, fitted: Fitted) -> Answer:
    """The answer without anything hidden."""
    keep = np.ones((fitted.sizes.batch, fitted.sizes.keys), bool)
    returned, _ = subject.run(fitted.values, hidden_mask(fitted, subject, keep))
    return read_answer(returned)


def _mixes(subject: Subject, fitted: Fitted, before: Answer) -> bool:
    """Return whether another first example changes the others' answers."""
    changed = {}
    for name, each in fitted.inputs.items():
        values = each.values.copy()
        if each.batch is not None:
            one: list[Any] = [slice(None)] * values.ndim
            one[each.batch] = 0
            values[tuple(one)] = np.flip(values[tuple(one)], -1)
        changed[name] = values
    keep = np.ones((fitted.sizes.batch, fitted.sizes.keys), bool)
    returned, _ = subject.run(changed, hidden_mask(fitted, subject, keep))
    after = read_answer(returned).output
    if after.shape != before.output.shape or fitted.sizes.batch not in after.shape:
        return True
    axis = after.shape.index(fitted.sizes.batch)
    rest = np.delete(np.abs(after - before.output), 0, axis)
    return bool(rest.max(initial=0) > 1e-4 * max(1, np.abs(after).max(initial=0)))


def _fit_mask(subject: Subject, fitted: Fitted) -> Fitted:
    """Find the shape of the mask, keeping everything.

    Raises:
        Exception: of the subject, where a mask is required and none fits.
    """
    argument = subject.signature.mask
    if argument is None:
        return fitted
    error: Exception | None = None
    queries = "q" if fitted.of_role("query", "target", "sequence") else "1"
    shapes = ["bk", f"b{queries}k", "b1k", "b11k", f"b1{queries}k", f"{queries}k", "k"]
    if argument.name.lower() == "attn_mask" and not argument.hides:
        shapes = ["b1k", "b11k", *shapes]
    plain = None if subject.signature.mask_required else _try(subject, fitted).output.shape
    for letters in ["bk"] if argument.lengths else shapes:
        for kind in ("bool", "int", "float"):
            tried = replace(fitted, mask_shape=letters, mask_kind=kind)
            try:
                keep = np.ones((fitted.sizes.batch, fitted.sizes.keys), bool)
                keep[:, -1] = False
                output = read_answer(
                    subject.run(fitted.values, hidden_mask(tried, subject, keep))[0]
                ).output
            except Exception as wrong:
                error = error or wrong
                continue
            if plain is None or output.shape == plain or argument.lengths:
                return tried
    if subject.signature.mask_required and error is not None:
        raise error
    return replace(fitted, refused=f"no mask was accepted in {argument.name} ({error})")


def _candidates(
    subject: Subject, sizes: Sizes, widths: list[int]
) -> Iterator[tuple[tuple[str, ...], list[Input]]]:
    """Ranks and inputs to try, the likeliest first."""
    arguments = subject.signature.arguments
    vocabulary = _vocabulary(subject)
    ways = [list(_ways(a, vocabulary)) for a in arguments]
    alike = [tuple([w] * len(arguments)) for w in widths]
    others = [c for c in itertools.product(widths, repeat=len(arguments)) if len(set(c)) > 1]
    first = _batch_first(subject)
    for combination in [*alike, *others]:
        for way in itertools.product(*ways):
            if not _fits_together(way):
                continue
            rng = np.random.default_rng(0)
            yield (
                way,
                [
                    _made(a, w, width, sizes, first, vocabulary, rng)
                    for a, w, width in zip(arguments, way, combination, strict=True)
                ],
            )


def _fits_together(way: tuple[str, ...]) -> bool:
    """Return whether all have heads or lack a batch, or none."""
    return len(set(way)) == 1 or not ({"4", "2"} & set(way) or {"3", "3t"} <= set(way))


def _ways(argument: Argument, vocabulary: int) -> Iterator[str]:
    """Ranks to try of an argument: `"state"` is one vector for each example."""
    state = argument.role == "query" and argument.name.lower() not in ("query", "q", "queries")
    if vocabulary and argument.role in ("sequence", "target", "memory"):
        yield "ids"
    if state:
        yield from ("state", "layers")
    yield "3"
    if argument.role == "query" and not state:
        yield from ("state", "layers")
    yield from ("4", "2", "3t")


def _made(
    argument: Argument, way: str, width: int, sizes: Sizes, first: bool, vocabulary: int, rng: Any
) -> Input:
    length = sizes.queries if argument.role in ("query", "target") else sizes.keys
    if way == "ids":
        ids = rng.integers(min(3, vocabulary - 1), vocabulary, (sizes.batch, length))
        return Input(argument, ids, 0, 1, vocabulary)
    heads = next(iter(sizes.heads), 2)
    shape, axes = {
        "state": ((sizes.batch, width), (0, None)),
        "layers": ((LAYERS, sizes.batch, width), (1, None)),
        "3t": ((length, sizes.batch, width), (1, 0)),
        "3": ((sizes.batch, length, width), (0, 1))
        if first
        else ((length, sizes.batch, width), (1, 0)),
        "4": ((sizes.batch, heads, length, width), (0, 2)),
        "2": ((length, width), (None, 0)),
    }[way]
    values = rng.standard_normal(shape).astype(np.float32)
    return Input(argument, values, *axes, layers=0 if way == "layers" else None)


def _batch_first(subject: Subject) -> bool:
    """Return whether the batch is the first axis; torch's attention layers say so."""
    for module in subject.modules:
        if not type(module).__module__.startswith("torch.nn"):
            continue
        for part in (module, *module.children()):
            if hasattr(part, "batch_first"):
                return bool(part.batch_first)
    return True


def _heads(subject: Subject) -> list[int]:
    found = [
        value
        for module in subject.modules
        for part in module.modules()
        for name in _HEADS
        if isinstance(value := getattr(part, name, None), int) and value > 0
    ]
    return list(dict.fromkeys(found))


def _vocabulary(subject: Subject) -> int:
    """Number of ids that every embedding of the subject has; 0 without one."""
    sizes = [
        part.num_embeddings
        for module in subject.modules
        for part in module.modules()
        if isinstance(part, nn.Embedding)
    ]
    sizes += [
        int(cast(Any, part).input_dim)
        for module in subject.modules
        for part in module.modules()
        if type(part).__name__ == "Embedding" and hasattr(part, "input_dim")
    ]
    words = [size for size in sizes if size > 4]
    return min(words, default=0)


def _widths(subject: Subject) -> list[int]:
    """Widths to try: those that modules name, then all sizes of their parameters."""
    found: list[int] = []
    for module in subject.modules:
        parts = list(module.modules())
        for part in parts:
            named = (getattr(part, name, None) for name in _WIDTHS)
            found += [n for n in named if isinstance(n, int) and n > 1]
    for parameter in subject.parameters:
        if parameter.dim():
            found += [parameter.shape[-1], parameter.shape[-1] // 2, parameter.shape[0]]
    return list(dict.fromkeys(n for n in found if 1 < n <= 4096))[:12] or [16]
