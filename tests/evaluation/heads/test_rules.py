"""The rules: each kind by a head that is exactly that, bounds, and doubt."""

from __future__ import annotations

import pytest

from regard.evaluation.heads.rules import RULES, HeadKind, Value, judge

NOTHING = {
    "sink": Value(0.1, 0.05, 0.15, 0.1),
    "previous": Value(0.1, 0.05, 0.15, 0.1),
    "previous_strongest": Value(0.1, 0.05, 0.15),
    "same": Value(0.1, 0.05, 0.15, 0.1),
    "next": Value(0.1, 0.05, 0.15, 0.1),
    "next_strongest": Value(0.1, 0.05, 0.15),
    "induction": Value(0.1, 0.05, 0.15, 0.05),
    "duplicate": Value(0.1, 0.05, 0.15, 0.05),
    "punctuation": Value(0.1, 0.05, 0.15, 0.1),
    "normalized_entropy": Value(0.6, 0.55, 0.65),
    "links": Value(0.4, 0.38, 0.42, 0.4),
}


def test_nothing_is_mixed_and_sure() -> None:
    judged = judge(NOTHING)
    assert (judged.kind, judged.statistic, judged.sure, judged.others) == ("mixed", "", True, ())


@pytest.mark.parametrize(
    ("statistic", "value", "kind"),
    [
        ("sink", Value(0.6, 0.58, 0.62, 0.2), "sink"),
        ("previous", Value(0.51, 0.505, 0.52, 0.1), "previous"),
        ("previous_strongest", Value(0.95, 0.93, 0.97), "previous"),
        ("next_strongest", Value(0.9, 0.9, 0.9), "next"),
        ("same", Value(0.8, 0.7, 0.9, 0.1), "same"),
        ("induction", Value(0.35, 0.31, 0.39, 0.05), "induction"),
        ("duplicate", Value(0.9, 0.8, 1.0, 0.05), "duplicate"),
        ("links", Value(0.51, 0.505, 0.52, 0.4), "links"),
        ("punctuation", Value(0.7, 0.6, 0.8, 0.1), "punctuation"),
        ("normalized_entropy", Value(0.95, 0.94, 0.96), "broad"),
    ],
)
def test_each_kind(statistic: str, value: Value, kind: HeadKind) -> None:
    judged = judge({**NOTHING, statistic: value})
    assert (judged.kind, judged.statistic, judged.sure) == (kind, statistic, True)


def test_an_interval_across_the_bound_is_not_sure() -> None:
    assert not judge({**NOTHING, "previous": Value(0.51, 0.49, 0.53, 0.1)}).sure
    below = judge({**NOTHING, "previous": Value(0.49, 0.47, 0.51, 0.1)})
    assert (below.kind, below.sure) == ("mixed", False)


def test_without_an_interval_nothing_is_sure() -> None:
    nan = float("nan")
    assert not judge({**NOTHING, "previous": Value(1.0, nan, nan, 0.1)}).sure


def test_what_chance_gives_is_no_finding() -> None:
    """In a text of four tokens with two separators, a uniform head has half of its weight there."""
    assert judge({**NOTHING, "sink": Value(0.5, 0.5, 0.5, 0.5)}).kind == "mixed"
    assert judge({**NOTHING, "induction": Value(0.35, 0.3, 0.4, 0.2)}).kind == "mixed"


def test_other_kinds_are_named_in_the_order_of_the_rules() -> None:
    both = {"previous": Value(0.6, 0.59, 0.61, 0.1), "punctuation": Value(0.9, 0.8, 1, 0.1)}
    judged = judge({**NOTHING, **both})
    assert (judged.kind, judged.others) == ("previous", ("punctuation",))


def test_statistics_that_no_text_speaks_of_are_left_out() -> None:
    assert judge({"normalized_entropy": Value(0.5, 0.4, 0.6)}).kind == "mixed"


def test_every_rule_names_its_source() -> None:
    assert all(rule.source for rule in RULES)
