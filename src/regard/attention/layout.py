"""The layout of an attention matrix: the one place where two to four axes become four.

A user's arrays have two to four axes; inside `regard.attention` every array has four. With three axes
the first is the batch, and there is one head. Every conversion is a method here:

==================================== ====================== ========================================
the user's array                     method                 inside
==================================== ====================== ========================================
query, key, value                    `of_inputs`            `(batch, heads, length, features)`
weights `(..., queries, keys)`       `of_matrix`            `(batch, heads, queries, keys)`
mask or bias                         `align`                `(batch, heads, queries, keys)`, or 1
centres `(..., queries)`             `align_per_query`      `(batch, heads, queries)`, or 1
operand of `@`                       `align_operand`        `(batch, heads, length, columns)`
any answer                           `restore`              back to the user's axes
an answer averaged over heads        `restore_one_head`     back to the user's axes
==================================== ====================== ========================================
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from typing import Any, Self

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import (
    accumulation_dtype,
    computes_as_float32,
    device_of,
    is_array,
    is_torch,
    namespace,
    to_numpy,
)
from regard.attention.inputs import as_inputs
from regard.errors import InputError, ShapeError
from regard.shapes import Array, Float, Int

__all__ = ["AttentionLayout"]


@dataclass(frozen=True)
class AttentionLayout:
    """Sizes of an attention matrix that is not stored, and the library and device of its tiles.

    Attributes:
        batch: independent examples.
        heads: query heads.
        queries: rows of the matrix.
        keys: columns of the matrix.
        rank: axes of the user's arrays, 2 to 4; answers have as many.
        xp: array namespace of the user's library (array API).
        device: where new arrays are made; `None` for JAX.
        dtype: type of weights and statistics, float32 or float64.
        output_dtype: type of the output where it is not that of the values: float16, if the inputs were.
    """

    batch: int
    heads: int
    queries: int
    keys: int
    rank: int
    xp: Any
    device: Any
    dtype: Any
    output_dtype: Any = None

    def __getstate__(self) -> dict[str, Any]:
        """Attributes for `pickle` and `copy`, the array namespace by its name."""
        return {**vars(self), "xp": self.xp.__name__}

    def __setstate__(self, state: dict[str, Any]) -> None:
        # Past the guard of frozen classes.
        vars(self).update(state, xp=importlib.import_module(state["xp"]))

    # From the user's axes to four

    @classmethod
    def of_inputs(
        cls, query: Array, key: Array, value: Array
    ) -> tuple[Self, tuple[Array, Array, Array]]:
        """The layout of `attend(query, key, value)`, and the three arrays with four axes.

        float16 comes back as float32 on a processor, which has no fast products of it: what a score projects
        may then be more than 65,504, and every kernel for float32 takes it.

        Raises:
            InputError: arrays that hold no real numbers or are of several libraries.
            ShapeError: a wrong number of axes; lengths, batches or heads that do not fit.
        """
        xp, arrays = as_inputs(query, key, value)
        rank = max(array.ndim for array in arrays)
        if rank == 4:
            _check_three_axes_beside_four(*arrays)
        query, key, value = (_to_four_axes(xp, array, rank) for array in arrays)
        _check_sizes(query, key, value)
        output_dtype = None
        if query.dtype == xp.float16 and computes_as_float32(query):
            output_dtype = xp.float16
            query, key, value = (xp.astype(x, xp.float32) for x in (query, key, value))
        layout = cls(
            batch=max(query.shape[0], key.shape[0]),
            heads=query.shape[1],
            queries=query.shape[2],
            keys=key.shape[2],
            rank=rank,
            xp=xp,
            device=device_of(query),
            dtype=accumulation_dtype(xp, query, key, value),
            output_dtype=output_dtype,
        )
        return layout, (query, key, value)

    @classmethod
    def of_matrix(
        cls, weights: Float[Array, "*lead queries keys"]
    ) -> tuple[Self, Float[Array, "batch heads queries keys"]]:
        """The layout of a matrix that exists, and the matrix with four axes.

        Raises:
            ShapeError: a number of axes other than 2 to 4.
            InputError: a matrix that does not hold floats.
        """
        xp = namespace(weights=weights)
        if not 2 <= weights.ndim <= 4:
            raise ShapeError(
                f"weights have shape {tuple(weights.shape)}; expected 2 to 4 axes, "
                "(batch, heads, queries, keys)"
            )
        if not xp.isdtype(weights.dtype, "real floating"):
            raise InputError(f"weights hold {weights.dtype}; expected floats")
        rank = weights.ndim
        matrix = _to_four_axes(xp, weights, rank)
        batch, heads, queries, keys = matrix.shape
        device, dtype = device_of(weights), accumulation_dtype(xp, weights)
        return cls(batch, heads, queries, keys, rank, xp, device, dtype), matrix

    def align(self, array: Array, name: str) -> Array:
        """A mask or bias with four axes, each of the matrix's size or 1.

        Args:
            array: `(..., queries, keys)`, or what broadcasts to it.
            name: of the argument, for the error.

        Raises:
            ShapeError: an array that does not broadcast to the matrix.
            InputError: a masked array of NumPy, whose mask would be lost.
        """
        if isinstance(array, np.ma.MaskedArray):
            raise InputError(
                f"{name} is a masked array of NumPy; expected a plain one ({name}.filled(...))"
            )
        given = tuple(array.shape)
        array = _to_four_axes(self.xp, self.asarray(array), self.rank)
        full = (self.batch, self.heads, self.queries, self.keys)
        if array.ndim > 4 or any(n != 1 and n != m for n, m in zip(array.shape, full, strict=True)):
            raise ShapeError(
                f"{name} has shape {given}; expected one that broadcasts to {self.shape}"
                + self._hint(given)
            )
        return array

    def align_per_query(self, values: Array) -> Array:
        """One value for each query, `(..., queries)`, with three axes, each of its size or 1."""
        values = self.asarray(values)
        if self.rank == 3 and values.ndim == 2:
            values = values[:, None]
        return self.xp.reshape(values, (1,) * (3 - values.ndim) + tuple(values.shape))

    def align_operand(self, x: Array, length: int) -> Float[Array, "... length columns"]:
        """The right operand of `@` with four axes, in the type of the weights.

        Args:
            x: `(..., length, columns)`; its heads may be a divisor of the map's, its batch may be 1.
            length: the map's keys, or its queries for the transposed map.

        Raises:
            ShapeError: another length, batch or number of heads.
        """
        x = self.asarray(x, self.dtype)
        if x.ndim < 2 or x.shape[-2] != length:
            raise ShapeError(f"x has shape {tuple(x.shape)}; expected (..., {length}, columns)")
        x = _to_four_axes(self.xp, x, self.rank)
        if x.shape[0] not in (1, self.batch) or x.shape[1] < 1 or self.heads % x.shape[1]:
            raise ShapeError(
                f"x has shape {tuple(x.shape)}; expected a batch of 1 or {self.batch} and as many "
                f"heads as the map, {self.heads}, or a divisor"
            )
        return x

    @staticmethod
    def tile_of(array: Array, rows: slice, columns: slice) -> Array:
        """A tile of an aligned mask or bias; an axis of 1 serves every row or column."""
        if array.shape[2] != 1:
            array = array[:, :, rows]
        return array if array.shape[3] == 1 else array[..., columns]

    def as_tile(self, tile: Array, rows: slice, columns: slice) -> Array:
        """A tile of a mask or bias with four axes, each of its size or 1.

        Args:
            tile: made by the `tile` method of a mask or bias of any class.
            rows: of the matrix.
            columns: of the matrix.

        Raises:
            ShapeError: a tile of another size; the message begins with "returned".
        """
        full = (self.batch, self.heads, rows.stop - rows.start, columns.stop - columns.start)
        given = tuple(tile.shape)
        if tile.ndim < 4:
            tile = self.xp.reshape(tile, (1,) * (4 - tile.ndim) + given)
        # Not `n not in (1, m)`, which torch gets wrong where it compiles for sizes that are symbols.
        if tile.ndim > 4 or any(n != 1 and n != m for n, m in zip(tile.shape, full, strict=True)):
            raise ShapeError(
                f"returned shape {given}; expected {full}, each axis of this size or 1"
            )
        return tile

    # From four axes back to the user's

    @property
    def leading_shape(self) -> tuple[int, ...]:
        """Sizes of the user's axes before length: `()`, `(batch,)` or `(batch, heads)`."""
        return (self.batch, self.heads)[: max(0, self.rank - 2)]

    @property
    def shape(self) -> tuple[int, ...]:
        """The matrix's shape as the user sees it, `(..., queries, keys)`."""
        return (*self.leading_shape, self.queries, self.keys)

    def restore(self, array: Array) -> Array:
        """A `(batch, heads, ...)` answer with the user's leading axes."""
        return self.xp.reshape(array, (*self.leading_shape, *array.shape[2:]))

    def restore_one_head(self, array: Array) -> Array:
        """A `(batch, 1, ...)` answer, averaged over heads, with the user's batch axis if any."""
        return array[:, 0] if self.rank > 2 else array[0, 0]

    # Positions and arrays

    @property
    def offset(self) -> int:
        """The key position of the first query: the last query sits at the last key."""
        return self.keys - self.queries

    def positions(self, span: slice) -> Int[Array, " span"]:
        """The integers of `span`, on the arrays' device."""
        return self.xp.arange(span.start, span.stop, device=self.device)

    def clip_to_keys(self, positions: Array) -> Array:
        """Positions limited to 0 and the number of keys (both allowed, as ends of ranges)."""
        # array-api-compat's clip branches on whether its bounds are NaN, which a traced graph cannot.
        if is_torch(positions):
            return positions.clamp(0, self.keys)
        return self.xp.clip(positions, 0, self.keys)

    def asarray(self, values: Any, dtype: Any = None) -> Array:
        """`values` of any library as an array of this library on this device."""
        if isinstance(values, np.ndarray):  # first, as torch cannot trace the questions below
            return self.xp.asarray(values, dtype=dtype, device=self.device)
        if not is_array(values) or compat.array_namespace(values) is not self.xp:
            return self.xp.asarray(to_numpy(values), dtype=dtype, device=self.device)
        # Not asarray, which in torch can cut the gradient.
        values = values if dtype is None else self.xp.astype(values, dtype, copy=False)
        return values if self.device is None else compat.to_device(values, self.device)

    def _hint(self, given: tuple[int, ...]) -> str:
        if given == (self.batch, self.keys):
            return " (to say which keys of each example are real, use regard.padding(...))"
        if self.rank == 4 and given == (self.batch, self.queries, self.keys):
            return " (insert an axis for the heads: array[:, None])"
        return ""


