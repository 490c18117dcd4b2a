"""`regard.check`: what it finds in parts with a planted fault, and that the library's own parts have none."""

from __future__ import annotations

from importlib import import_module

import numpy as np
import pytest
import torch

import regard
from regard.attention import masks, normalizers, positions, scores
from regard.attention.check import LENGTHS
from regard.attention.kernels import limits


class Quiet(normalizers.Normalizer):
    """A softmax with a fault."""

    def __init__(self, fault):
        self.fault = fault

    def __call__(self, scores, *, first_row=0):
        weights = normalizers.Softmax()(scores)
        match self.fault:
            case "masked row":
                weights = torch.softmax(scores, -1)
            case "masked key":
                weights = weights + (scores == -torch.inf) * 0.1
            case "other rows":
                weights = weights * scores.clamp(-2, 2).mean()
            case "type":
                weights = weights.double()
            case "negative":
                weights = weights - (weights > 0) * 0.01
            case "shape":
                weights = weights[..., :-1]
            case "detached":
                weights = normalizers.Softmax()(scores.detach()) + 0 * scores.nan_to_num().sum()
            case "in place":
                scores.clamp_(-3)
        return weights


class Wrong(scores.ScaledDot):
    """A score with a fault."""

    fault: str

    def __init__(self, fault):
        object.__setattr__(self, "fault", fault)
        super().__init__()

    def pairwise(self, query, key):
        if self.fault == "groups":
            return query @ key.repeat(1, query.shape[1] // key.shape[1], 1, 1).mT
        score = super().pairwise(query, key)
        match self.fault:
            case "rows":
                score = score + torch.arange(score.shape[2])[:, None]
            case "columns":
                score = score - score.mean(-1, keepdim=True)
            case "nan":
                score = score.log()
            case "raises":
                score = score.no_such_method()
        return score


class WrongMask(masks.Mask):
    """A mask with a fault."""

    def __init__(self, fault):
        self.fault = fault

    def tile(self, layout, rows, columns):
        query, key = layout.positions(rows)[:, None], layout.positions(columns)
        if self.fault == "tile":
            query, key = query - rows.start, key - columns.start
        return key <= query if self.fault != "numbers" else (key <= query) * 1

    def intervals(self, layout):
        if self.fault != "ranges":
            return None
        low = layout.positions(slice(0, layout.queries))[None, None] * 0
        return low, low + 2

    @property
    def same_for_all_queries(self):
        return self.fault == "same"


class WrongBias(positions.Bias):
    """A bias with a fault."""

    def __init__(self, fault):
        self.fault = fault

    def tile(self, layout, rows, columns):
        if self.fault == "nan":
            return np.full((1, 1), np.nan)
        return np.arange(rows.stop - rows.start)[:, None] * np.ones(columns.stop - columns.start)


FAULTS = [
    ({"normalizer": Quiet("masked row")}, "NaN in a row of masked keys only"),
    ({"normalizer": Quiet("masked key")}, "masked keys (scores of -inf) get a weight"),
    ({"normalizer": Quiet("other rows")}, "depend on the other rows"),
    ({"normalizer": Quiet("type")}, "weights of torch.float32 scores are torch.float64"),
    ({"normalizer": Quiet("negative")}, "weights are negative"),
    ({"normalizer": Quiet("shape")}, "get weights of shape"),
    ({"normalizer": Quiet("in place")}, "changed in place"),
    ({"score": Wrong("rows")}, "differs from those rows of all queries"),
    ({"score": Wrong("columns")}, "differs from those columns of all keys"),
    ({"score": Wrong("groups")}, "grouped heads"),
    ({"score": Wrong("nan")}, "scores of finite vectors are NaN"),
    ({"score": Wrong("raises")}, "raised AttributeError in "),
    ({"mask": WrongMask("tile")}, "is not that part of the whole mask"),
    ({"mask": WrongMask("ranges")}, "for query 0 tile allows the keys [0], intervals name 0 to 2"),
    ({"mask": WrongMask("same")}, "same_for_all_queries is True"),
    ({"mask": WrongMask("numbers")}, "tile returned torch.int64; expected Booleans"),
    ({"bias": WrongBias("nan")}, "the bias is NaN"),
    ({"bias": WrongBias("rows")}, "is not that part of the whole bias"),
]


@pytest.fixture(autouse=True)
def short(monkeypatch):
    """Lengths and limits that keep every path and take no time."""
    module = import_module("regard.attention.check")  # whose name the function has
    monkeypatch.setattr(module, "LENGTHS", (*LENGTHS[:3], (13, 17)))
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 1000)


