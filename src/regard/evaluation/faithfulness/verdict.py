"""How far attention weights can be read as the reason for an answer.

Attention that looks convincing need not be why a model answers as it does (Jain and Wallace 2019;
Wiegreffe and Pinter 2019; Serrano and Smith 2019). `trust` puts the question to a classifier and
texts, and gives a `Verdict`: numbers, beside random and beside gradient x input, and a sentence.

* **Comprehensiveness** (DeYoung et al. 2020, ERASER): p(y | x) - p(y | x without its top tokens), y
  the predicted class, or the surest of several labels; mean over several shares of tokens. High is
  good: what was pointed at was needed.
* **Sufficiency**: p(y | x) - p(y | only the top tokens). Low is good: what was pointed at is
  enough. Both are measured by deleting tokens and by masking them, apart: each makes texts the
  model has never seen, in its own way.
* **Rank agreement**: Kendall's tau between a score and what leaving each token out changes.
* **Controls**: the weights shuffled, or made uniform. If the answer stays, they did not make it.
* **Decision flips**: does zeroing the highest weight flip the decision more often than zeroing a
  random one, and what share of weights must go, highest first, until it flips.
* **Special tokens and sinks**: attention that rests where no content is.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from regard.evaluation.faithfulness import metrics as ask
from regard.evaluation.faithfulness.measures import Ids, Interval, Way
from regard.evaluation.faithfulness.metrics import (
    WAYS,
    Case,
    Controls,
    Erasure,
    Explained,
    Flips,
    Mass,
    Steerable,
    TrustSettings,
)

__all__ = [
    "Controls",
    "Erasure",
    "Explained",
    "Flips",
    "Interval",
    "Level",
    "Mass",
    "Steerable",
    "TrustSettings",
    "Verdict",
    "examine",
    "trust",
]

Level = Literal["good", "partial", "none"]


@dataclass(frozen=True)
class Verdict:
    """Whether attention can be read as the reason for an answer, with the numbers behind it.

    Attributes:
        level: `"good"`, `"partial"` or `"none"`.
        sentence: the same in words, to stand beside every view.
        texts: how many texts were asked about.
        comprehensiveness: by way of removing, `"delete"` or `"mask"`; high is good.
        sufficiency: the same; low is good.
        agreement: Kendall's tau with leaving one token out, of `"attention"` and `"gradient"`.
        mass: attention on special tokens and sinks.
        controls: `None` where the attention of the model cannot be replaced.
        flips: likewise.
    """

    level: Level
    sentence: str
    texts: int
    comprehensiveness: Mapping[Way, Erasure]
    sufficiency: Mapping[Way, Erasure]
    agreement: Mapping[str, Interval]
    mass: Mass
    controls: Controls | None = None
    flips: Flips | None = None

    def __str__(self) -> str:
        return "\n".join([self.sentence, "", *_table(self)])


def trust(
    model: Explained,
    texts: Sequence[Ids],
    *,
    settings: TrustSettings | None = None,
    spell: Callable[[int], str] = str,
) -> Verdict:
    """Ask a classifier, on these texts, whether its attention explains its answers.

    Where a text may have several labels, each text is asked about the label the model is surest of;
    texts that it gives none are left out.

    Args:
        model: what to ask; `Classified` wraps a `regard` classifier. One that is `Steerable` is
            also asked with its attention shuffled, uniform and removed.
        texts: token ids. A few hundred texts give intervals narrow enough to decide; labels are
            not needed, since the question is about the answer given, right or wrong.
        settings: how thoroughly to ask.
        spell: an id as a person knows it.

    Raises:
        InputError: no text with an ordinary token in it, or none that is given a label.
    """
    return examine(
        model, ask.cases(model, texts), settings=settings or TrustSettings(), spell=spell
    )


def examine(
    model: Explained,
    cases: Sequence[Case],
    *,
    settings: TrustSettings,
    spell: Callable[[int], str],
) -> Verdict:
    """Put every question to a model about these cases; `trust` without choosing them."""
    rng = np.random.default_rng(settings.seed)
    erasures = ask.erasures(model, cases, settings, rng)
    agreement = ask.agreement(model, cases, settings, rng)
    controls = flips = None
    if isinstance(model, Steerable):
        controls = ask.controls(model, cases, settings, rng)
        flips = ask.flips(model, cases, settings, rng)
    mass = ask.mass(model, cases, spell)
    level, sentence = _judge(erasures, controls, mass, len(cases), settings)
    return Verdict(
        level,
        sentence,
        len(cases),
        {way: erasures["comprehensiveness", way] for way in WAYS},
        {way: erasures["sufficiency", way] for way in WAYS},
        agreement,
        mass,
        controls,
        flips,
    )


# The verdict


def _judge(
    erasures: Mapping[tuple[ask.Measure, Way], Erasure],
    controls: Controls | None,
    mass: Mass,
    texts: int,
    settings: TrustSettings,
) -> tuple[Level, str]:
    """The level and the sentence.

    Deleting decides and masking is reported: a mask token is something a model may never have met.
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
        and max(controls.permuted.mean, controls.permuted_flips) < settings.unmoved
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


def _doubts(needed: Erasure, enough: Erasure, controls: Controls | None, mass: Mass) -> list[str]:
    """What stands against attention that does better than random."""
    doubts = []
    if needed.over_random.low <= 0:
        doubts.append("taking out what it points to moves the answer no more than chance would")
    if enough.over_random.low <= 0:
        doubts.append("keeping only what it points to keeps the answer no better than chance would")
    gain, rival = needed.over_random.mean, needed.gradient.mean - needed.random.mean
    if gain < rival / 2:
        doubts.append(
            f"gradient x input finds more than twice as much ({needed.gradient.mean:.2f} against "
            f"{needed.attention.mean:.2f}, random {needed.random.mean:.2f})"
        )
    if mass.special > 0.5:
        doubts.append(f"{mass.special:.0%} of it rests on special tokens")
    if controls is None:
        doubts.append("the weights of this model cannot be shuffled, so that control is missing")
    return doubts


def _table(verdict: Verdict) -> list[str]:
    """The numbers, one line each."""
    wide, cell = 34, 22
    lines = [
        f"{f'{verdict.texts} texts':{wide}}"
        + "".join(f"{name:{cell}}" for name in ("attention", "gradient x input", "random"))
    ]

    def row(name: str, *values: object) -> None:
        lines.append(f"{name:{wide}}" + "".join(f"{value!s:{cell}}" for value in values).rstrip())

    for name, by_way in (
        ("comprehensiveness (high is good)", verdict.comprehensiveness),
        ("sufficiency (low is good)", verdict.sufficiency),
    ):
        lines.append(name)
        for way, erasure in by_way.items():
            row(f"  {way}", erasure.attention, erasure.gradient, erasure.random)
    row("leave-one-out, Kendall's tau", *verdict.agreement.values())
    if verdict.flips is not None:
        row("weights gone until it flips", *verdict.flips.until.values())
        row(
            "flips without one weight",
            f"{verdict.flips.highest:.0%}",
            "",
            f"{verdict.flips.random:.0%}",
        )
    if verdict.controls is not None:
        controls = verdict.controls
        row("moved by shuffled weights", controls.permuted, f"{controls.permuted_flips:.0%} flip")
        row("moved by uniform weights", controls.uniform, f"{controls.uniform_flips:.0%} flip")
    row("mass on special tokens", f"{verdict.mass.special:.0%}")
    mass = verdict.mass
    row(
        "largest sink",
        f"{mass.sink_share:.0%}",
        f"{mass.sink!r}, {mass.sink_frequency:.0%} of tokens",
    )
    return lines
