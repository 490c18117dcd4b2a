"""Probes of weights: which axis they are normalised along, what they sum to, dropout and scale."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regard.integrations.checking.lab import MOVED, Lab
from regard.integrations.checking.subject import read_answer, to_array
from regard.integrations.checking.trace import Normalized

__all__ = ["first_tensor", "positions_along", "probe_dropout", "probe_rows", "probe_scale",
           "probe_softmax", "used_weights"]  # fmt: skip

_CLOSE = 1e-3


def probe_softmax(lab: Lab) -> None:
    """Each softmax is taken over the keys."""
    if not lab.trace:
        if lab.subject.library == "torch" and lab.answer.weights is None:
            lab.unchecked.append("softmax: none was seen in Python, and no weights are returned")
        return
    lab.tried.append(f"{len(lab.trace)} softmax of the call")
    for found in lab.trace:
        size, shape = found.weights.shape[found.axis], tuple(found.weights.shape)
        rows = _row_axes(lab, found)
        if size == 1:
            lab.add(
                "weights-always-1",
                found.place,
                f"the softmax is taken over axis {found.axis} of "
                f"{shape}, of "
                "length 1, so every weight is 1",
            )
        elif _unsummed(lab, found, rows):
            lab.add(
                "not-summed",
                found.place,
                "each position is multiplied with its weight, and the products are not summed",
            )
        elif (wrong := _wrong_axis(lab, found, rows)) is not None:
            lab.add(
                "softmax-wrong-axis",
                found.place,
                f"the softmax is taken over axis {found.axis} of "
                f"{shape}, "
                f"which is that of the {wrong}",
                length_of_axis=size,
            )


def _wrong_axis(lab: Lab, found: Normalized, rows: list[int]) -> str | None:
    """What the axis of a softmax is, if not the keys."""
    sizes, shape, axis = lab.fitted.sizes, found.weights.shape, found.axis
    size = shape[axis]
    if axis in rows:
        return "queries"
    if size == sizes.keys:
        return None
    if size == sizes.batch and sizes.keys in shape:
        return "batch"
    if not lab.attends_to_itself and size == sizes.queries and sizes.keys in shape:
        return "queries"
    if (
        size in sizes.heads
        and len(shape) >= 3
        and sizes.keys in shape
        and list(shape).count(size) == 1
    ):
        pairs = [n for n in shape if n in (sizes.keys, sizes.queries)]
        return "heads" if len(pairs) >= 2 else None
    return None


def _row_axes(lab: Lab, found: Normalized) -> list[int]:
    """Axes of weights along which a row of the module's output uses its own index alone: the queries."""
    output = first_tensor(found.output)
    if output is None or not output.requires_grad:
        return []
    shape = found.weights.shape
    length = lab.fitted.sizes.queries if not lab.attends_to_itself else lab.fitted.sizes.keys
    axis = next((i for i in range(output.dim() - 1) if output.shape[i] == length), None)
    if axis is None:
        return []
    candidates = {i for i in range(len(shape)) if shape[i] == length}
    for row in (0, length - 1):
        used = used_weights(output.select(axis, row), found.weights)
        if used is None:
            return []
        candidates = {i for i in candidates if positions_along(used, i) == [row]}
    return sorted(candidates)


def used_weights(part: Tensor, weights: Tensor) -> np.ndarray | None:
    """Which weights a part of the output depends on."""
    factors = torch.linspace(0.5, 1.5, part.numel()).to(part).reshape(part.shape)
    (slope,) = torch.autograd.grad(
        (part * factors).sum(), weights, retain_graph=True, allow_unused=True
    )
    return None if slope is None or not bool(slope.any()) else to_array(slope) != 0


def positions_along(used: np.ndarray, axis: int) -> list[int]:
    """Positions along an axis where anything is used."""
    others = tuple(i for i in range(used.ndim) if i != axis)
    return [int(i) for i in np.flatnonzero(used.any(others))]


def _unsummed(lab: Lab, found: Normalized, rows: list[int]) -> bool:
    """Return whether weights without an axis of queries, one for each position, are not summed over it."""
    shape = [n for n in found.weights.shape if n > 1]
    if not lab.attends_to_itself or shape.count(lab.fitted.sizes.keys) != 1 or len(shape) > 2:
        return False
    return found.axis in rows


def first_tensor(value: Any) -> Tensor | None:
    """The first tensor of floats in what a module returned."""
    if isinstance(value, Tensor):
        return value if value.is_floating_point() else None
    values = (
        value.values()
        if isinstance(value, dict)
        else value
        if isinstance(value, list | tuple)
        else ()
    )
    return next((x for each in values if (x := first_tensor(each)) is not None), None)


