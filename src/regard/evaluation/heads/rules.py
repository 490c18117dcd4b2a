"""Rules that name what a head does, each from a paper; docs/heads.md explains them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple, TypeAlias, get_args

import numpy as np

__all__ = ["RULES", "HeadKind", "Judgement", "Rule", "Value", "judge"]

HeadKind: TypeAlias = Literal[
    "sink",
    "previous",
    "same",
    "next",
    "induction",
    "duplicate",
    "links",
    "punctuation",
    "broad",
    "mixed",
]
"""What a head does, as far as the rules know."""


class Value(NamedTuple):
    """A mean over the queries of a corpus with its 95 % interval, and what a uniform head would have.

    Attributes:
        mean: NaN where no text says anything about it.
        low: lower end of the interval; NaN with fewer than two texts.
        high: upper end.
        chance: what a head that looks at all visible keys alike would have; NaN for statistics that are no
            shares. For links, the accuracy of the best fixed relative position.
    """

    mean: float
    low: float
    high: float
    chance: float = float("nan")


@dataclass(frozen=True)
class Rule:
    """A statistic that reaches a bound makes a kind.

    Attributes:
        kind: the kind.
        statistic: name of the statistic.
        at_least: the bound on its mean.
        times_chance: the mean must also be at least so many times what a uniform head would have.
        above_chance: the bound is this much above chance, instead of `at_least`.
        source: paper or reason.
    """

    kind: HeadKind
    statistic: str
    at_least: float
    source: str
    times_chance: float = 0.0
    above_chance: float = 0.0

    def bound(self, value: Value) -> float:
        """The bound for a value, which may depend on chance."""
        chance = 0.0 if np.isnan(value.chance) else value.chance
        if self.above_chance:
            return chance + self.above_chance
        return max(self.at_least, self.times_chance * chance)


_CLARK = "Clark et al. 2019: more than half of the attention, on average"
_VOITA = "Voita et al. 2019: the largest weight at one relative position for 90 % of the tokens"

_POSITIONS: tuple[HeadKind, ...] = ("previous", "same", "next")

RULES: tuple[Rule, ...] = (
    Rule("sink", "sink", 0.5, _CLARK, times_chance=1.5),
    *(
        Rule(kind, name, bound, source, times_chance=1.5)
        for kind in _POSITIONS
        for name, bound, source in (
            (str(kind), 0.5, _CLARK),
            (f"{kind}_strongest", 0.9, _VOITA),
        )
    ),
    Rule(
        "induction",
        "induction",
        0.3,
        "Olsson et al. 2022: attention to the token after an earlier occurrence of this one; bound ours",
        times_chance=3.0,
    ),
    Rule(
        "duplicate",
        "duplicate",
        0.3,
        "Wang et al. 2022: attention to an earlier occurrence of this token; bound ours",
        times_chance=3.0,
    ),
    *(
        Rule(
            "links",
            name,
            0.0,
            "Voita et al. 2019: accuracy at least 10 points above the best fixed relative position",
            above_chance=0.1,
        )
        for name in ("links", "links_reversed")
    ),
    Rule("punctuation", "punctuation", 0.5, _CLARK, times_chance=1.5),
    Rule(
        "broad",
        "normalized_entropy",
        0.9,
        "Clark et al. 2019: broad attention, nearly uniform; bound ours",
    ),
)
"""In the order in which they are tried: the first that holds names the head."""


class Judgement(NamedTuple):
    """The kind of a head and what speaks for it.

    Attributes:
        kind: by the first rule that holds; `"mixed"` if none does.
        statistic: that the rule is about; empty for `"mixed"`.
        sure: whether the whole 95 % interval is on the mean's side of the bound: for `"mixed"`, of every bound.
        others: further kinds whose rules hold, in the order of the rules.
    """

    kind: HeadKind
    statistic: str
    sure: bool
    others: tuple[HeadKind, ...]


def judge(values: Mapping[str, Value]) -> Judgement:
    """Name what a head does.

    Args:
        values: statistics by name; rules about others are left out.
    """
    known = [rule for rule in RULES if rule.statistic in values]
    held = [
        rule for rule in known if values[rule.statistic].mean >= rule.bound(values[rule.statistic])
    ]
    if not held:
        return Judgement("mixed", "", all(_clear(rule, values) for rule in known), ())
    kinds: list[HeadKind] = list(dict.fromkeys(rule.kind for rule in held))
    return Judgement(
        kinds[0],
        held[0].statistic,
        any(_clear(rule, values) for rule in held if rule.kind == kinds[0]),
        tuple(kinds[1:]),
    )


def _clear(rule: Rule, values: Mapping[str, Value]) -> bool:
    """Whether the interval does not hold the bound; a statistic that no text speaks of is no doubt."""
    value = values[rule.statistic]
    if np.isnan(value.mean):
        return True
    bound = rule.bound(value)
    return bool(value.low >= bound if value.mean >= bound else value.high < bound)


assert set(get_args(HeadKind)) == {"mixed", *(rule.kind for rule in RULES)}
