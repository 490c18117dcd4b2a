"""`attend` and its map against the matrix that the parts themselves make, for `regard.check`."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, nullcontext
from types import FunctionType, MethodType, ModuleType
from typing import Any

import numpy as np

from regard.attention.answers import WATCHABLE
from regard.attention.arrays import is_array, is_torch, to_numpy
from regard.attention.attend import attend
from regard.attention.check_parts import Broken, difference
from regard.attention.kernels.statistics import limit_entropy
from regard.attention.layout import AttentionLayout
from regard.attention.map import AttentionMap
from regard.attention.problem import Problem, make_problem
from regard.shapes import Array

__all__ = ["Parts", "arrays_in", "attend_contract", "gradient_contract"]

Parts = dict[str, Any]
"""`score`, `normalizer`, `mask` and `bias` of one call, those that are checked."""

FAR = 1e-4
"""Difference that is no rounding: the reference is computed in float32, too, in another order."""

LARGEST_SCORE = 2.0**26
"""Size beyond which scores are not compared: each path has a finite number of its own for a bias of +inf, and
for one that is there to mask."""

_ADVICE = (
    "please report this at the project's issues, with the part that was checked: a fast path and the part "
    "disagree"
)


def attend_contract(problem: Problem, inputs: Sequence[Array], parts: Parts) -> list[Broken]:
    """Output, map and statistics of `attend` agree with `normalizer(score + bias, masked) @ value`.

    Without gradients, so that every kernel that may answer does.
    """
    broken = []
    with _no_gradients(inputs[0]):
        scores, weights, output = dense(problem, inputs[2])
        expected = _row_sizes(to_numpy(scores), to_numpy(problem.append_sink(scores)))
        for watch in ((), tuple(WATCHABLE)):
            found, attention = attend(*inputs, watch=watch, **parts)
            answers = (
                *_statistics(attention, to_numpy(weights), inputs[2]),
                ("lse()", _bounded(attention.lse()), expected[0]),
                ("max_score()", _bounded(attention.max_score()), expected[1]),
            )
            for name, one, other in (("the output", found, output), *answers):
                broken += _off(name, one, other, watch)
    return broken


def _off(name: str, found: Array, expected: Array, watch: tuple[str, ...]) -> list[Broken]:
    off = difference(found, expected)
    if off <= FAR:
        return []
    how = f" (watch={watch})" if watch else ""
    return [(f"{name}{how} is off by {off:.1e} from what the parts give", _ADVICE)]


def _no_gradients(like: Array) -> AbstractContextManager[Any]:
    if not is_torch(like):
        return nullcontext()
    import torch

    return torch.no_grad()


def _statistics(
    attention: AttentionMap, weights: np.ndarray, value: Array
) -> Iterator[tuple[str, Array, Array]]:
    """Each answer of a map, and what the matrix gives."""
    layout: AttentionLayout = attention._source.layout
    wide = np.asarray(weights, np.float64)
    values = np.repeat(to_numpy(value), layout.heads // value.shape[1], axis=1)
    logs = np.log(np.where(wide > 0, wide, 1.0))
    entropy = -(wide * logs).sum(-1)
    if (np.abs(wide.sum(-1) - 1) < FAR).all():
        entropy = limit_entropy(entropy, layout.keys)
    k = min(8, layout.keys)
    top = attention.topk(k)
    listed = np.take_along_axis(wide, np.asarray(to_numpy(top.positions), np.int64), -1)
    yield "dense()", attention.dense(), wide
    yield "received()", attention.received(), wide.sum(-2)
    yield "entropy()", attention.entropy(), entropy
    yield "topk().values", top.values, -np.sort(-wide, axis=-1)[..., :k]
    yield "topk().positions", listed, -np.sort(-wide, axis=-1)[..., :k]
    yield "weights @ value", attention @ value, wide @ values
    yield "pool(1, 1).mean", attention.pool(1, 1).mean, wide.mean((-2, -1), keepdims=True)
    yield "pool().max", _largest(attention), wide.max((-2, -1))


def _row_sizes(scores: np.ndarray, with_sink: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Log-sum-exp, of which a sink is one more term, and largest score of each row, in float64."""
    wide = with_sink.astype(np.float64)
    most = wide.max(-1, keepdims=True)
    most = np.where(most == -math.inf, 0.0, most)
    with np.errstate(divide="ignore"):
        lse = most[..., 0] + np.log(np.exp(wide - most).sum(-1))
    return _bounded(lse), _bounded(scores.max(-1))


