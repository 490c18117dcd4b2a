"""From measurements to a level, a sentence and a table."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from regard.evaluation.faithfulness.attention_mass import AttentionMass
from regard.evaluation.faithfulness.contracts import TrustSettings
from regard.evaluation.faithfulness.erasure import ErasureMethod, ErasureMetric, ErasureScores
from regard.evaluation.faithfulness.interventions import WeightControls
from regard.evaluation.faithfulness.verdict import Level, Verdict, judge
from regard.evaluation.metrics.intervals import Interval


def test_a_verdict_prints_all_its_numbers(known: Verdict) -> None:
    text = str(known)
    assert "8 texts" in text
    for name in ("comprehensiveness", "sufficiency", "delete", "mask", "Kendall", "shuffled"):
        assert name in text


def scores(
    attention: float, gradient: float, random: float, *, high_is_good: bool
) -> ErasureScores:
    """Scores with certain means."""
    better = 1 if high_is_good else -1
    values = (attention, gradient, random, better * (attention - random))
    return ErasureScores(*(Interval(value, value, value) for value in values))


Means = tuple[float, float, float]


def judged(
    needed: Means,
    enough: Means,
    *,
    distance: float | None = 0.5,
    flips: float = 0.0,
    special: float = 0.0,
) -> tuple[Level, str]:
    """The level and sentence for numbers (attention, gradient, random)."""
    erasures: dict[tuple[ErasureMetric, ErasureMethod], ErasureScores] = {
        ("comprehensiveness", "delete"): scores(*needed, high_is_good=True),
        ("sufficiency", "delete"): scores(*enough, high_is_good=False),
    }
    even = Interval(0.5, 0.5, 0.5)
    controls = None
    if distance is not None:
        controls = WeightControls(Interval(distance, distance, distance), flips, even, 0.0)
    mass = AttentionMass(special, "the", 0.1, 0.1)
    return judge(erasures, controls, mass, 10, TrustSettings())


GOOD = (0.5, 0.5, 0.1), (0.1, 0.1, 0.5)
VAIN = (0.1, 0.5, 0.1), (0.5, 0.1, 0.5)


def test_good_on_all_counts() -> None:
    assert judged(*GOOD)[0] == "good"


def test_a_model_sure_of_nothing_changes_little_and_flips_much() -> None:
    assert judged(*GOOD, distance=0.01, flips=0.1)[0] == "good"


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (lambda: judged(GOOD[0], VAIN[1]), "keeping only what it points to"),
        (lambda: judged((0.1, 0.1, 0.1), GOOD[1]), "taking out what it points to"),
        (lambda: judged((0.2, 0.5, 0.1), GOOD[1]), "gradient x input finds more than twice"),
        (lambda: judged(*GOOD, special=0.6), "60% of it rests on special tokens"),
        (lambda: judged(*GOOD, distance=None), "cannot be shuffled"),
    ],
)
def test_one_doubt_is_named_and_only_that(
    case: Callable[[], tuple[Level, str]], words: str
) -> None:
    level, sentence = case()
    assert level == "partial"
    assert sentence.startswith("Read this with care: ")
    assert words in sentence
    assert ";" not in sentence


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (lambda: judged(*VAIN), "no more than taking out random tokens (0.10 against 0.10)"),
        (lambda: judged(*GOOD, distance=0.01), "shuffling it does not change the answer (by 0.01"),
    ],
)
def test_either_fault_is_enough_for_none(case: Callable[[], tuple[Level, str]], words: str) -> None:
    level, sentence = case()
    assert level == "none"
    assert sentence.startswith("Do not read this as an explanation: ")
    assert words in sentence
