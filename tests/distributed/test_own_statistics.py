"""Statistics that users define, over several processes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import regard
from regard import statistics
from regard.attention.normalizers import Softmax
from regard.attention.scores import ScaledDot
from regard.distributed import Shards
from regard.distributed.attend import attend_over
from regard.distributed.problem import make_sharded_problem
from regard.distributed.ring import Ring

Threads = Callable[[int, Callable[[Ring], Any]], list[Any]]
LENGTH = 29


class LargestOfKeys(statistics.Statistic):
    """The largest weight and score that each key gets: two arrays, merged by no sum."""

    per = "key"

    def of_tile(self, tile: statistics.Tile) -> tuple[Tensor, Tensor]:
        return tile.weights.amax(2), tile.scores.amax(2)

    def merge(self, first: Any, second: Any) -> Any:
        return tuple(torch.maximum(one, other) for one, other in zip(first, second, strict=True))

    def finish(self, partial: Any) -> Any:
        return partial[0], partial[1].exp()


OWN = [
    statistics.RenyiEntropy(2),
    statistics.RenyiEntropy(float("inf")),
    statistics.ShareOnKeys([0, 3, -1]),
    statistics.MassWithinWindow(3),
    statistics.WeightedValues(torch.linspace(-1, 1, LENGTH)[:, None]),
    statistics.WeightHistogram(),
    LargestOfKeys(),
]


@pytest.mark.parametrize(
    "mask", [regard.causal(), regard.window(2) & regard.padding(torch.tensor([9, 29]))]
)
def test_against_one_process(threads: Threads, mask: Any) -> None:
    generator = torch.Generator().manual_seed(5)
    arrays = [torch.randn(2, LENGTH, 8, generator=generator) for _ in range(3)]
    alone = regard.attend(*arrays, mask=mask)[1]
    shards = Shards.contiguous([0, 20, 9])

    def work(ring: Ring) -> list[Any]:
        own = [shards.take(x, ring.rank) for x in arrays]
        problem = make_sharded_problem(
            ring, *own, shards=shards, key_shards=None, score=ScaledDot(), normalizer=Softmax(),
            mask=mask, bias=None,
        )  # fmt: skip
        found = attend_over(problem, [])[1]
        return [found.statistic(statistic) for statistic in OWN]

    for statistic, *answers in zip(OWN, *threads(3, work), strict=True):
        right = alone.statistic(statistic)
        parts = [answer if isinstance(answer, tuple) else (answer,) for answer in answers]
        for expected, *found in zip(
            right if isinstance(right, tuple) else (right,), *parts, strict=True
        ):
            if statistic.per == "head":
                assert all(one.equal(expected) for one in found)
            else:
                torch.testing.assert_close(
                    shards.join(found, axis=1), expected, rtol=1e-5, atol=1e-6
                )
