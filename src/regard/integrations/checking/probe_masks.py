"""Probes of masks and padding."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch

from regard.integrations.checking.fitting import hidden_mask, shaped_mask
from regard.integrations.checking.lab import MOVED, STILL, Lab, spread
from regard.integrations.checking.subject import read_answer, to_array

__all__ = ["probe_masks", "probe_padding"]

_LARGE = 30.0
"""Factor of vectors whose scores overcome a mask that is a small number."""


def probe_masks(lab: Lab) -> None:
    """Hidden keys have no influence, and hiding all of them gives no NaN."""
    if not lab.fitted.mask_shape:
        lab.unchecked.append(f"masks: {lab.fitted.refused or 'no argument is a mask or lengths'}")
        return
    lab.tried.append("other values in hidden places")
    name = lab.subject.signature.mask.name if lab.subject.signature.mask else "mask"
    real = _real_rows(lab)
    masked = lab.run(keep=lab.keep)
    leak = lab.change(lab.run(lab.redrawn(lab.keyed, ~_chosen(lab)), lab.keep), masked)
    effect = lab.change(masked)
    if not np.isfinite(masked.output).all():
        _probe_half(lab, name)
        _probe_all_hidden(lab, name)
        return
    leak = np.where(real, leak, 0)
    if leak.max() > MOVED:
        _describe_leak(lab, name, masked, leak.max(), effect)
    else:
        _probe_strength(lab, name)
    _probe_transposed(lab, name)
    _probe_half(lab, name)
    _probe_all_hidden(lab, name)


def _probe_strength(lab: Lab, name: str) -> None:
    """Hidden keys get no weight either where the score of the one that is kept is far below theirs."""
    inputs = list(lab.fitted.inputs.values())
    if any(each.vocabulary for each in inputs):
        return
    keep = np.zeros_like(lab.keep)
    keep[:, 0] = True
    large = {each.argument.name: each.values * np.float32(_LARGE) for each in inputs}
    changed = dict(large)
    for each in lab.keyed:
        hidden = np.broadcast_to(spread(each, ~keep), each.values.shape)
        other = lab.redrawn([each], factor=_LARGE)[each.argument.name]
        changed[each.argument.name] = np.where(hidden, other, large[each.argument.name])
    before = lab.run(large, keep)
    if not np.isfinite(before.output).all():
        return
    off = lab.change(lab.run(changed, keep), before)
    if lab.attends_to_itself and off.shape == keep.shape:
        off = np.where(keep, off, 0)
    if off.max() > MOVED:
        lab.add(
            "mask-too-weak",
            name,
            "hidden keys get weight where the score of a kept key is far below theirs",
            change=off.max(),
        )


def _chosen(lab: Lab) -> np.ndarray:
    """Kept keys; those of the first example where one mask is for all."""
    shared = "b" not in lab.fitted.mask_shape
    return np.broadcast_to(lab.keep[:1], lab.keep.shape) if shared else lab.keep


def _real_rows(lab: Lab) -> np.ndarray:
    """Rows of the output that are real: of padding itself nothing is asked."""
    rows = lab.rows(lab.answer).shape[1]
    if lab.attends_to_itself and rows == lab.keep.shape[1]:
        return _chosen(lab)
    return np.ones((lab.rows(lab.answer).shape[0], rows), bool)


def _describe_leak(lab: Lab, name: str, masked: object, leak: float, effect: np.ndarray) -> None:
    """Tell what is wrong with a mask that hides nothing."""
    chosen, real = _chosen(lab), _real_rows(lab)
    before = lab.run(keep=lab.keep)
    of_kept = np.where(
        real, lab.change(lab.run(lab.redrawn(lab.keyed, chosen), lab.keep), before), 0
    )
    inverse = lab.change(
        lab.run(lab.redrawn(lab.keyed, chosen), ~lab.keep), lab.run(keep=~lab.keep)
    )
    weights = _hidden_weight(lab)
    if effect.max() < STILL:
        lab.add(
            "mask-ignored",
            name,
            f"{name} changes nothing, and hidden keys are attended to",
            change=leak,
            **weights,
        )
    elif _is_still(lab, of_kept, inverse):
        lab.add(
            "mask-inverted",
            name,
            "the keys that should be hidden are the ones attended to",
            change=leak,
            **weights,
        )
    elif (constant := _added(lab)) is not None:
        lab.add(
            "mask-added",
            name,
            f"the mask changes scores by {constant:.3g} only, which hides nothing",
            change=leak,
            score_difference=constant,
        )
    elif _on_queries(lab, effect):
        lab.add(
            "mask-on-queries",
            name,
            "the mask changes the rows of hidden positions and not the columns: "
            "hidden keys are attended to by the others",
            change=leak,
        )
    else:
        lab.add(
            "padding-attended",
            name,
            "the output changes with the values of hidden keys",
            change=leak,
            **weights,
        )


def _is_still(lab: Lab, of_kept: np.ndarray, inverse: np.ndarray) -> bool:
    """Return whether the mask works the other way round."""
    if not lab.attends_to_itself:
        return bool(of_kept.max() < MOVED)
    # A row depends on its own vector beside the attention, so the inverted mask is asked instead.
    chosen = _chosen(lab)
    if inverse.shape != chosen.shape:
        return bool(inverse.max() < MOVED)
    return bool(np.where(chosen, 0, inverse).max() < MOVED)


def _added(lab: Lab) -> float | None:
    """The number that a mask adds to scores of kept keys against hidden ones, if that is all it does."""
    free, hidden = lab.traced(lab.base), lab.traced(lab.base, lab.keep)
    chosen = _chosen(lab)
    for one, two in zip(free, hidden, strict=False):
        if (
            one.weights.shape != two.weights.shape
            or one.weights.shape[one.axis] != lab.keep.shape[1]
        ):
            continue
        a, b = (np.moveaxis(to_array(x.weights).astype(np.float64), x.axis, -1) for x in (one, two))
        if (b <= 0).any() or (a <= 0).any() or a.shape[0] != len(chosen):
            continue
        ratio = np.log(b / a).reshape(len(a), -1, a.shape[-1])
        # Within a row all kept keys changed alike, all hidden ones too, and by one number in all rows.
        kept = np.where(chosen[:, None], ratio, 0).sum(-1) / chosen.sum(1)[:, None]
        out = np.where(chosen[:, None], 0, ratio).sum(-1) / (~chosen).sum(1)[:, None]
        even = np.abs(ratio - np.where(chosen[:, None], kept[..., None], out[..., None])).max()
        step = kept - out
        if even < 1e-3 and np.ptp(step) < 1e-3 < abs(step.mean()) < 30:
            return float(step.mean())
    return None


def _on_queries(lab: Lab, effect: np.ndarray) -> bool:
    """Return whether the mask changed the rows that it hides and no other."""
    chosen = _chosen(lab)
    if not lab.attends_to_itself or effect.shape != chosen.shape:
        return False
    return bool(effect[chosen].max() < MOVED < effect[~chosen].max())


def _hidden_weight(lab: Lab) -> dict[str, float]:
    """The largest weight of a hidden key, if weights can be seen."""
    weights = lab.run(keep=lab.keep).weights
    chosen = _chosen(lab)
    if weights is None or weights.shape[0] != chosen.shape[0]:
        return {}
    if weights.shape[-1] == 1:
        weights = weights[..., 0]
    if weights.shape[-1] != chosen.shape[1]:
        return {}
    hidden = np.broadcast_to(
        ~chosen.reshape(len(chosen), *[1] * (weights.ndim - 2), -1), weights.shape
    )
    return {"weight_of_a_hidden_key": float(weights[hidden].max(initial=0))}


def _probe_transposed(lab: Lab, name: str) -> None:
    """A mask of queries and keys has the keys last."""
    length = lab.keep.shape[1]
    if "q" not in lab.fitted.mask_shape or not lab.attends_to_itself:
        return
    if lab.rows(lab.answer).shape[1] != length:
        return
    causal = np.broadcast_to(
        np.tril(np.ones((length, length), bool)), (len(lab.keep), length, length)
    )
    mask = shaped_mask(lab.fitted, lab.subject, causal)
    base = lab.subject.answer(lab.base, mask)
    last = lab.subject.answer(lab.redrawn(lab.keyed, [length - 1]), mask)
    first = lab.subject.answer(lab.redrawn(lab.keyed, [0]), mask)
    ahead, behind = lab.change(last, base)[:, :-1].max(), lab.change(first, base)[:, 1:].max()
    if ahead > MOVED and behind < STILL:
        lab.add(
            "mask-transposed",
            name,
            "with a mask whose row t allows the keys up to t, a position sees what is after it and "
            "nothing before it",
            change=ahead,
        )


def _probe_half(lab: Lab, name: str) -> None:
    """Masking works in float16."""
    if lab.subject.library != "torch":
        return
    subject = lab.subject.copy() if lab.subject.modules else lab.subject
    if subject is None:
        lab.unchecked.append("float16: the module cannot be copied")
        return
    for module in subject.modules:
        module.half()
    try:
        with subject.evaluating():
            returned, _ = subject.run(lab.base, lab.mask(lab.keep), dtype=torch.float16)
            output = read_answer(returned).output
    except Exception as error:  # of somebody else's code
        said = (str(error).splitlines() or [""])[0]
        if isinstance(error, RuntimeError) and "overflow" in str(error):
            lab.add("mask-overflow", name, f"in float16 the call raises: {said}")
        else:
            lab.unchecked.append(f"float16: refused by {type(error).__name__}: {said}")
        return
    plain = lab.run(keep=lab.keep).output
    if np.isnan(output).any() and np.isfinite(plain).all():
        lab.add("mask-overflow", name, "in float16 the output is NaN where it is finite in float32")


def _probe_all_hidden(lab: Lab, name: str) -> None:
    """An example without any key gives finite numbers."""
    keep = lab.keep.copy()
    keep[0] = False
    try:
        answer = lab.run(keep=keep)
    except Exception as error:
        lab.unchecked.append(f"an example without keys: refused by {type(error).__name__}: {error}")
        return
    lab.tried.append("an example with all keys hidden")
    wrong = np.asarray(~np.isfinite(lab.rows(answer)).all((1, 2)))
    if wrong.any() and np.isfinite(lab.answer.output).all():
        others = (
            "; other examples get NaN as well"
            if wrong[1:].any() and "b" in lab.fitted.mask_shape
            else ""
        )
        lab.add(
            "nan-when-all-masked",
            name,
            f"an example whose keys are all hidden gets NaN{others}",
            examples_with_NaN=wrong.sum(),
        )


def probe_padding(lab: Lab, padding: float | None) -> None:
    """A sentence gets the answer that it gets alone, without padding."""
    masked = "b" in lab.fitted.mask_shape  # also of lengths
    if not masked and padding is None:
        if lab.attends_to_itself:
            lab.unchecked.append(
                "padding: no argument is a mask; name what fills short sentences, padding=0"
            )
        return
    if {"padding-attended", "mask-ignored", "mask-inverted", "mask-added", "mask-on-queries"} & {
        *lab.findings
    }:
        return
    if any(x.batch is None for x in lab.keyed):
        return
    lab.tried.append("sentences alone and with padding")
    values = dict(lab.base)
    for each in lab.keyed:
        filled = np.asarray(0 if padding is None else padding, each.values.dtype)
        hidden = np.broadcast_to(spread(each, ~lab.keep), each.values.shape)
        values[each.argument.name] = np.where(hidden, filled, each.values)
    try:
        together = lab.rows(lab.run(values, lab.keep if masked else None))
        worst = 0.0
        for example in range(len(lab.keep)):
            worst = max(worst, _alone(lab, values, example, together, masked))
    except Exception as error:
        lab.unchecked.append(
            f"padding: other lengths are refused ({type(error).__name__}: {error})"
        )
        return
    if worst > 10 * MOVED:
        weighed = not masked or _weighs_hidden(lab, values)
        name = "padding-attended" if weighed else "depends-on-padding"
        lab.add(
            name,
            lab.keyed[0].argument.name,
            "a sentence alone and the same sentence padded in a batch get different answers",
            difference=worst,
        )


def _weighs_hidden(lab: Lab, values: dict[str, np.ndarray]) -> bool:
    """Return whether a softmax over the keys gives weight to one that is hidden."""
    for found in lab.traced(values, lab.keep):
        shape = found.weights.shape
        if shape[found.axis] != lab.keep.shape[1] or shape[0] != len(lab.keep) or not found.axis:
            continue
        weights = np.moveaxis(to_array(found.weights), found.axis, -1)
        hidden = ~lab.keep.reshape(len(lab.keep), *[1] * (weights.ndim - 2), -1)
        if np.where(hidden, weights, 0).max() > MOVED:
            return True
    return False


def _alone(
    lab: Lab, values: dict[str, np.ndarray], example: int, together: np.ndarray, masked: bool
) -> float:
    """Difference between an example alone, cut to its length, and in the batch."""
    length = int(lab.keep[example].sum())
    own = {}
    for name, each in lab.fitted.inputs.items():
        array = values[name]
        if each.batch is not None:
            array = np.take(array, [example], each.batch)
        if each in lab.keyed and each.length is not None:
            array = np.take(array, range(length), each.length)
        own[name] = array
    mask = None
    if masked:
        sizes = replace(
            lab.fitted.sizes,
            batch=1,
            keys=length,
            queries=length if lab.attends_to_itself else lab.fitted.sizes.queries,
        )
        mask = hidden_mask(
            replace(lab.fitted, sizes=sizes), lab.subject, np.ones((1, length), bool)
        )
    answer = np.asarray(lab.subject.answer(own, mask).output, np.float64)
    rows = together[example]
    pooled = rows.shape[0] == 1
    alone = answer.reshape(-1) if pooled else answer.reshape(-1, rows.shape[-1])
    expected = rows.reshape(-1) if pooled else rows[: len(alone)]
    if alone.shape != expected.shape:
        return 0.0
    return float(np.abs(alone - expected).max() / max(np.abs(expected).max(), 1e-6))
