"""The dimension legend and the array types of every signature in `regard`.

Arrays are laid out `(..., length, features)`; with heads `(batch, heads, length, features)`.

======== =====================================================================
name     meaning
======== =====================================================================
batch    independent examples
heads    query heads; `key_heads` divides it when heads are grouped
queries  positions that attend (target positions, in cross-attention)
keys     positions that are attended to (source positions)
features query and key width, `d_k`
values   value width, `d_v`
length   positions of one sequence, where queries are also the keys
layers   layers of a model
vocab    rows of an output distribution
======== =====================================================================

In signatures these words are jaxtyping axes, checked in the tests:
`Float[Array, "batch heads queries features"]`.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from jaxtyping import Bool, Float, Int, Real

__all__ = ["Array", "Bool", "Float", "Int", "Real"]

Array: TypeAlias = Any
"""A NumPy array, a torch tensor or a JAX array: anything array-api-compat knows."""
