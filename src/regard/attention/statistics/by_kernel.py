"""Statistics by compiled code, where a kernel fits: functions of rows, and products with values."""

from __future__ import annotations

from typing import Any

from regard.attention import kernels
from regard.attention.arrays import is_array, is_concrete, no_autocast
from regard.attention.layout import AttentionLayout
from regard.attention.overrides import runs
from regard.attention.problem import Problem, RowSource
from regard.attention.row_function import RowFunction
from regard.attention.statistics.base import Partial, Statistic
from regard.attention.statistics.library import WeightedValues
from regard.errors import InputError

__all__ = ["current_row_function", "in_type_of", "partial_by_kernel"]


def partial_by_kernel(source: RowSource, statistic: Statistic) -> Partial | None:
    """The merged partial result of a whole matrix; `None` where tiles have to be made."""
    if not isinstance(source, Problem):
        return None
    ours = runs(statistic, "of_tile", WeightedValues.of_tile)
    if ours and runs(statistic, "merge", Statistic.merge) and statistic.per == "query":
        return _product(source, statistic)
    form = current_row_function(statistic, source.layout)
    if form is None or any(getattr(x, "requires_grad", False) for x in form.data):
        return None
    found = kernels.by_rows(source, statistic.per, form)
    return None if found is None else source.layout.asarray(found)


def current_row_function(statistic: Statistic, layout: AttentionLayout) -> RowFunction | None:
    """The function of rows of a statistic, unless a subclass changed what it has to agree with.

    Raises:
        InputError: something else than a `RowFunction`.
    """
    order = type(statistic).__mro__

    def place(name: str) -> int:
        return next(n for n, kind in enumerate(order) if name in vars(kind))

    changed = min(place("of_tile"), place("merge")) < place("row_function")
    form = None if changed else statistic.row_function(layout)
    if form is not None and not isinstance(form, RowFunction):
        raise InputError(
            f"{type(statistic).__name__}.row_function returned {form!r}; expected a "
            "regard.statistics.RowFunction or None"
        )
    return form


def in_type_of(layout: AttentionLayout, answer: Partial) -> Partial:
    """An answer whose floats have the type of the weights: those of compiled code are float64."""
    xp = layout.xp

    def cast(array: Any) -> Any:
        if is_array(array) and xp.isdtype(array.dtype, "real floating"):
            return xp.astype(array, layout.dtype, copy=False)
        return array

    return tuple(map(cast, answer)) if isinstance(answer, tuple) else cast(answer)


def _product(problem: Problem, statistic: Any) -> Partial | None:
    """`weights @ values`, where nothing is NaN or infinite: 0 times that is NaN to a matrix product."""
    layout = problem.layout
    values = layout.align_operand(statistic.values, layout.keys)
    if problem.nonfinite is not None or not (is_concrete(problem.query) and is_concrete(values)):
        return None
    if not bool(layout.xp.all(layout.xp.isfinite(values))):
        return None
    with no_autocast(values):
        return kernels.matmul(problem, values)