def probe_rows(lab: Lab) -> None:
    """Weights that are returned sum to 1 over the keys, and equal values come out as they are."""
    if "softmax-wrong-axis" in lab.findings or "weights-always-1" in lab.findings:
        return
    weights, keys = lab.answer.weights, lab.fitted.sizes.keys
    if weights is not None and np.isfinite(weights).all() and keys in weights.shape:
        lab.tried.append("sums of the weights")
        axes = [i for i, n in enumerate(weights.shape) if n == keys]
        off = {
            i: float(np.abs(weights.sum(i) - 1).max())
            for i in range(weights.ndim)
            if weights.shape[i] > 1
        }
        last = axes[-1]
        if keys > 1 and np.abs(weights - 1).max() < 1e-6:
            lab.add("weights-always-1", "weights", f"every weight of {weights.shape} is 1")
        elif off[last] > _CLOSE:
            other = next((i for i, n in off.items() if n < _CLOSE), None)
            joint = weights.sum(
                tuple(range(int(weights.shape[0] == lab.fitted.sizes.batch), weights.ndim))
            )
            total = np.array([weights.sum(), joint.flat[0] if np.ptp(joint) < _CLOSE else 0])
            if other is None and np.abs(total - 1).min() < _CLOSE:
                lab.add(
                    "softmax-wrong-axis",
                    "weights",
                    f"the weights {weights.shape} sum to 1 over "
                    "several axes "
                    "together, and not for each query",
                    sum_is_off_by=off[last],
                )
                return
            if other is not None and other not in axes[-1:]:
                what = _axis_name(lab, weights.shape, other)
                lab.add(
                    "softmax-wrong-axis",
                    "weights",
                    f"the weights {weights.shape} sum to 1 along "
                    f"axis {other} "
                    f"({what}) and not along axis {last}, the keys",
                    sum_is_off_by=off[last],
                )
            else:
                lab.add(
                    "rows-not-1",
                    "weights",
                    "the weights of a query do not sum to 1",
                    off_by=off[last],
                )
    _probe_constant(lab)
    _probe_masked_rows(lab)


def _axis_name(lab: Lab, shape: tuple[int, ...], axis: int) -> str:
    sizes = lab.fitted.sizes
    if axis == 0 and shape[0] == sizes.batch:
        return "the batch"
    if shape[axis] in (sizes.queries, sizes.keys):
        return "the queries"
    return "the heads" if shape[axis] in sizes.heads else f"of length {shape[axis]}"


def _probe_masked_rows(lab: Lab) -> None:
    """Weights sum to 1 as well where keys are hidden."""
    masked = lab.run(keep=lab.keep).weights if lab.fitted.mask_shape else None
    keys = lab.fitted.sizes.keys
    if masked is None or keys not in masked.shape or not np.isfinite(masked).all():
        return
    axis = [i for i, n in enumerate(masked.shape) if n == keys][-1]
    sums = masked.sum(axis)
    off = float(np.where(np.abs(sums) < 1e-6, 0, np.abs(sums - 1)).max())
    free = lab.answer.weights
    if off > _CLOSE and free is not None and np.abs(free.sum(axis) - 1).max() < _CLOSE:
        lab.add(
            "mask-after-softmax",
            "weights",
            "where keys are hidden the weights do not sum to 1",
            off_by=off,
        )


def _probe_constant(lab: Lab) -> None:
    """With one value at all positions the keys do not matter."""
    values, keys = lab.fitted.of_role("value"), lab.fitted.of_role("key")
    if (
        not values
        or not keys
        or values[0].length is None
        or {"rows-not-1", "softmax-wrong-axis"} & {*lab.findings}
    ):
        return
    if any(
        getattr(m, "add_zero_attn", False) or getattr(m, "bias_k", None) is not None
        for m in lab.subject.modules
    ):
        return  # keys beside those that were given take weight, as they should
    lab.tried.append("equal values at all positions")
    each, length = values[0], values[0].length or 0
    constant = np.take(each.values, [0], length).repeat(each.values.shape[length], length)
    other = lab.redrawn(keys) | {each.argument.name: constant}
    equal = {**lab.base, each.argument.name: constant}
    for keep, name, how in (
        (None, "rows-not-1", ""),
        (lab.keep, "mask-after-softmax", " where keys are hidden"),
    ):
        if keep is not None and not lab.fitted.mask_shape:
            continue
        before = lab.run(equal, keep if keep is not None else None)
        if not np.isfinite(before.output).all():
            continue
        off = lab.change(
            lab.run(other, keep), lab.run(equal, keep) if keep is None else before
        ).max()
        if off > 10 * MOVED:
            if keep is None and (axis := _leaking_axis(lab)):
                lab.add(
                    "softmax-wrong-axis",
                    "output",
                    f"with equal values at all positions the output changes with "
                    f"the keys, and a row with the other {axis}: the weights are normalised over them",
                    change=off,
                )
                return
            lab.add(
                name,
                "output",
                f"with equal values at all positions the output changes with the "
                f"keys{how}: "
                "the weights of a query do not sum to 1",
                change=off,
            )
            return


