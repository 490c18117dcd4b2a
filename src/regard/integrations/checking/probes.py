"""Probes of inputs: what is ignored, what leaks, what depends on the batch."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import torch

from regard.integrations.checking.lab import MOVED, STILL, Lab
from regard.integrations.checking.subject import read_answer, to_array
from regard.layers.nested import tensors_in

__all__ = ["probe_batch", "probe_gradient", "probe_inputs", "probe_order", "probe_repetition"]


def probe_repetition(lab: Lab) -> None:
    """Equal calls give equal answers, and change nothing that they are given."""
    lab.tried.append("equal calls")
    off = lab.change(lab.run(seed=1), lab.run(seed=2))
    if off.max() > STILL:
        lab.add(
            "random-in-eval",
            "output",
            "two equal calls in evaluation mode give different answers",
            difference=off.max(),
        )
    _, own = lab.subject.run(lab.base, lab.mask())
    for name, array in own.items():
        if not np.array_equal(to_array(array), lab.base[name].astype(to_array(array).dtype)):
            lab.add(
                "input-changed",
                name,
                f"the call changes {name}, which belongs to the caller, in place",
            )


def probe_inputs(lab: Lab) -> None:
    """Query, key and value matter, and the values are summed over the keys."""
    for each in lab.fitted.of_role("query"):
        lab.tried.append(f"another {each.argument.name}")
        other = lab.redrawn([each])
        off = lab.change(lab.run(other)).max()
        if off < STILL:
            lab.add(
                "query-ignored",
                each.argument.name,
                f"another {each.argument.name} gives the same output",
                change=off,
            )
        elif (moved := _weights_move(lab, other)) is not None and moved < STILL:
            lab.add(
                "query-ignored",
                each.argument.name,
                f"another {each.argument.name} changes the output, but no weight: every query attends "
                "alike",
                change_of_weights=moved,
            )
        if each.layers is not None:
            _probe_layers(lab, each)
    for each in lab.fitted.of_role("key", "memory"):
        other = lab.redrawn([each])
        moved = _weights_move(lab, other)
        off = lab.change(lab.run(other)).max()
        name = each.argument.name
        if each.argument.role == "memory" and off < STILL:
            lab.add("value-ignored", name, f"another {name} gives the same output", change=off)
        elif each.argument.role == "key" and moved is None and off < STILL:
            lab.add("key-ignored", name, f"another {name} gives the same output", change=off)
        elif moved is not None and moved < STILL:
            lab.add("key-ignored", name, f"another {name} changes no weight", change=moved)
    for each in lab.fitted.of_role("value"):
        off = lab.change(lab.run(lab.redrawn([each]))).max()
        if off < STILL:
            lab.add(
                "value-ignored",
                each.argument.name,
                f"another {each.argument.name} gives the same output",
                change=off,
            )
    _probe_sum(lab)


def _weights_move(lab: Lab, other: dict[str, np.ndarray]) -> float | None:
    """The largest change of a weight; `None` where no weights can be seen."""
    after = lab.traced(other)
    pairs: list[tuple[Any, Any]] = [
        (a.weights, b.weights) for a, b in zip(lab.trace, after, strict=False)
    ]
    if not pairs and lab.answer.weights is not None:
        pairs = [(lab.answer.weights, lab.run(other).weights)]
    moved = [
        float(np.abs(one - two).max())
        for a, b in pairs
        if (one := to_array(a)).shape == (two := to_array(b)).shape and (one.size > 0)
    ]
    if not moved or all(np.ptp(to_array(a)) == 0 for a, _ in pairs):  # all 1: another fault
        return None
    return max(moved)


def _probe_layers(lab: Lab, each: Any) -> None:
    """Of a state of several layers the last is used."""
    changes = []
    for layer in range(each.values.shape[each.layers]):
        values = each.values.copy()
        index: list[Any] = [slice(None)] * values.ndim
        index[each.layers] = layer
        values[tuple(index)] = lab.rng.standard_normal(values[tuple(index)].shape)
        changes.append(lab.change(lab.run({**lab.base, each.argument.name: values})).max())
    if changes[-1] < STILL < changes[0]:
        lab.add(
            "wrong-layer",
            each.argument.name,
            f"the first layer of {each.argument.name} is used and the last is not",
            change_by_first=changes[0],
            change_by_last=changes[-1],
        )


def _probe_sum(lab: Lab) -> None:
    """The values are summed: the output has no axis of the keys."""
    shape, sizes = lab.answer.output.shape, lab.fitted.sizes
    if lab.attends_to_itself or sizes.queries == sizes.keys or sizes.keys not in shape[:-1]:
        return
    lab.add(
        "not-summed",
        "output",
        f"the output has shape {shape}, with an axis of the {sizes.keys} keys: the "
        "weighted values were not summed",
    )


def probe_order(lab: Lab, causal: bool | Literal["strict"]) -> None:
    """No position sees what comes after it, if the thing claims so."""
    each = lab.asking
    rows = lab.rows(lab.answer).shape[1]
    if not causal:
        return
    if each.length is None or rows != each.values.shape[each.length]:
        lab.unchecked.append("causal: the output has no axis of the positions")
        return
    lab.tried.append("another word at each position")
    length = each.values.shape[each.length]
    seen = np.zeros((length, length))  # rows of the output, positions of the input
    group = [each, *(x for x in lab.keyed if lab.attends_to_itself and x is not each)]
    for position in range(length):
        seen[:, position] = lab.change(lab.run(lab.redrawn(group, [position]))).max(0)
    later, earlier = np.triu(seen, 1), np.tril(seen, -1)
    name = each.argument.name
    if later.max() > MOVED:
        row, column = (int(n) for n in np.unravel_index(later.argmax(), later.shape))
        ahead = int((np.argwhere(later > MOVED) @ [-1, 1]).max())
        if earlier.max() < STILL:
            lab.add(
                "causal-transposed",
                name,
                f"position {row} sees position {column} of {name}, and "
                "no position "
                "sees what is before it",
                change=later.max(),
                look_ahead=ahead,
            )
        else:
            lab.add(
                "future-attended",
                name,
                f"the output at position {row} changes with position {column} of "
                f"{name}, which is {_ahead(ahead)} after it",
                change=later.max(),
                look_ahead=ahead,
            )
    elif causal == "strict" and np.diag(seen).max() > MOVED:
        row = int(np.diag(seen).argmax())
        lab.add(
            "target-not-shifted",
            name,
            f"the output at position {row} changes with position {row} "
            f"of {name}, "
            "which is what it has to predict",
            change=np.diag(seen).max(),
        )


def _ahead(ahead: int) -> str:
    return "just" if ahead == 1 else f"up to {ahead} places"


def probe_batch(lab: Lab) -> None:
    """An example is answered without looking at the others."""
    if all(x.batch is None for x in lab.fitted.inputs.values()):
        lab.unchecked.append("batch: the arguments have no axis of examples")
        return
    lab.tried.append("other examples beside one")
    inputs = [x for x in lab.fitted.inputs.values() if x.batch is not None]
    if lab.fitted.sizes.batch not in lab.answer.output.shape:
        lab.add(
            "batch-dependent",
            "output",
            f"the output has shape {lab.answer.output.shape}, without "
            "an axis of "
            f"the {lab.fitted.sizes.batch} examples",
        )
        return
    others = list(range(1, lab.fitted.sizes.batch))
    off = lab.change(lab.run(lab.redrawn(inputs, None, others)))[0].max()
    if off > MOVED:
        lab.add(
            "batch-dependent",
            "output",
            "the answer for one example changes with the others of its batch",
            change=off,
        )


def probe_gradient(lab: Lab) -> None:
    """Gradients reach every input of floats."""
    if lab.subject.library != "torch":
        return
    vectors = [x for x in lab.fitted.inputs.values() if not x.vocabulary]
    returned, own = lab.subject.run(lab.base, lab.mask(), grad=True)
    output = _output_tensor(returned)
    if output is None or not vectors:
        return
    lab.tried.append("gradients")
    slopes: dict[str, Any] = dict.fromkeys(x.argument.name for x in vectors)
    if output.requires_grad:
        factors = torch.linspace(-1, 1, output.numel()).to(output).reshape(output.shape)
        found = torch.autograd.grad(
            (output * factors).sum(), [own[n] for n in slopes], allow_unused=True
        )
        slopes = dict(zip(slopes, found, strict=True))
    ignored = {
        f.part
        for f in lab.findings.values()
        if f.name.endswith("-ignored") or f.name == "wrong-layer"
    }
    for name, slope in slopes.items():
        if name not in ignored and (slope is None or not bool(slope.any())):
            change = lab.change(lab.run(lab.redrawn([lab.fitted.inputs[name]]))).max()
            if change > MOVED:
                lab.add(
                    "no-gradient",
                    name,
                    f"the output changes with {name}, and no gradient reaches it",
                    change=change,
                )


def _output_tensor(returned: Any) -> torch.Tensor | None:
    """The tensor of an answer's output."""
    wanted = read_answer(returned).output
    return next(
        (
            x
            for x in tensors_in(returned)
            if tuple(x.shape) == wanted.shape
            and np.array_equal(to_array(x), wanted, equal_nan=True)
        ),
        None,
    )
