"""`regard.check(statistic=...)`: what it finds in a statistic with a planted fault, and nothing in ours."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

import regard
from regard import statistics
from regard.errors import InputError

QUICK: dict[str, Any] = {"queries": 7, "keys": 11, "batch": 1}


def check(statistic, **given):
    return regard.check(statistic=statistic, **({"libraries": ["numpy"]} | QUICK | given))


@dataclass(frozen=True)
class Squares(statistics.Statistic):
    """Sum of the squares of each query's weights, with a fault."""

    fault: str = ""

    def of_tile(self, tile):
        xp, weights = tile.xp, tile.weights
        match self.fault:
            case "mean of the tile":
                return xp.mean(weights**2, axis=-1)
            case "position in the tile":
                return xp.sum(weights * np.arange(weights.shape[-1]), axis=-1)
            case "counts what is masked":
                return xp.sum(weights < 0.05, axis=-1)
            case "scores that are masked":
                return xp.sum(weights * tile.scores, axis=-1)
            case "logarithm of 0":
                with np.errstate(all="ignore"):
                    return -xp.sum(weights * xp.log(weights), axis=-1)
            case "in place":
                weights += 1e-3
            case "whole":
                return xp.concat([weights**2, weights[..., :0]], axis=-1)
        return xp.sum(weights**2, axis=-1)

    def merge(self, first, second):
        match self.fault:
            case "merge by maximum":
                return np.maximum(first, second)
            case "merge by mean":
                return (first + second) / 2
            case "merge forgets":
                return second
            case "whole":
                return np.concatenate([first, second], axis=-1)
        return first + second

    def finish(self, partial):
        return partial.sum(-1) if self.fault == "whole" else partial


class Counting(statistics.Statistic):
    """Keeps on itself how many tiles it has seen."""

    seen = 0

    def of_tile(self, tile):
        self.seen += 1
        return tile.xp.sum(tile.weights, axis=-1) + self.seen


FAULTS = {
    "mean of the tile": "depends on how the matrix is cut",
    "position in the tile": "depends on how the matrix is cut",
    "merge by maximum": "depends on how the matrix is cut",
    "merge by mean": r"merge\(merge\(a, b\), c\)",
    "merge forgets": r"merge\(b, a\) differ",
    "counts what is masked": "everything is masked changes the answer",
    "scores that are masked": "the answer is NaN",
    "logarithm of 0": "the answer is NaN",
    "in place": "changes the weights in place",
    "whole": "grows with the keys",
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.filterwarnings("ignore:invalid value")
def test_planted_faults(fault):
    report = check(Squares(fault))
    assert not report.ok
    assert {finding.part for finding in report.findings} == {"statistic"}
    texts = "\n".join(map(str, report.findings))
    assert re.search(FAULTS[fault], texts), texts


def test_a_statistic_that_remembers():
    assert any("asked again" in str(finding) for finding in check(Counting()).findings)


def test_a_gradient_that_is_not_finite():
    class Root(statistics.Statistic):
        """The root of 0 is 0, and its slope infinite."""

        def of_tile(self, tile):
            return tile.xp.sum(tile.weights**0.5, axis=-1)

    report = check(Root(), libraries=["torch"])
    assert "gradient is NaN or infinite" in str(report)
    assert check(Root()).ok


def test_code_that_fits_no_library():
    class OfNumPy(statistics.Statistic):
        def of_tile(self, tile):
            return np.einsum("bhqk->bhq", tile.weights)

    report = check(OfNumPy(), libraries=["torch"])
    assert "returned ndarray" in str(report) or "raised" in str(report)


@pytest.mark.slow
def test_statistics_of_the_library():
    values = np.random.default_rng(0).normal(size=(11, 3))
    for statistic in (
        *(statistics.RenyiEntropy(order) for order in (0, 0.5, 1, 2, math.inf)),
        statistics.ShareOnKeys([0, -1]),
        statistics.MassWithinWindow(2),
        statistics.WeightedValues(values),
        statistics.WeightHistogram(),
        Squares(),
    ):
        report = check(statistic, libraries=["numpy", "torch"])
        assert report.ok, report
    assert check(statistics.RenyiEntropy(2), libraries=["jax"]).ok


def test_beside_parts_and_other_sizes():
    report = check(statistics.ShareOnKeys([9]), keys=5)
    assert not report.runs
    assert "ShareOnKeys has key 9" in str(report)
    assert check(Squares(), mask=regard.causal(), normalizer=regard.normalizers.Sparsemax()).ok
    with pytest.raises(InputError, match=r"a subclass of regard\.statistics\.Statistic"):
        check("entropy")
    with pytest.raises(InputError, match=r"regard.check\(statistic=...\)"):
        regard.check(Squares())  # type: ignore[call-overload]