def _bounded(sizes: Array) -> np.ndarray:
    """Log-sum-exps or scores, at most `LARGEST_SCORE` in size; -inf stays."""
    found = np.asarray(to_numpy(sizes), np.float64)
    return np.where(found == -math.inf, found, found.clip(-LARGEST_SCORE, LARGEST_SCORE))


def _largest(attention: AttentionMap) -> np.ndarray:
    largest: np.ndarray = np.max(to_numpy(attention.pool().max), axis=(-2, -1))
    return largest


def gradient_contract(
    problem: Problem, inputs: Sequence[Any], parts: Parts, parameters: Sequence[Any]
) -> list[Broken]:
    """Gradients of query, key, value and of the parts' own parameters are those of the definition."""
    import torch

    broken: list[Broken] = []
    names = ["query", "key", "value", *("a parameter",) * len(parameters)]
    complete = {name: getattr(problem, name) for name in ("score", "normalizer", "mask", "bias")}
    with torch.enable_grad():
        inputs = [x.clone().requires_grad_() for x in inputs]
        wanted = [*inputs, *parameters]
        expected = dense(make_problem(*inputs, **complete), inputs[2])[2]
        slopes = _gradients(expected, wanted)
        for watch in ((), ("entropy",)):
            output, _ = attend(*inputs, watch=watch, **parts)
            broken += _off("the output in training", output, expected, watch)
            for name, found, other in zip(names, _gradients(output, wanted), slopes, strict=True):
                if found is None and other is None:
                    continue
                found = torch.zeros_like(other) if found is None else found
                other = torch.zeros_like(found) if other is None else other
                broken += _off(f"the gradient of {name}", found, other, watch)
    return broken


def _gradients(output: Any, wanted: Sequence[Any]) -> Sequence[Any]:
    import torch

    if not output.requires_grad:
        return [None] * len(wanted)
    factors = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).reshape(output.shape)
    return torch.autograd.grad((output * factors).sum(), wanted, allow_unused=True)


def dense(problem: Problem, value: Array) -> tuple[Array, Array, Array]:
    """Scores, weights and output by the definition: every method of the parts called once, for all rows."""
    layout, xp = problem.layout, problem.layout.xp
    rows = slice(0, layout.queries)
    scores = problem.score.pairwise(
        xp.astype(problem.query, layout.dtype), xp.astype(problem.key, layout.dtype)
    )
    bias, allowed = (
        tile(rows, problem.every_key) for tile in (problem.bias_tile, problem.mask_tile)
    )
    if bias is not None:
        scores = scores + xp.astype(bias, layout.dtype)
        scores = xp.where(scores == math.inf, xp.finfo(layout.dtype).max, scores)
    if allowed is not None:
        scores = xp.where(allowed, scores, -math.inf)
    weights = problem.normalizer(scores, first_row=0)
    repeated = xp.repeat(value, layout.heads // value.shape[1], axis=1)
    return scores, weights, weights @ xp.astype(repeated, layout.dtype)


def arrays_in(part: object) -> list[Any]:
    """Arrays that an object holds: in attributes, lists, dictionaries, modules, and closures of methods."""
    found: list[Any] = []
    seen: set[int] = set()
    waiting: list[Any] = [part]
    while waiting:
        one = waiting.pop()
        if id(one) in seen or isinstance(one, str | bytes | int | float | ModuleType):
            continue
        seen.add(id(one))
        if is_array(one):
            found.append(one)
            continue
        waiting.extend(_held(one))
    return found


def _held(owner: Any) -> Iterator[Any]:
    """Objects one step away from an object."""
    if isinstance(owner, dict):
        yield from owner.values()
    elif isinstance(owner, list | tuple | set | frozenset):
        yield from owner
    elif isinstance(owner, MethodType):
        yield from (owner.__func__, owner.__self__)
    elif isinstance(owner, FunctionType):
        yield from (cell.cell_contents for cell in owner.__closure__ or () if _is_filled(cell))
    elif hasattr(owner, "py_func"):  # compiled by Numba
        yield owner.py_func
    elif not isinstance(owner, type):
        yield from vars(owner).values() if hasattr(owner, "__dict__") else ()
        for kind in type(owner).__mro__:
            if kind.__module__.partition(".")[0] not in ("regard", "torch", "builtins", "abc"):
                yield from (x for x in vars(kind).values() if isinstance(x, FunctionType))
                yield from (getattr(owner, name, None) for name in _slots(kind))


def _slots(kind: type) -> Sequence[str]:
    slots = vars(kind).get("__slots__", ())
    return (slots,) if isinstance(slots, str) else tuple(slots)


def _is_filled(cell: Any) -> bool:
    try:
        return cell.cell_contents is not None
    except ValueError:  # an empty cell, of a name that is defined later
        return False
