"""Perturbing the inputs of a subject, and what comes of it."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any

import numpy as np

from regard.attention.check_report import Finding
from regard.integrations.checking.faults import CURES
from regard.integrations.checking.fitting import Fitted, Input, hidden_mask
from regard.integrations.checking.subject import Answer, Subject
from regard.integrations.checking.trace import Normalized, traced

__all__ = ["MOVED", "STILL", "Lab", "spread"]

MOVED = 1e-4
"""A change of the output, over its size, that is none of rounding."""
STILL = 1e-6
"""A change below this, over the size of the output, is none."""

Positions = Collection[int] | None


class Lab:
    """A subject with inputs that fit it.

    Args:
        subject: what is checked.
        fitted: its inputs.
        seed: of all numbers that are drawn.
        ignore: names of faults that are meant so.

    Attributes:
        keep: `(batch, keys)`, the keys that a mask keeps.
        findings: by name.
        tried: what was perturbed.
        unchecked: what could not be, and why.
    """

    def __init__(
        self, subject: Subject, fitted: Fitted, seed: int, ignore: Collection[str]
    ) -> None:
        self.subject: Subject = subject
        self.fitted: Fitted = fitted
        self.ignore: Collection[str] = ignore
        self.rng: np.random.Generator = np.random.default_rng(seed)
        sizes = fitted.sizes
        hidden = 1 + np.arange(sizes.batch) % max(1, sizes.keys // 2)
        self.keep: np.ndarray = np.arange(sizes.keys) < (sizes.keys - hidden)[:, None]
        self.findings: dict[str, Finding] = {}
        self.tried: list[str] = []
        self.unchecked: list[str] = []
        self.base: dict[str, np.ndarray] = fitted.values
        self.answer: Answer = self.run()
        self.trace: list[Normalized] = self.traced(self.base)

    # Roles

    @property
    def keyed(self) -> list[Input]:
        """Inputs whose positions are keys."""
        return self.fitted.of_role("key", "value", "memory") or self.fitted.of_role("sequence")

    @property
    def asking(self) -> Input:
        """The input whose positions are rows of the output."""
        return (self.fitted.of_role("query", "target") or self.keyed)[0]

    @property
    def attends_to_itself(self) -> bool:
        """Whether queries and keys are one sequence."""
        return not self.fitted.of_role("query", "target")

    # Calls

    def run(
        self, values: dict[str, np.ndarray] | None = None, keep: Any = None, seed: int = 0
    ) -> Answer:
        """The answer to inputs, with these keys kept; all of them unless given."""
        return self.subject.answer(
            self.base if values is None else values, self.mask(keep), seed=seed
        )

    def mask(self, keep: Any = None) -> np.ndarray | None:
        """The mask in the form that the subject takes."""
        sizes = self.fitted.sizes
        keep = np.ones((sizes.batch, sizes.keys), bool) if keep is None else keep
        return hidden_mask(self.fitted, self.subject, keep)

    def traced(self, values: dict[str, np.ndarray], keep: Any = None) -> list[Normalized]:
        """What is normalised during a call; nothing where the subject is none of torch."""
        if self.subject.library != "torch":
            return []
        with traced(self.subject) as trace:
            returned, _ = self.subject.run(values, self.mask(keep), grad=True)
            for found in trace.found:
                if found.module is None:
                    found.output = returned
        lengths = {
            self.fitted.sizes.keys,
            *([self.fitted.sizes.queries] if self.attends_to_itself else []),
        }
        return [found for found in trace.found if lengths & {*found.weights.shape}]

    # Perturbations

    def redrawn(
        self, inputs: list[Input], positions: Any = None, examples: Any = None, factor: float = 1.0
    ) -> dict[str, np.ndarray]:
        """The inputs, some of them drawn anew at some positions of some examples.

        Args:
            inputs: those to draw anew.
            positions: along their length; all of them unless given. Or `(batch, length)` Booleans.
            examples: along their batch; all of them unless given.
            factor: of vectors.
        """
        changed = dict(self.base)
        for each in inputs:
            chosen = np.zeros(each.values.shape, bool)
            chosen[_index(each, positions, examples)] = True
            if isinstance(positions, np.ndarray) and positions.dtype == bool:
                chosen = spread(each, positions)
            changed[each.argument.name] = np.where(chosen, self._other(each, factor), each.values)
        return changed

    def _other(self, each: Input, factor: float) -> np.ndarray:
        """Values that differ from those of an input everywhere."""
        if not each.vocabulary:
            scale = max(float(each.values.std()), 1e-3) * factor
            return (self.rng.standard_normal(each.values.shape) * scale).astype(np.float32)
        low = min(3, each.vocabulary - 1)
        span = max(1, each.vocabulary - low)
        step = self.rng.integers(1, max(2, span), each.values.shape)
        return np.asarray(low + (each.values - low + step) % span)

    def rows(self, answer: Answer) -> np.ndarray:
        """An output as `(batch, rows, features)`; one row where it has no axis of positions."""
        output, sizes = np.asarray(answer.output, np.float64), self.fitted.sizes
        if (
            any(x.batch is not None for x in self.fitted.inputs.values())
            and sizes.batch in output.shape
        ):
            output = np.moveaxis(output, output.shape.index(sizes.batch), 0)
        else:
            output = output[None]
        length = sizes.queries if self.asking.length is not None else 0
        axes = [
            i
            for i in range(1, output.ndim)
            if output.shape[i] == length and i < max(2, output.ndim - 1)
        ]
        output = np.moveaxis(output, axes[-1], 1) if axes else output[:, None]
        return output.reshape(*output.shape[:2], -1)

    def change(self, answer: Answer, before: Answer | None = None) -> np.ndarray:
        """How much each row of the output changed, over the size of the output; `(batch, rows)`."""
        one, other = self.rows(before or self.answer), self.rows(answer)
        if one.shape != other.shape:
            return np.full(one.shape[:2], np.inf)
        with np.errstate(invalid="ignore"):
            off = np.abs(one - other)
        off[np.isnan(one) & np.isnan(other)] = 0
        size = float(np.nanmax(np.abs(one), initial=0)) or 1.0
        return np.asarray(np.nan_to_num(off, nan=np.inf).max(-1) / size)

    # Findings

    def add(self, name: str, part: str, problem: str, **evidence: float) -> None:
        """A fault, once."""
        if name in self.ignore or name in self.findings:
            return
        shapes = ", ".join(each.described for each in self.fitted.inputs.values())
        self.findings[name] = Finding(
            part, problem, CURES[name], f"{self.subject.library}, {shapes}", name,
            {k.replace("_", " "): float(v) for k, v in evidence.items()},
        )  # fmt: skip


def _index(each: Input, positions: Any, examples: Any) -> tuple[Any, ...]:
    index: list[Any] = [slice(None)] * each.values.ndim
    if examples is not None and each.batch is not None:
        index[each.batch] = examples
    if positions is not None and not isinstance(positions, np.ndarray) and each.length is not None:
        index[each.length] = positions
    if isinstance(positions, np.ndarray):
        index[0] = slice(0, 0)
    return tuple(index)


def spread(each: Input, chosen: np.ndarray) -> np.ndarray:
    """`(batch, length)` Booleans in the shape of an input."""
    shape = [1] * each.values.ndim
    if each.batch is None:
        chosen = chosen[:1]
    if each.length is None:
        return np.zeros(each.values.shape, bool)
    if each.batch is not None:
        shape[each.batch] = chosen.shape[0]
    shape[each.length] = chosen.shape[1]
    if each.batch is not None and each.length < each.batch:
        chosen = chosen.T
    return np.broadcast_to(chosen.reshape(shape), each.values.shape)
