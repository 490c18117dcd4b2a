"""Statistics that a map is asked after the output was computed: one pass for all questions of a kind.

Which statistics a pass computes depends neither on the question nor on the order of questions, and so the bits
of an answer do not either:

* On a processor entropy, log-sum-exp, largest score, the list of largest and the usual blocks come from one
  pass. The attention received needs the log-sum-exp of all queries and is a second pass, unless a tile holds
  whole rows.
* On a GPU blocks belong to the second pass, so that there are two kinds: rows, and columns.
* A shorter list is the beginning of a longer one, and blocks made of whole smaller ones are their sums. Blocks
  of other sizes cut the keys in another way, and take a pass of their own.

What a pass tells beside the answer is kept with the map: 112 bytes for each query and head, a fifth of what a
query and a key of 64 features take, and the blocks.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from regard.attention.kernels.fused import adapter
from regard.attention.kernels.fused.partition import has_whole_rows
from regard.attention.kernels.fused.pooled import are_made_of, join_blocks
from regard.attention.kernels.statistics import DEFAULT_POOL, DEFAULT_TOPK, NamedStatistic
from regard.attention.problem import Problem

__all__ = ["statistics"]

OF_ROWS: tuple[NamedStatistic, ...] = (("entropy",), ("lse",), ("max_score",))
LISTED = max(DEFAULT_TOPK[1:])
"""Length of the list that is made at least."""


def statistics(
    problem: Problem, which: NamedStatistic, known: Mapping[NamedStatistic, Any]
) -> Mapping[NamedStatistic, Any] | None:
    """A statistic of a problem that `adapter.fits`, and what the same pass tells beside it.

    Args:
        problem: of concrete arrays that need no gradient.
        which: the statistic.
        known: statistics that were answered before.

    Returns:
        Answers by statistic; `None` if its bias needs a gradient.
    """
    answer = _derived(problem, which, known)
    if answer is not None:
        return {which: answer}
    needed = _of_one_pass(problem, which)
    if which == ("received",) and which not in needed:
        rest = known if ("lse",) in known else statistics(problem, ("lse",), known)
        received = None if rest is None else adapter.received(problem, rest["lse",])
        return None if rest is None or received is None else {**rest, which: received}
    together = adapter.one_pass(replace(problem, value=problem.value[..., :0]), needed)
    if together is None:
        return None
    found = together[1]
    return found if which in found else {**found, which: _derived(problem, which, found)}


def _of_one_pass(problem: Problem, which: NamedStatistic) -> tuple[NamedStatistic, ...]:
    """The statistics that are computed with `which`, all at once."""
    name, *numbers = which
    usual = adapter.fits(problem, (DEFAULT_POOL,))
    if name == "pool" and not (usual and are_made_of(problem.layout, numbers, DEFAULT_POOL[1:])):
        return (which,)
    top = max(*numbers, LISTED) if name == "topk" else LISTED
    rows, blocks = (*OF_ROWS, ("topk", top)), (DEFAULT_POOL,) if usual else ()
    columns = (*blocks, ("received",))
    if adapter.is_on_gpu(problem):
        return columns if name in ("pool", "received") else rows
    return (*rows, *(columns if has_whole_rows(problem.layout.keys) else blocks))


def _derived(
    problem: Problem, which: NamedStatistic, known: Mapping[NamedStatistic, Any]
) -> Any | None:
    """The answer that follows from others: the beginning of a list, or larger blocks."""
    name, *numbers = which
    if name == "topk":
        longer = [one for one in known if one[0] == name and one[1:] >= (numbers[0],)]
        if longer:
            weights, keys = known[longer[0]]
            return weights[..., : numbers[0]], keys[..., : numbers[0]]
    if name == "pool" and DEFAULT_POOL in known:
        return join_blocks(problem.layout, known[DEFAULT_POOL], DEFAULT_POOL[1:], numbers)
    return None
