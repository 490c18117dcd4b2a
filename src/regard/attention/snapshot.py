"""The hold of a map on what it was made from, so that it answers later as it would have at first.

A map computes its weights when it is asked, from arrays that belong to the user. Between `attend` and the
question these may be changed in place: by `x += 1`, or by an optimizer's step on a learned score.

* NumPy arrays are copied: the map keeps copies of query, key, mask and bias (not of values, which no
  weight depends on), about as many numbers as `attend` reads anyway. Arrays that nobody can write to
  (`x.flags.writeable = False`) are kept as they are.
* torch counts the changes of a tensor (`Tensor._version`). The counts are noted, which costs well under
  a microsecond for each, and a map whose inputs have changed since raises. Writes that torch does not
  count go unseen: through `.data`, through a NumPy array that shares the memory, and to tensors made
  under `torch.inference_mode()`.
* JAX arrays cannot change.
"""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, Self

import numpy as np

from regard.attention.arrays import is_concrete
from regard.attention.layout import AttentionLayout
from regard.attention.masks import Mask
from regard.attention.normalizers import Normalizer
from regard.attention.positions import Bias
from regard.attention.problem import DenseMatrix, NonFinite, Problem, RowSource, ScaledColumns
from regard.attention.scores import Score
from regard.errors import InputError
from regard.shapes import Array, Float

__all__ = ["Snapshot"]


@dataclass(frozen=True, eq=False)
class Snapshot:
    """A source of rows whose inputs are known not to have changed.

    Attributes:
        held: the source, with NumPy arrays of its own.
        versions: name, tensor and count of changes of each torch tensor that it is made from.
    """

    held: RowSource
    versions: tuple[tuple[str, Any, int], ...]

    @classmethod
    def of(cls, source: RowSource) -> Self:
        """Copy the NumPy arrays of a source and note the versions of its tensors."""
        if not is_concrete(_array_of(source)):
            return cls(source, ())  # traced: what it stands for cannot be changed
        versions: list[tuple[str, Any, int]] = []

        def hold(path: str, array: Any) -> Any:
            if path == "value":  # of a problem: no weight depends on it
                return array
            if isinstance(array, np.ndarray):
                return _copy_unless_constant(array)
            if not array.is_inference():
                versions.append((path, array, array._version))
            return array

        return cls(_replace_arrays(source, "", hold), tuple(versions))

    def __reduce__(self) -> tuple[Callable[[RowSource], Snapshot], tuple[RowSource]]:
        """Pickled and copied with arrays of its own, without the graph behind their gradients."""
        return Snapshot.of, (_replace_arrays(self.source, "", _own),)

    def __deepcopy__(self, memo: dict[int, Any]) -> Snapshot:
        return Snapshot.of(_replace_arrays(self.source, "", _own))

    @property
    def source(self) -> RowSource:
        """The source.

        Raises:
            InputError: a tensor was changed in place since.
        """
        for name, tensor, version in self.versions:
            if tensor._version != version:
                raise InputError(
                    f"the {name} that this attention map is made from was changed in place since (by an "
                    "optimizer's step, or an operation such as x += 1), so the map can no longer answer; ask "
                    "it before, give attend a copy, or have statistics computed along with the output "
                    "(watch=...)"
                )
        return self.held

    @property
    def layout(self) -> AttentionLayout:
        """Sizes, library and device of the matrix, which do not change."""
        return self.held.layout

    def weights(self, rows: slice) -> Float[Array, "batch heads rows keys"]:
        """Rows of the source."""
        return self.source.weights(rows)

    def tiles(self) -> list[slice]:
        """The tiles of the source."""
        return self.held.tiles()


_PARTS = (Problem, DenseMatrix, ScaledColumns, NonFinite, Score, Normalizer, Mask, Bias)
"""Objects that are searched for arrays, beside containers and torch modules."""


def _array_of(source: RowSource) -> Any:
    """An array of a source, which is traced if the source is."""
    if isinstance(source, Problem):
        return source.query
    if isinstance(source, DenseMatrix):
        return source.matrix
    return source.factor if isinstance(source, ScaledColumns) else None


def _own(path: str, array: Any) -> Any:
    """A copy of the numbers alone: a view would bring all of its memory along, a gradient its graph."""
    return array.copy() if isinstance(array, np.ndarray) else array.detach().clone()


@cache  # of a few types: subclass checks of abstract classes would be most of a snapshot's time
def _kind(type_: type) -> Literal["array", "dict", "sequence", "object", "other"]:
    """How to look for arrays in values of a type."""
    torch = sys.modules.get("torch")
    if issubclass(type_, np.ndarray) or (torch is not None and issubclass(type_, torch.Tensor)):
        return "array"
    if issubclass(type_, dict):
        return "dict"
    if type_ in (tuple, list):
        return "sequence"
    if issubclass(type_, _PARTS) or (torch is not None and issubclass(type_, torch.nn.Module)):
        return "object"
    return "other"


def _replace_arrays(value: Any, path: str, replacement: Callable[[str, Any], Any]) -> Any:
    """Replace the NumPy arrays and torch tensors inside a value.

    Args:
        value: a source of rows, or anything it holds.
        path: its name in error messages.
        replacement: array to put in place of one, of which the name and the array are given.

    Returns:
        A copy of the value with the new arrays; the value itself where no array is another.
    """
    kind = _kind(value.__class__)
    if kind == "other":
        return value
    if kind == "array":
        return replacement(path, value)
    if kind == "sequence":
        items = [_replace_arrays(item, f"{path}.{i}", replacement) for i, item in enumerate(value)]
        changed = any(new is not old for new, old in zip(items, value, strict=True))
        return type(value)(items) if changed else value
    old = value if kind == "dict" else vars(value)
    new = {}
    for name, item in old.items():
        if item is not None:
            own = _replace_arrays(item, f"{path}.{name}" if path else str(name), replacement)
            if own is not item:
                new[name] = own
    if not new:
        return value
    if kind == "dict":
        return {**value, **new}
    twin = copy.copy(value)
    vars(twin).update(new)  # past the guard of frozen classes
    return twin


def _copy_unless_constant(array: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    base: Any = array
    while isinstance(base, np.ndarray) and not base.flags.writeable:
        base = base.base
    if base is None:
        return array
    if not array.size or 0 not in array.strides:
        return array.copy()
    # A broadcast array repeats itself along axes of stride 0; the copy does as well.
    once = tuple(slice(0, 1) if step == 0 else slice(None) for step in array.strides)
    return np.broadcast_to(array[once].copy(), array.shape)
