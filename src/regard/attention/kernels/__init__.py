"""Fast paths for attention, each tested against its slow twin (`problem.Problem`).

Every function returns `None` where no fast path fits the problem; the caller then computes the
matrix a tile of rows at a time.
"""

from regard.attention.kernels.dispatch import matmul, one_pass, output, rmatmul, statistic
from regard.attention.kernels.statistics import Statistic

__all__ = ["Statistic", "matmul", "one_pass", "output", "rmatmul", "statistic"]
