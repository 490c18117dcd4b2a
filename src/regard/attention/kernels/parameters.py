"""Arrays that kernels take from a score and a normaliser, beside query, key and value."""

from __future__ import annotations

from dataclasses import replace
from typing import NamedTuple

from regard.attention.arrays import is_array
from regard.attention.normalizers import Softmax, align_sink, softmax_of
from regard.attention.problem import Problem
from regard.attention.scores import Additive, Capped, additive_vector, uncapped
from regard.shapes import Array

__all__ = ["Parameters"]


class Parameters(NamedTuple):
    """What a score and a normaliser may learn; `None` where a problem has no such part."""

    vector: Array | None
    """`v` of an additive score, `(features,)`."""
    sink: Array | None
    """Of a softmax, `(batch or 1, heads or 1, 1, 1)`, in the type of the weights."""

    @classmethod
    def of(cls, problem: Problem) -> Parameters:
        """The parameters of a problem.

        Raises:
            ShapeError: a sink that does not fit the heads.
        """
        layout, softmax = problem.layout, softmax_of(problem.normalizer)
        sink = None if softmax is None else softmax.sink
        if sink is not None:
            leading = (layout.batch, layout.heads)
            sink = align_sink(sink, problem.query, leading, layout.dtype)
            sink = layout.xp.reshape(sink, (1,) * (4 - sink.ndim) + tuple(sink.shape))
        return cls(additive_vector(uncapped(problem.score)[0]), sink)

    def given(self) -> tuple[Array, ...]:
        """Those that there are."""
        return tuple(x for x in self if x is not None)

    def into(self, problem: Problem) -> Problem:
        """The problem with these parameters in place of its own, query and key being projected."""
        score, normalizer = problem.score, problem.normalizer
        if is_array(self.vector):
            _, cap = uncapped(score)
            score = Additive(self.vector) if cap is None else Capped(Additive(self.vector), cap)
        if is_array(self.sink):
            normalizer = Softmax(self.sink)
        return replace(problem, score=score, normalizer=normalizer)
