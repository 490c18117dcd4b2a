"""Which fast path answers a problem.

Two of them, both for softmax: the fused kernels that compute output and statistics together
(`fused/adapter.py`, on a processor or an NVIDIA GPU; `docs/kernel.md`), and torch's flash kernel
(`torch_flash.py`). Each is tested against its slow twin, the tiles of `problem.Problem`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from importlib.util import find_spec
from typing import Any

from regard.attention.arrays import beyond_backward, is_concrete, is_torch, torch_transforms
from regard.attention.kernels import limits
from regard.attention.kernels.parameters import Parameters
from regard.attention.kernels.statistics import NamedStatistic, propagate_nan
from regard.attention.problem import Problem
from regard.attention.row_function import RowFunction
from regard.shapes import Array

__all__ = [
    "by_rows",
    "gradients",
    "has_gradients",
    "matmul",
    "one_pass",
    "output",
    "rmatmul",
    "rows",
    "statistics",
]


def one_pass(
    problem: Problem, statistics: tuple[NamedStatistic, ...], *, dropout: float, seed: int
) -> tuple[Array, Mapping[NamedStatistic, Any]] | None:
    """Output and statistics together, by the fused kernel.

    Args:
        problem: what `attend` was given.
        statistics: what to compute beside the output.
        dropout: probability that a weight is left out of the output.
        seed: of the dropout.

    Returns:
        The output, `(batch, heads, queries, values)`, in the value's type, and for each statistic
        what `AttentionMap` computes for it, with the axes `(batch, heads)` in front: an array, or
        for topk and pool a pair of arrays; and `lse`, in float64, unless gradients are wanted. `None` where
        the kernel does not fit.
    """
    kernel = _fused_kernel(problem)
    if kernel is None or not kernel.fits(problem, statistics) or beyond_backward(problem.query):
        return None
    if is_concrete(problem.query) and not has_gradients(problem):
        # Every pass makes it, and the attention received that is asked later begins with it.
        statistics = tuple(dict.fromkeys((*statistics, ("lse",))))
    together = kernel.one_pass(problem, statistics, dropout=dropout, seed=seed)
    if together is None:
        return None
    output, found = together
    if is_torch(output):
        from regard.attention.kernels import second_derivatives as second

        twins = {("entropy",): second.entropy_of, ("lse",): second.lse_of}
        names = [which for which in twins if which in found]
        results = (output, *(found[which] for which in names))
        slowly = (second.output_of(dropout, seed), *(twins[which] for which in names))
        output, *others = second.with_second_derivatives(problem, results, slowly)
        found = {**found, **dict(zip(names, others, strict=True))}
    if problem.nonfinite is None:
        return output, found
    nan_weights, nan_output = problem.nonfinite.rows(problem)
    found = {which: propagate_nan(which, answer, nan_weights) for which, answer in found.items()}
    return propagate_nan(("output",), output, nan_output), found


def output(problem: Problem) -> Array | None:
    """`P v`, differentiable; `None` where no kernel fits."""
    product = _matmul(problem, problem.value)
    if product is None or problem.nonfinite is None:
        return product
    return propagate_nan(("output",), product, problem.nonfinite.rows(problem)[1])


def matmul(problem: Problem, x: Array) -> Array | None:
    """`P x`, differentiable; `None` where no kernel fits."""
    product = _matmul(problem, x)
    if product is None or problem.nonfinite is None:
        return product
    return propagate_nan(("output",), product, problem.nonfinite.rows(problem)[0])


def _matmul(problem: Problem, x: Array) -> Array | None:
    """`P x` from inputs whose NaN were taken out, with second derivatives."""
    product = None if beyond_backward(problem.query) else _kernel_matmul(problem, x)
    if product is None or not is_torch(product):
        return product
    from regard.attention.kernels import second_derivatives as second

    with_x = replace(problem, value=x)
    return second.with_second_derivatives(with_x, (product,), (second.product_of,))[0]


def _kernel_matmul(problem: Problem, x: Array) -> Array | None:
    """`P x` by the first kernel that fits.

    The flash kernel is a little faster than the fused one, but reads the values of a mask to find
    the keys it may skip, which a traced problem (whose `nonfinite` is never `None`) does not have.
    """
    kernel, with_x = _fused_kernel(problem), replace(problem, value=x)
    fits = kernel is not None and kernel.fits(with_x)
    if is_torch(problem.query) and not (fits and problem.nonfinite is not None):
        from regard.attention.kernels import torch_flash

        product = torch_flash.matmul(problem, x)
        if product is not None:
            return product
    together = kernel.one_pass(with_x, ()) if kernel and fits else None
    return None if together is None else together[0]


def rmatmul(problem: Problem, g: Array) -> Array | None:
    """`P^T g`, from queries back to keys; `None` where no kernel fits."""
    query = problem.query
    if is_torch(query) and is_concrete(query) and not beyond_backward(query):
        from regard.attention.kernels import torch_flash

        return torch_flash.rmatmul(problem, g)
    return None


def rows(problem: Problem, top: int) -> tuple[Array, Array, Array, Array, Array, Array] | None:
    """What softmax makes of rows that go on in other blocks of a larger matrix; `None` where no kernel fits.

    Without gradients, and without the NaN that `problem.nonfinite` remembers.

    Args:
        problem: of torch tensors.
        top: length of the lists of largest weights.

    Returns:
        Output, log-sum-exp (float64), entropy, largest score, largest weights and their keys; the axes
        `(batch, heads, queries)` are in front.
    """
    kernel = _fused_kernel(problem)
    if kernel is None or not kernel.fits(problem, (("topk", top),)):
        return None
    found = kernel.rows(problem, top)
    if found is None:
        return None
    row = found.output, found.lse, found.entropy, found.max_score
    return *row, found.top_weights, found.top_indices


def gradients(
    problem: Problem, output_grad: Array, lse: Array, constant: Array, slope: Array
) -> tuple[Array, Array, Array] | None:
    """Gradients of query, key and value from what is known of each row; `None` where no kernel fits.

    For a block of a larger matrix: `lse` and the output are those of whole rows.

    Args:
        problem: of torch tensors.
        output_grad: `(batch, heads, queries, values)`.
        lse: `(batch, heads, queries)` float64; -inf for rows without a gradient.
        constant: `(batch, heads, queries)`, added to the gradient of each weight of the row.
        slope: `(batch, heads, queries)`, multiplies the logarithm of each weight.
    """
    kernel = _fused_kernel(problem)
    if kernel is None or not kernel.fits(problem):
        return None
    found: tuple[Array, Array, Array] = kernel.gradients(problem, output_grad, lse, constant, slope)
    return found


def statistics(
    problem: Problem, which: NamedStatistic, known: Mapping[NamedStatistic, Any]
) -> Mapping[NamedStatistic, Any] | None:
    """A statistic of a map that is asked later, and what the same pass tells beside it; without gradients.

    Args:
        problem: what the map is made from.
        which: the statistic.
        known: statistics that the map keeps.

    Returns:
        Answers by statistic, that of `which` among them; `None` where no kernel fits or a gradient is wanted.
    """
    # Of a traced problem the size of scores, which decides the precision, is unknown.
    if not is_concrete(problem.query) or beyond_backward(problem.query):
        return None
    kernel = _fused_kernel(problem)
    if kernel and kernel.fits(problem, (which,)) and kernel.fits_float32(problem):
        if _needs_gradient(problem):
            return None
        from regard.attention.kernels.fused import later

        return later.statistics(problem, which, known)
    if is_torch(problem.query) and which in (("entropy",), ("received",)):
        from regard.attention.kernels import torch_flash

        by_flash = torch_flash.entropy if which == ("entropy",) else torch_flash.received
        answer = by_flash(problem)
        return None if answer is None else {which: answer}
    return None


def by_rows(problem: Problem, per: str, form: RowFunction) -> Any | None:
    """The partial result of a statistic by its compiled function of rows, a NumPy array; without gradients.

    Args:
        problem: what `attend` was given.
        per: what the statistic has one answer for.
        form: the function.

    Returns:
        `None` where no kernel fits, a gradient is wanted or the function cannot be compiled.
    """
    layout, query = problem.layout, problem.query
    weights = layout.batch * layout.heads * layout.queries * layout.keys
    if weights < limits.ROW_PASS_MIN_WEIGHTS or not is_concrete(query) or beyond_backward(query):
        return None
    kernel = _fused_kernel(problem)
    on_processor = str(getattr(query, "device", "cpu")).startswith("cpu")
    if kernel is None or not on_processor or problem.nonfinite or not kernel.fits(problem):
        return None
    if _needs_gradient(problem):
        return None
    from regard.attention.kernels.fused import row_pass

    return row_pass.accumulate(problem, per, form)


def _fused_kernel(problem: Problem) -> Any | None:
    """The fused kernel's adapter, where Numba is installed and the matrix large enough."""
    layout = problem.layout
    weights = layout.batch * layout.heads * layout.queries * layout.keys
    if weights < limits.FUSED_MIN_WEIGHTS or not find_spec("numba"):
        return None
    if "Grad" in torch_transforms(problem.query):  # which operators of one's own do not support
        return None
    from regard.attention.kernels.fused import adapter

    return adapter


def has_gradients(problem: Problem) -> bool:
    """Whether an input requires a gradient, so that answers have one unless it is switched off."""
    if not is_torch(problem.query):
        return False
    parts = problem.query, problem.key, problem.value, *Parameters.of(problem).given()
    return any(x.requires_grad for x in parts)


def _needs_gradient(problem: Problem) -> bool:
    if not has_gradients(problem):
        return False
    import torch

    return torch.is_grad_enabled()
