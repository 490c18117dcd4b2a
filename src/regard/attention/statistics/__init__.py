"""Statistics of an attention matrix, and the protocol by which you define your own.

>>> import numpy as np
>>> import regard
>>> query, key, value = np.random.default_rng(0).standard_normal((3, 5, 8))
>>> _, weights = regard.attend(query, key, value)
>>> weights.statistic(regard.statistics.RenyiEntropy(2)).shape  # one number for each query
(5,)
"""

from regard.attention.row_function import Row, RowFunction
from regard.attention.statistics.base import Partial, Statistic, Tile
from regard.attention.statistics.library import (
    MassWithinWindow,
    RenyiEntropy,
    ShareOnKeys,
    WeightedValues,
    WeightHistogram,
)
from regard.attention.statistics.tiles import evaluate

__all__ = [
    "MassWithinWindow",
    "Partial",
    "RenyiEntropy",
    "Row",
    "RowFunction",
    "ShareOnKeys",
    "Statistic",
    "Tile",
    "WeightHistogram",
    "WeightedValues",
    "evaluate",
]