def _leaking_axis(lab: Lab) -> str:
    """What else than its own query a row of the output depends on, if anything."""
    queries = lab.fitted.of_role("query")
    rows = lab.rows(lab.answer).shape[1]
    if queries and queries[0].length is not None and rows == lab.fitted.sizes.queries > 1:
        others = lab.change(lab.run(lab.redrawn(queries, [0])))[:, 1:]
        if others.max() > MOVED:
            return "queries"
    inputs = [x for x in lab.fitted.inputs.values() if x.batch is not None]
    if inputs and lab.fitted.sizes.batch > 1:
        others = lab.change(
            lab.run(lab.redrawn(inputs, None, list(range(1, lab.fitted.sizes.batch))))
        )[0]
        if others.max() > MOVED:
            return "examples"
    return ""


def probe_dropout(lab: Lab) -> None:
    """Weights that are returned in training are those before dropout."""
    weights = lab.answer.weights
    if weights is None or lab.subject.library != "torch":
        return
    if lab.fitted.sizes.keys not in weights.shape:
        return
    if not any(_drops(part) for m in lab.subject.modules for part in m.modules()):
        return
    subject = lab.subject.copy()
    if subject is None:
        lab.unchecked.append("weights in training: the module cannot be copied")
        return
    for module in subject.modules:
        module.train()
    try:
        trained = [
            read_answer(subject.run(lab.base, lab.mask(), seed=n, training=True)[0]).weights
            for n in range(4)
        ]
    except Exception as error:  # of somebody else's code
        lab.unchecked.append(f"weights in training: refused by {type(error).__name__}: {error}")
        return
    lab.tried.append("weights in training")
    axis = [i for i, n in enumerate(weights.shape) if n == lab.fitted.sizes.keys][-1]
    off = max(float(np.abs(w.sum(axis) - 1).max()) for w in trained if w is not None)
    if off > _CLOSE and float(np.abs(weights.sum(axis) - 1).max()) < _CLOSE:
        lab.add(
            "dropout-in-weights",
            "weights",
            "in training the returned weights do not sum to 1: they come after dropout",
            off_by=off,
        )


def _drops(part: nn.Module) -> bool:
    rates = (getattr(part, name, 0) for name in ("p", "dropout", "dropout_p", "dropout_rate"))
    return any(isinstance(rate, float) and rate > 0 for rate in rates)


def probe_scale(lab: Lab) -> None:
    """Scores that are dot products are divided by the root of their width."""
    if lab.fitted.of_role("memory") and lab.fitted.of_role("query"):
        return  # Luong's dot score has no scale
    for found in lab.trace:
        product = _dot_product(lab, found)
        if product is None or found.scaled or found.scores is None or _of_library(lab, found):
            continue
        width = product.operands[0].shape[-1]
        query, key = (x.detach().double() for x in product.operands[:2])
        if width < 2 or _normalized(query, -1) or _normalized(key, -2) or _normalized(key, -1):
            continue
        spread = float(product.result.detach().double().std())
        lab.tried.append("the spread of the scores")
        lab.add(
            "scale-missing",
            found.place,
            f"scores are dot products over {width} features and are "
            "not divided "
            f"by sqrt({width}) = {math.sqrt(width):.3g}: their spread grows with the width, and the "
            "softmax "
            "with it towards one key",
            spread_of_scores=spread,
            spread_if_scaled=spread / math.sqrt(width),
        )


def _dot_product(lab: Lab, found: Normalized) -> Any:
    """The product of two activations that gave the scores of a softmax."""
    for product in reversed(found.products):
        if product.result.numel() != found.weights.numel() or len(product.operands) < 2:
            continue
        if any(_is_parameter(lab, x) or x.dim() < 2 for x in product.operands):
            return None
        raw = [any(_same(x, values) for values in lab.base.values()) for x in product.operands[:2]]
        general = raw[0] != raw[1]  # one was multiplied with a matrix, the other is as it came
        return None if general else product
    return None


def _of_library(lab: Lab, found: Normalized) -> bool:
    """Return whether the code is that of a library, which documents a score without scale (Keras, T5)."""
    kinds = (type(lab.subject.thing), type(found.module))
    return any(
        kind.__module__.partition(".")[0] in ("keras", "transformers", "regard") for kind in kinds
    )


def _is_parameter(lab: Lab, operand: Tensor) -> bool:
    """Return whether an operand is a parameter, or a view of one."""
    own = {p.untyped_storage().data_ptr() for p in lab.subject.parameters}
    return (
        operand.untyped_storage().data_ptr() in own or operand.numel() % lab.fitted.sizes.batch > 0
    )


def _same(operand: Tensor, values: np.ndarray) -> bool:
    """Return whether an operand holds the numbers of an input."""
    if operand.numel() != values.size:
        return False
    return math.isclose(
        float(operand.detach().double().sum()),
        float(values.astype(np.float64).sum()),
        rel_tol=1e-4,
        abs_tol=1e-4,
    )


def _normalized(vectors: Tensor, axis: int) -> bool:
    """Return whether all vectors have one length."""
    lengths = vectors.norm(dim=axis)
    return bool(((lengths - lengths.mean()).abs() < 1e-3 * lengths.mean().clamp(min=1e-9)).all())