def _to_four_axes(xp: Any, array: Array, rank: int) -> Array:
    """Insert axes of 1 in front; three axes of a problem of three are `(batch, length, ...)`."""
    if rank == 3 and array.ndim == 3:
        return array[:, None]
    return xp.reshape(array, (1,) * (4 - array.ndim) + tuple(array.shape))


def _check_three_axes_beside_four(query: Array, key: Array, value: Array) -> None:
    """Refuse three axes beside four unless they can only be those of heads.

    Three axes are `(batch, length, features)` alone and, as arrays broadcast, `(heads, length,
    features)` beside four. Where the first axis is no number of heads, or one of examples as well,
    grouped heads would be a guess.
    """
    arrays = {"query": query, "key": key, "value": value}
    four = [array for array in arrays.values() if array.ndim == 4]
    batch, heads = max(array.shape[0] for array in four), max(array.shape[1] for array in four)
    for name, array in arrays.items():
        if array.ndim != 3 or array.shape[0] == 1:
            continue
        if array.shape[0] != heads or heads == batch:
            raise ShapeError(
                f"{name} has three axes, {tuple(array.shape)}, beside four: its first may be the batch "
                f"or the heads; insert the other one, as in {name}[:, None] for a batch of one head"
            )


def _check_sizes(query: Array, key: Array, value: Array) -> None:
    if key.shape[2] != value.shape[2]:
        raise ShapeError(
            f"key has {key.shape[2]} positions, value has {value.shape[2]}; each key needs a value"
        )
    if key.shape[:2] != value.shape[:2]:
        raise ShapeError("key and value differ in batch or heads")
    if query.shape[0] != key.shape[0] and 1 not in (query.shape[0], key.shape[0]):
        raise ShapeError(f"query has a batch of {query.shape[0]}, key of {key.shape[0]}")
    if key.shape[1] == 0 or query.shape[1] % key.shape[1]:
        raise ShapeError(
            f"query has {query.shape[1]} heads, key has {key.shape[1]}; the query's must be a "
            "multiple of the key's (grouped heads)"
        )
