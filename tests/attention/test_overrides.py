"""Which methods of an object are the library's own."""

from __future__ import annotations

import pytest

import regard
from regard.attention import masks, normalizers, scores
from regard.attention.overrides import library_class, runs


class Capped(scores.ScaledDot):
    def pairwise(self, query, key):
        return super().pairwise(query, key).clip(-1, 1)


class Renamed(scores.ScaledDot):
    """Changes nothing."""


def test_a_method_of_the_library_runs():
    for score in (scores.ScaledDot(), scores.Dot(), Renamed()):
        assert runs(score, "pairwise", scores.DotScore.pairwise)
    assert runs(normalizers.Softmax(), "__call__", normalizers.Softmax.__call__)


@pytest.mark.unchecked
def test_a_method_replaced_by_a_subclass_or_on_the_object_does_not():
    assert not runs(Capped(), "pairwise", scores.DotScore.pairwise)
    assert not runs(scores.Additive(None), "pairwise", scores.DotScore.pairwise)
    replaced = scores.General(None)
    object.__setattr__(replaced, "pairwise", lambda query, key: query)
    assert not runs(replaced, "pairwise", scores.DotScore.pairwise)


def test_the_class_of_the_library_that_another_derives_from():
    class Mine(masks.IntervalMask):
        def intervals(self, layout):
            raise NotImplementedError

    assert library_class(Mine()) is masks.IntervalMask
    assert library_class(regard.causal()) is type(regard.causal())
    assert library_class(3) is object
