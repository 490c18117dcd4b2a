"""Statistics that users define: by array operations and by compiled functions of rows, over torch's SDPA.

    python -m benchmarks.own_statistics            # the table of docs/statistics.md, two minutes
    python -m benchmarks.own_statistics --quick    # a quarter of the length

Every ratio is a median of processor time over rounds in which its sides take turns: float32, one thread, 8
heads of 64.
"""

from __future__ import annotations

import argparse
import math
from statistics import median
from time import process_time

import torch

import regard
from regard import statistics
from regard.attention.statistics import Statistic
from regard.attention.statistics.tiles import evaluate


class KeysRead(Statistic):
    """The class of `docs/statistics.md`, before the last step."""

    def of_tile(self, tile):
        """Sum of squares."""
        return tile.xp.sum(tile.weights**2, axis=-1)

    def row_function(self, layout):
        """The sum of a row."""
        return statistics.RowFunction(add_squares)


def add_squares(row, partial):
    """Add the squares of a row's weights."""
    for weight in row.weights:
        partial[0] += weight * weight


def seconds(run) -> float:
    """Processor time of one call."""
    start = process_time()
    run()
    return process_time() - start


@torch.no_grad()
def main() -> None:
    """Print a row for each statistic."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    length, rounds = (1024, 3) if quick else (4096, 5)
    torch.set_num_threads(1)
    query, key, value = torch.randn(3, 1, 8, length, 64)
    weights = regard.attend(query, key, value)[1]
    source = weights._source
    for statistic in (
        statistics.RenyiEntropy(2),
        statistics.RenyiEntropy(1),
        statistics.RenyiEntropy(math.inf),
        statistics.ShareOnKeys([0, 5]),
        statistics.MassWithinWindow(8, 0),
        statistics.WeightHistogram(),
        statistics.WeightedValues(torch.randn(1, 8, length, 64)),
        KeysRead(),
    ):
        sides = (
            lambda: torch.nn.functional.scaled_dot_product_attention(query, key, value),
            lambda one=statistic: evaluate(source, one, tiles=source.tiles()),
            lambda one=statistic: weights.statistic(one),
        )
        sides[2]()  # compiles
        taken = [[seconds(side) for side in sides] for _ in range(rounds)]
        sdpa, tiles, compiled = (median(column) for column in zip(*taken, strict=True))
        name = type(statistic).__name__, getattr(statistic, "order", "")
        print(f"{name} arrays {tiles / sdpa:.2f} compiled {compiled / sdpa:.2f} of SDPA")


if __name__ == "__main__":
    main()
