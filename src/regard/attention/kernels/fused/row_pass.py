"""The pass of a statistic that is a function of rows: rows by `row_weights`, the function compiled by Numba."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Iterator
from types import CodeType
from typing import Any

import numba
import numpy as np
import numpy.typing as npt
from numba.core.errors import NumbaError

from regard.attention.arrays import is_array, to_numpy
from regard.attention.kernels import limits
from regard.attention.kernels.fused.adapter import row_inputs
from regard.attention.kernels.fused.row_weights import make_row_workspace, weight_rows
from regard.attention.kernels.fused.workspace import Inputs
from regard.attention.problem import Problem
from regard.attention.row_function import Row, RowFunction
from regard.compiled.blas import find_gemm
from regard.compiled.call import call_serial
from regard.compiled.intrinsics import wide_vectors
from regard.compiled.jit import FAST_MATH
from regard.compiled.threads import run_workers, thread_count

__all__ = ["accumulate", "why_not_compiled"]

# With Numba's run time, unlike the kernels: a user's function may make arrays.
_OPTIONS: dict[str, Any] = {"nogil": True, "fastmath": FAST_MATH, "error_model": "numpy"}

_LOOPS: dict[Any, Any] = {}
"""Loops by function: compiling one takes a second."""

_REASONS: dict[Any, str] = {}
"""Why a function cannot be compiled, by function."""


def accumulate(
    problem: Problem, per: str, form: RowFunction, *, checked: bool = False
) -> npt.NDArray[np.float64] | None:
    """The partial result of all rows of a problem that the fused kernels support.

    Args:
        problem: of NumPy arrays, or of tensors on the processor.
        per: of the statistic.
        form: its function.
        checked: raise an `IndexError` where the function leaves an array, instead of reading what lies there.

    Returns:
        `(batch, heads, queries or keys, size)`, `(batch, heads, size)` of a head; `None` where Numba cannot
        compile the function, which is a warning the first time, or a bias needs a gradient.
    """
    layout, name = problem.layout, _identity(form.function)
    if name in _REASONS:
        return None
    key = name, per == "key", checked
    if key not in _LOOPS:
        _LOOPS[key] = _row_loop(form.function, by_key=per == "key", checked=checked)
    loop = _LOOPS[key]
    length = {"query": layout.queries, "key": layout.keys, "head": 1}[per]
    size = 1 if form.size is None else form.size
    partial = np.full((layout.batch, layout.heads, length, size), float(form.start))
    data = tuple(to_numpy(x) if is_array(x) else x for x in form.data)
    for first, inputs in row_inputs(problem):
        if inputs is None:
            return None
        work = _Work(problem, per, loop, partial, data, first, inputs)
        try:
            work.compile()
        except NumbaError as error:
            _REASONS[name] = _reason_of(error)
            warnings.warn(
                f"Numba cannot compile {form.function.__qualname__} ({_REASONS[name]}), so that its statistic "
                "is computed by array operations, which takes longer",
                RuntimeWarning,
                stacklevel=2,
            )
            return None
        work.run()
    found = partial[:, :, 0] if per == "head" else partial
    return found[..., 0] if form.size is None else found


def why_not_compiled(form: RowFunction) -> str | None:
    """What Numba said of a function that it could not compile; `None` unless that was tried."""
    return _REASONS.get(_identity(form.function))


class _Work:
    """One call: the rows of a problem for which mask and bias were made at once."""

    def __init__(
        self,
        problem: Problem,
        per: str,
        loop: Any,
        partial: Any,
        data: Any,
        first: int,
        inputs: Inputs,
    ) -> None:
        self.layout, self.per, self.loop, self.partial = problem.layout, per, loop, partial
        self.data, self.first, self.inputs = data, first, inputs
        self.rows = max(8, min(64, limits.ROW_PASS_WEIGHTS // problem.layout.keys))
        self.features = problem.query.shape[-1]
        self.gemm = find_gemm()

    def compile(self) -> None:
        """Compile the loop, by running it over no rows."""
        self._of_rows(self._workspace(), 0, 0, 0, 0)

    def run(self) -> None:
        """All rows, on several threads.

        Raises:
            BaseException: the first that the function raised.
        """
        tasks = self._tasks()

        def work_off() -> None:
            workspace = self._workspace()
            with self.gemm.on_one_thread():
                for b, h, start, stop in tasks:
                    for first in range(start, stop, self.rows):
                        count = min(self.rows, stop - first)
                        call_serial(
                            weight_rows, self.gemm.address, workspace, self.inputs, b, h, first, count
                        )  # fmt: skip
                        self._of_rows(workspace, b, h, first, count)

        run_workers([work_off] * thread_count())

    def _tasks(self) -> Iterator[tuple[int, int, int, int]]:
        """Examples, heads and ranges of rows, no two of which add to one place. Threads share the iterator."""
        count = self.inputs.query.shape[2]
        step = self.rows if self.per == "query" else count
        return iter(
            [
                (b, h, start, min(start + step, count))
                for b in range(self.layout.batch)
                for h in range(self.layout.heads)
                for start in range(0, count, step)
            ]
        )

    def _workspace(self) -> Any:
        return make_row_workspace(self.rows, self.layout.keys, self.features)

    def _of_rows(self, workspace: Any, b: int, h: int, first: int, count: int) -> None:
        """The function for the rows of a workspace."""
        place = (b, h, self.first + first, self.layout.offset)
        start = place[2] if self.per == "query" else 0
        step = 1 if self.per == "query" else 0
        self.loop(workspace, place, count, self.partial[b, h, start:], step, self.data)


def _reason_of(error: NumbaError) -> str:
    """What is wrong, of an error of many lines whose first one says at which step."""
    text = re.sub(r"\x1b\[[0-9;]*m", "", str(error))  # colours
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    some = [line for line in lines if not line.startswith("Failed in ")]
    return " ".join(some[:2] or lines[:1])


def _identity(function: Callable[..., Any]) -> Any:
    """What makes two functions one: their code, and every value that Numba takes for a constant.

    Those are what a function closes over, its defaults and the globals that it names; the object itself
    where one of them has no hash, as an array has none.
    """
    function = getattr(function, "py_func", function)
    try:
        values = [
            *(cell.cell_contents for cell in function.__closure__ or ()),
            *(function.__defaults__ or ()),
            *(function.__globals__.get(name) for name in _names(function.__code__)),
        ]
        key = function.__code__, *((type(value), value) for value in values)
        hash(key)
    except (AttributeError, TypeError, ValueError):
        return function
    return key


def _names(code: CodeType) -> list[str]:
    """Names of globals and attributes in a code, and in those of the functions inside it."""
    inner = [one for one in code.co_consts if isinstance(one, CodeType)]
    return [*code.co_names, *(name for one in inner for name in _names(one))]


def _row_loop(function: Callable[..., Any], *, by_key: bool, checked: bool) -> Any:
    """The loop over the rows of a workspace, compiled together with a function of one row."""
    options = {**_OPTIONS, "forceinline": True, "boundscheck": checked}
    of_row = numba.njit(**options)(getattr(function, "py_func", function))
    make_row: Any = Row

    def loop(work: Any, place: Any, rows: int, partial: Any, step: int, data: Any) -> None:
        wide_vectors()
        b, h, first, offset = place
        begin, end = work.seen[0], work.seen[1]
        for r in range(rows):
            weights, scores = work.weights[r, : end - begin], work.scores[r, : end - begin]
            i = first + r
            row = make_row(weights, scores, work.lse[r], b, h, i, begin, begin - i - offset)
            if by_key:
                of_row(row, partial[begin:end], *data)
            else:
                of_row(row, partial[r * step], *data)

    return numba.njit(**_OPTIONS)(loop)
