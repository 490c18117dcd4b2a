"""The verdict on a classifier's attention: a level, a sentence and the numbers behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from regard.evaluation.faithfulness.attention_mass import AttentionMass
from regard.evaluation.faithfulness.contracts import TrustSettings
from regard.evaluation.faithfulness.erasure import ErasureMethod, ErasureMetric, ErasureScores
from regard.evaluation.faithfulness.interventions import DecisionFlips, WeightControls
from regard.evaluation.metrics.intervals import Interval

__all__ = ["Level", "Verdict", "judge"]

Level = Literal["good", "partial", "none"]


@dataclass(frozen=True)
class Verdict:
    """How far attention can be read as the reason for the predictions, with all measurements.

    Printed, it is the sentence and a table of the measurements.

    Attributes:
        level: `"good"`, `"partial"` or `"none"`.
        sentence: the level in words, shown with every view of the model.
        texts: number of texts examined.
        comprehensiveness: scores by erasure method, `"delete"` or `"mask"`; high is good.
        sufficiency: scores by erasure method; low is good.
        agreement: Kendall's tau with leaving one token out, for `"attention"`, `"gradient"` and each rival.
        attention_mass: attention on special tokens and sinks.
        controls: effect of shuffled and uniform weights; `None` where the attention weights of the
            model cannot be replaced.
        flips: effect of zeroed weights; `None` where the weights cannot be replaced.
    """

    level: Level
    sentence: str
    texts: int
    comprehensiveness: Mapping[ErasureMethod, ErasureScores]
    sufficiency: Mapping[ErasureMethod, ErasureScores]
    agreement: Mapping[str, Interval]
    attention_mass: AttentionMass
    controls: WeightControls | None = None
    flips: DecisionFlips | None = None

    def __str__(self) -> str:
        return "\n".join([self.sentence, "", *_table(self)])


def judge(
    erasures: Mapping[tuple[ErasureMetric, ErasureMethod], ErasureScores],
    controls: WeightControls | None,
    mass: AttentionMass,
    texts: int,
    settings: TrustSettings,
) -> tuple[Level, str]:
    """Decide the level and put it in a sentence.

    The level depends on deleted tokens. Masked tokens are reported only, since a model may never
    have met a mask token in training.
    """
    needed, enough = erasures["comprehensiveness", "delete"], erasures["sufficiency", "delete"]
    faults = []
    if needed.over_random.low <= 0 and enough.over_random.low <= 0:
        faults.append(
            "taking out what it points to moves the answer no more than taking out random tokens "
            f"({needed.attention.mean:.2f} against {needed.random.mean:.2f}), and keeping only "
            f"that keeps the answer no better (loss {enough.attention.mean:.2f} against "
            f"{enough.random.mean:.2f})"
        )
    if (
        controls is not None
        and max(controls.permuted.mean, controls.permuted_flips) < settings.unchanged_below
    ):
        faults.append(
            f"shuffling it does not change the answer (by {controls.permuted.mean:.2f} of 1; "
            f"{controls.permuted_flips:.0%} of decisions flip)"
        )
    if faults:
        return "none", f"Do not read this as an explanation: {'; and '.join(faults)}."
    doubts = _doubts(needed, enough, controls, mass)
    if doubts:
        return "partial", f"Read this with care: {'; and '.join(doubts)}."
    return "good", (
        "This points at tokens the answer depends on: taking them out moves the probability by "
        f"{needed.attention.mean:.2f} (random {needed.random.mean:.2f}, gradient x input "
        f"{needed.gradient.mean:.2f}) over {texts} texts. It says which tokens mattered, not why."
    )


def _doubts(
    needed: ErasureScores,
    enough: ErasureScores,
    controls: WeightControls | None,
    mass: AttentionMass,
) -> list[str]:
    """List the reasons why attention that beats random explains the prediction only in part."""
    doubts = []
    if needed.over_random.low <= 0:
        doubts.append("taking out what it points to moves the answer no more than chance would")
    if enough.over_random.low <= 0:
        doubts.append("keeping only what it points to keeps the answer no better than chance would")
    rivals = {"gradient x input finds": needed.gradient}
    rivals |= {f"{name} would find": scores for name, scores in needed.rivals.items()}
    name, best = max(rivals.items(), key=lambda rival: rival[1].mean)
    gain, rival = needed.over_random.mean, best.mean - needed.random.mean
    if gain < rival / 2:
        doubts.append(
            f"{name} more than twice as much ({best.mean:.2f} against "
            f"{needed.attention.mean:.2f}, random {needed.random.mean:.2f})"
        )
    if mass.special_tokens > 0.5:
        doubts.append(f"{mass.special_tokens:.0%} of it rests on special tokens")
    if controls is None:
        doubts.append("the weights of this model cannot be shuffled, so that control is missing")
    return doubts


# The table

NAME_WIDTH, CELL_WIDTH = 34, 22


def _table(verdict: Verdict) -> list[str]:
    """Lines of the table: one for each measurement, a column for each ranking."""
    rivals = tuple(verdict.comprehensiveness["delete"].rivals)
    names = ("attention", "gradient x input", "random", *rivals)
    lines = [
        f"{f'{verdict.texts} texts':{NAME_WIDTH}}"
        + "".join(f"{name:{CELL_WIDTH}}" for name in names)
    ]
    for name, by_method in (
        ("comprehensiveness (high is good)", verdict.comprehensiveness),
        ("sufficiency (low is good)", verdict.sufficiency),
    ):
        lines.append(name)
        for method, scores in by_method.items():
            own = (scores.attention, scores.gradient, scores.random)
            lines.append(_row(f"  {method}", *own, *(scores.rivals[name] for name in rivals)))
    taus = [verdict.agreement[name] for name in ("attention", "gradient")]
    more = ["", *(verdict.agreement[name] for name in rivals)] if rivals else []
    lines.append(_row("leave-one-out, Kendall's tau", *taus, *more))
    lines += _intervention_rows(verdict.flips, verdict.controls)
    mass = verdict.attention_mass
    sink = f"{mass.sink!r}, {mass.sink_frequency:.0%} of tokens"
    lines.append(_row("mass on special tokens", f"{mass.special_tokens:.0%}"))
    lines.append(_row("largest sink", f"{mass.sink_share:.0%}", sink))
    return lines


def _intervention_rows(flips: DecisionFlips | None, controls: WeightControls | None) -> list[str]:
    """Lines for zeroed, shuffled and uniform weights, as far as they were measured."""
    lines = []
    if flips is not None:
        single = f"{flips.without_highest:.0%}", "", f"{flips.without_random:.0%}"
        lines.append(_row("weights removed until it flips", *flips.removed_until_flip.values()))
        lines.append(_row("flips without one weight", *single))
    if controls is not None:
        shuffled, uniform = (
            f"{controls.permuted_flips:.0%} flip",
            f"{controls.uniform_flips:.0%} flip",
        )
        lines.append(_row("change by shuffled weights", controls.permuted, shuffled))
        lines.append(_row("change by uniform weights", controls.uniform, uniform))
    return lines


def _row(name: str, *values: object) -> str:
    return f"{name:{NAME_WIDTH}}" + "".join(f"{value!s:{CELL_WIDTH}}" for value in values).rstrip()
