"""Check of a layer, model or function: all probes, one after another."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any, Literal

from regard.attention.check_report import CheckReport
from regard.errors import InputError, nearest
from regard.integrations.checking.faults import CONSEQUENCES, CURES
from regard.integrations.checking.fitting import Fitted, fit, fit_example
from regard.integrations.checking.lab import Lab
from regard.integrations.checking.probe_heads import probe_heads
from regard.integrations.checking.probe_masks import probe_masks, probe_padding
from regard.integrations.checking.probe_weights import (
    probe_dropout,
    probe_rows,
    probe_scale,
    probe_softmax,
)
from regard.integrations.checking.probes import (
    probe_batch,
    probe_gradient,
    probe_inputs,
    probe_order,
    probe_repetition,
)
from regard.integrations.checking.subject import Subject

__all__ = ["check_thing"]


def check_thing(
    thing: Any,
    *,
    example: Any,
    causal: bool | Literal["strict"],
    padding: float | None,
    mask_hides: bool | None,
    features: int | None,
    seed: int,
    ignore: Collection[str],
) -> CheckReport:
    """Perturb the inputs of a thing; see `regard.check`."""
    for name in ignore:
        if name not in CURES:
            raise InputError(f"ignore got {name!r}; {nearest(name, CURES)}")
    given = 0 if example is None else tuple(example) if isinstance(example, dict) else len(example)
    subject = Subject(thing, given=given, hides=mask_hides, library=_library(example))
    with subject.evaluating():
        fitted: Fitted = (
            fit(subject, features, padding)
            if example is None
            else fit_example(subject, example, padding)
        )
        lab = Lab(subject, fitted, seed, ignore)
        probes: list[Callable[[], None]] = [
            lambda: probe_repetition(lab),
            lambda: probe_softmax(lab),
            lambda: probe_heads(lab),
            lambda: probe_inputs(lab),
            lambda: probe_batch(lab),
            lambda: probe_masks(lab),
            lambda: probe_padding(lab, padding),
            lambda: probe_order(lab, causal),
            lambda: probe_rows(lab),
            lambda: probe_scale(lab),
            lambda: probe_dropout(lab),
            lambda: probe_gradient(lab),
        ]
        for probe in probes:
            probe()
    _drop_consequences(lab)
    called = ", ".join(x.described for x in fitted.inputs.values())
    mask = subject.signature.mask
    if mask is not None and fitted.mask_shape:
        called += f", {mask.name} ({'lengths' if mask.lengths else fitted.mask_shape})"
    runs = [f"{subject.library}, {called}: {what}" for what in dict.fromkeys(lab.tried)]
    return CheckReport(
        (subject.name,), tuple(lab.findings.values()), tuple(runs), (), tuple(lab.unchecked)
    )


def _drop_consequences(lab: Lab) -> None:
    """Move what another fault brings with it from the findings to what was not checked."""
    for name in [*lab.findings]:
        brought = [each for each in CONSEQUENCES.get(name, ()) if each in lab.findings]
        for each in brought:
            del lab.findings[each]
            lab.unchecked.append(
                f"{each}, which {name} brings with it: correct that and check again"
            )


def _library(example: Any) -> str | None:
    """The array library of an example."""
    if example is None:
        return None
    first = next(iter(example.values() if isinstance(example, dict) else example))
    name = type(first).__module__.partition(".")[0]
    return (
        {"jaxlib": "jax"}.get(name, name) if name in ("torch", "jaxlib", "jax", "numpy") else None
    )
