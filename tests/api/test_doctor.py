"""Findings about a run: the exact condition of each, and its negation."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from regard.api import doctor
from regard.evaluation import Score
from regard.training import History, Ranking

BLEU = Ranking("bleu", ("chrf", "loss"), {"bleu": 1.0})


def history(metric: str, values: Sequence[float]) -> History:
    return History(
        {"step": n, "epoch": n, f"valid_{metric}": value} for n, value in enumerate(values, 1)
    )


def test_a_finding_is_one_line_and_a_record() -> None:
    found = doctor.small_validation(7)
    assert found is not None
    assert str(found) == f"note: {found.message}"
    assert "\n" not in found.message
    assert found.record(30) == {
        "step": 30,
        "finding": "small-validation",
        "message": found.message,
    }


@pytest.mark.parametrize(("updates", "warmup", "found"), [(199, 200, True), (200, 200, False)])
def test_fewer_updates_than_the_warmup(updates: int, warmup: int, found: bool) -> None:
    finding = doctor.short_of_warmup(updates, warmup)
    assert (finding is not None) == found
    if finding is not None:
        assert finding.message.startswith("199 updates are planned, fewer than the warm-up of 200")
        made = doctor.short_of_warmup(updates, warmup, made=True)
        assert made is not None
        assert made.message.startswith("199 updates were made")


@pytest.mark.parametrize(
    ("examples", "points"),
    # 100 * 1.96 * 0.5 / sqrt(n) is 98 for one, 49 for four, 9.85 for 99 and 9.8 for 100 examples.
    [(1, 98), (4, 49), (99, 10), (100, None), (5000, None)],
)
def test_a_validation_part_that_tells_little_apart(examples: int, points: int | None) -> None:
    finding = doctor.small_validation(examples)
    assert (finding is not None) == (points is not None)
    if finding is not None:
        assert f"under {points} points" in finding.message


def test_shared_texts() -> None:
    assert doctor.shared_texts(0, 100) is None
    found = doctor.shared_texts(1, 1000)
    assert found is not None
    assert found.message.startswith("1 of 1,000 validation texts are in the training part too")


@pytest.mark.parametrize(
    ("copies", "examples", "begin"),
    [
        (30, 30, "all 30 training targets equal their sources"),
        (15, 30, "15 of 30 training targets"),
        (14, 30, None),
        (0, 0, None),
        (0, 30, None),
    ],
)
def test_copied_targets(copies: int, examples: int, begin: str | None) -> None:
    found = doctor.copied_targets(copies, examples)
    assert (found is not None) == (begin is not None)
    if found is not None:
        assert found.message.startswith(str(begin))


@pytest.mark.parametrize(
    ("metric", "values", "found"),
    [
        ("bleu", [10.0, 20.0, 30.0], True),
        ("bleu", [10.0, 30.0, 20.0], False),  # the last is not the best
        ("bleu", [10.0, 30.0, 30.0], False),  # equal is not better
        ("bleu", [10.0, 30.0, 30.5], True),
        ("bleu", [10.0, 30.0, 30.25], False),  # better by nearly nothing
        ("bleu", [10.0, 94.0], True),
        ("bleu", [10.0, 95.0], False),  # nothing left to gain
        ("bleu", [40.0], True),  # nothing says it has come to an end
        ("loss", [2.0, 1.0], True),
        ("loss", [2.0, 1.0, 0.99], True),
        ("loss", [2.0, 1.0, 0.991], False),
        ("loss", [1.0, 2.0], False),
        ("loss", [], False),
    ],
)
def test_a_run_that_is_still_improving(metric: str, values: list[float], found: bool) -> None:
    ranking = Ranking(metric)
    finding = doctor.still_improving(history(metric, values), ranking, limited=False)
    assert (finding is not None) == found
    if finding is not None:
        assert "more epochs would help" in finding.message
        limited = doctor.still_improving(history(metric, values), ranking, limited=True)
        assert limited is not None
        assert "more minutes would help" in limited.message


def test_the_last_validation_may_be_the_best_by_a_tie_without_a_gain_of_the_metric() -> None:
    tied = History(
        {"step": n, "epoch": n, "valid_bleu": 40.0, "valid_loss": 1 / n} for n in range(1, 4)
    )
    assert tied.best(BLEU) is tied.records[-1]
    assert doctor.still_improving(tied, BLEU, limited=False) is None


def test_a_metric_at_its_floor_is_not_improving() -> None:
    assert doctor.still_improving(history("bleu", [0.2, 0.9]), BLEU, limited=False) is None
    assert doctor.still_improving(history("bleu", [0.2, 1.9]), BLEU, limited=False) is not None


@pytest.mark.parametrize(("best", "found"), [(0.0, True), (1.0, True), (1.01, False)])
def test_a_metric_at_its_floor(best: float, found: bool) -> None:
    finding = doctor.at_floor(history("bleu", [best, 0.0]), BLEU)
    assert (finding is not None) == found
    if finding is not None:
        assert finding.message.startswith(f"bleu is {best:.4g}, no better than the 1 of a model")
    assert doctor.at_floor(history("bleu", [0.0]), Ranking("bleu")) is None  # no floor is known
    assert doctor.at_floor(History(), BLEU) is None


@pytest.mark.parametrize(
    ("name", "metric", "model", "baseline", "found"),
    [
        ("BLEU", "bleu", 3.0, 4.0, True),
        ("BLEU", "bleu", 4.0, 4.0, False),
        ("BLEU", "loss", 3.0, 4.0, True),  # the loss is no score: the first score counts
        ("perplexity", "loss", 50.0, 40.0, True),
        ("perplexity", "loss", 40.0, 50.0, False),
    ],
)
def test_a_model_below_its_baseline(
    name: str, metric: str, model: float, baseline: float, found: bool
) -> None:
    others = {"copy of the source": [Score("chrF", 99.0), Score(name, baseline)]}
    finding = doctor.below_baseline([Score(name, model)], others, Ranking(metric))
    assert (finding is not None) == found
    if finding is not None:
        assert "copy of the source" in finding.message
        assert f"{name} {model:.1f}" in finding.message
    assert doctor.below_baseline([Score(name, model)], {}, Ranking(metric)) is None


def test_the_score_of_the_metric_is_the_one_compared() -> None:
    scores = [Score("BLEU", 0.0), Score("chrF", 60.0), Score("exact match", 5.0)]
    others = {"copy": [Score("BLEU", 10.0), Score("chrF", 20.0), Score("exact match", 7.0)]}
    assert doctor.below_baseline(scores, others, Ranking("chrf")) is None
    assert doctor.below_baseline(scores, others, Ranking("bleu")) is not None
    assert doctor.below_baseline(scores, others, Ranking("exact_match")) is not None
