"""Fast paths for attention, each tested against its slow twin (`problem.Problem`).

Every function returns `None` where no fast path fits the problem; the caller then computes the
matrix a tile of rows at a time.
"""

from regard.attention.kernels.dispatch import (
    by_rows,
    gradients,
    has_gradients,
    matmul,
    one_pass,
    output,
    rmatmul,
    rows,
    statistics,
)
from regard.attention.kernels.statistics import NamedStatistic

__all__ = [
    "NamedStatistic",
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