@pytest.mark.parametrize(("parts", "expected"), FAULTS, ids=[text[:30] for _, text in FAULTS])
def test_a_planted_fault_is_named(parts, expected):
    report = regard.check(**parts, libraries=["torch"])
    assert not report.ok
    assert expected in str(report), str(report)
    (name,) = parts
    assert {finding.part for finding in report.findings} >= {name}
    assert "try: " in str(report)
    assert "seen with torch, batch 2" in str(report)


@pytest.mark.parametrize(
    "parts",
    [
        {"score": scores.Dot()},
        {"score": scores.Cosine(3.0)},
        {"score": scores.Capped(scores.ScaledDot(), 5), "normalizer": normalizers.Softmax(sink=0)},
        {"normalizer": normalizers.Sparsemax()},
        {"normalizer": normalizers.Entmax15()},
        {"normalizer": normalizers.Sigmoid()},
        {"normalizer": normalizers.Hard()},
        {"normalizer": normalizers.GumbelHard(seed=3)},
        {"mask": regard.causal() & regard.window(3)},
        {"mask": regard.causal() | regard.window(1)},
        {"bias": positions.ALiBi()},
        {"mask": regard.causal(), "bias": positions.ALiBi(), "normalizer": normalizers.Softmax()},
    ],
    ids=str,
)
def test_the_librarys_own_parts_keep_their_contracts(parts):
    report = regard.check(**parts, libraries=["numpy", "torch"])
    assert report.ok, str(report)
    assert len(report.runs) == 16


@pytest.mark.slow
def test_parts_that_hold_arrays_run_in_their_library_and_sizes():
    table = torch.nn.Parameter(torch.linspace(-1, 1, 12).reshape(3, 4))
    report = regard.check(bias=positions.Relative(table), heads=3)
    assert report.ok, str(report)
    assert {run.partition(",")[0] for run in report.runs} == {"torch"}
    weight = np.linspace(-1, 1, 24).reshape(6, 4).astype(np.float32)
    report = regard.check(score=scores.General(weight), features=6)
    assert not report.ok
    assert "every size was refused" in str(report)
    report = regard.check(mask=regard.padding([5, 20]), keys=20)
    assert report.ok, str(report)
    assert {run.partition(",")[0] for run in report.runs} == {"numpy", "torch", "jax"}
    assert all("20 keys" in run for run in report.runs)


def test_sizes_that_are_refused_are_no_fault():
    report = regard.check(mask=regard.padding([5, 8]), libraries=["torch"])
    assert report.ok, str(report)
    assert len(report.refused) == 2  # keys shorter than 8
    assert "refused: torch" in str(report)


def test_arguments_that_are_no_parts():
    with pytest.raises(regard.errors.InputError, match="nothing to check"):
        regard.check()
    with pytest.raises(regard.errors.InputError, match=r"subclass of regard\.scores\.Score"):
        regard.check(score=scores.ScaledDot)  # type: ignore[call-overload]
    with pytest.raises(regard.errors.InputError, match="torch"):
        regard.check(score=scores.Dot(), libraries=["torh"])


def test_the_longest_inputs_reach_the_kernels():
    queries, keys = LENGTHS[-1]
    assert 2 * 4 * queries * keys > 2**18
