"""`Finding` and `CheckReport`: what `regard.check` returns."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

__all__ = ["CheckReport", "Finding"]


@dataclass(frozen=True)
class Finding:
    """One thing that is wrong.

    Attributes:
        part: where it is: `"score"`, `"normalizer"`, `"mask"`, `"bias"` or `"attend"` of parts; an argument,
            a module or the output of a layer or model.
        problem: what is wrong.
        advice: what to do about it.
        where: the library, sizes or shapes at which it was seen.
        name: of the kind of fault, such as `"query-ignored"`; `"contract"` for a part of one's own.
        evidence: the numbers behind it, by name.
    """

    part: str
    problem: str
    advice: str
    where: str
    name: str = "contract"
    evidence: Mapping[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        title = self.part if self.name == "contract" else f"{self.name}, in {self.part}"
        lines = [f"{title}: {self.problem}", f"seen with {self.where}"]
        if self.evidence:
            numbers = (f"{name} {number:.4g}" for name, number in self.evidence.items())
            lines.append(f"evidence: {', '.join(numbers)}")
        return "\n    ".join([*lines, f"try: {self.advice}"])


@dataclass(frozen=True)
class CheckReport:
    """Result of `check`; `print` shows it.

    Attributes:
        checked: names of the parts, with their classes, or of the layer, model or function.
        findings: what is wrong, each fault once.
        runs: libraries and sizes that ran, or how the layer was called and what was tried with it.
        refused: sizes that a part refused with an error of its own, and the error.
        unchecked: what could not be tried on a layer or model, and why.
    """

    checked: tuple[str, ...]
    findings: tuple[Finding, ...]
    runs: tuple[str, ...]
    refused: tuple[str, ...] = ()
    unchecked: tuple[str, ...] = ()

    @property
    def ok(self) -> bool:
        """Whether something ran and nothing is wrong."""
        return bool(self.runs) and not self.findings

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the findings."""
        return tuple(finding.name for finding in self.findings)

    def rows(self) -> list[dict[str, Any]]:
        """The findings as rows of a table, for pandas or a file."""
        return [
            {
                "name": finding.name,
                "part": finding.part,
                "problem": finding.problem,
                "advice": finding.advice,
                "where": finding.where,
                **finding.evidence,
            }
            for finding in self.findings
        ]

    def __str__(self) -> str:
        what = ", ".join(self.checked)
        lines = [f"{what}: {'ok' if self.ok else f'{len(self.findings)} wrong'}"]
        lines += [f"- {finding}" for finding in self.findings]
        libraries = dict.fromkeys(run.partition(",")[0] for run in self.runs)
        lines.append(f"{len(self.runs)} runs ({', '.join(libraries) or 'none'})")
        lines += [f"refused: {text}" for text in self.refused[:3]]
        if len(self.refused) > 3:
            lines.append(f"... and {len(self.refused) - 3} more")
        lines += [f"not checked: {text}" for text in self.unchecked]
        return "\n".join(lines)
