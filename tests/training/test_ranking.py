"""Which validation is better, and by which figure."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from regard.training import Ranking

TRANSLATION = Ranking("bleu", ("chrf", "exact_match", "loss"), {"bleu": 1.0, "exact_match": 0.0})


def metrics(bleu: float, chrf: float, exact_match: float, loss: float) -> dict[str, float]:
    return {"loss": loss, "bleu": bleu, "chrf": chrf, "exact_match": exact_match}


@pytest.mark.parametrize(
    ("new", "old", "better", "decided_by"),
    [
        (metrics(20, 10, 0, 9), metrics(10, 90, 9, 1), True, "bleu"),
        (metrics(10, 90, 9, 1), metrics(20, 10, 0, 9), False, "bleu"),
        (metrics(20, 41, 0, 9), metrics(20, 40, 9, 1), True, "chrf"),
        (metrics(20, 40, 8, 1), metrics(20, 40, 9, 9), False, "exact_match"),
        (metrics(20, 40, 9, 1.4), metrics(20, 40, 9, 1.5), True, "loss"),
        (metrics(20, 40, 9, 1.5), metrics(20, 40, 9, 1.5), False, None),
        # Both at the floor of BLEU: the larger of two values without meaning does not win.
        (metrics(0.2, 40, 9, 1), metrics(0.9, 30, 9, 1), True, "chrf"),
        (metrics(1.0, 30, 9, 1), metrics(0, 40, 9, 1), False, "chrf"),
        # One has left it.
        (metrics(1.1, 30, 9, 1), metrics(0, 40, 9, 1), True, "bleu"),
    ],
)
def test_the_first_figure_that_differs_decides(
    new: dict[str, float], old: dict[str, float], better: bool, decided_by: str | None
) -> None:
    assert TRANSLATION.compare(new, old) == (better, decided_by)


def test_the_first_validation_is_better_than_none() -> None:
    assert TRANSLATION.compare(metrics(0, 0, 0, 9), None) == (True, None)


def test_low_is_good_for_losses_perplexities_and_errors() -> None:
    for name in ("loss", "perplexity", "alignment_error"):
        assert Ranking(name).compare({name: 1.0}, {name: 2.0}) == (True, name)
        assert Ranking(name, floors={name: 3.0}).measured({name: 2.0})
        assert not Ranking(name, floors={name: 3.0}).measured({name: 4.0})
    assert Ranking("accuracy").compare({"accuracy": 1.0}, {"accuracy": 2.0}) == (False, "accuracy")


def test_a_metric_is_measured_once_it_is_better_than_its_floor() -> None:
    assert not TRANSLATION.measured({"bleu": 1.0})
    assert TRANSLATION.measured({"bleu": 1.01})
    assert Ranking("bleu").measured({"bleu": 0.0})  # no floor is known


def test_the_earliest_of_equal_values_above_the_floor_may_be_kept() -> None:
    ranking = Ranking("accuracy", ("loss",), {"accuracy": 50.0}, keep_earliest=True)

    def compared(new: tuple[float, float], old: tuple[float, float]) -> tuple[bool, str | None]:
        first, second = ({"accuracy": a, "loss": loss} for a, loss in (new, old))
        return ranking.compare(first, second)

    assert compared((80, 0.1), (80, 0.2)) == (False, None)
    assert compared((81, 0.3), (80, 0.2)) == (True, "accuracy")
    assert compared((50, 0.1), (49, 0.2)) == (True, "loss")  # both have learned nothing


def test_figures_that_one_of_both_lacks_are_passed_over() -> None:
    ranking = Ranking("bleu", ("chrf", "loss"))
    assert ranking.compare({"bleu": 1, "loss": 1.0}, {"bleu": 1, "chrf": 5, "loss": 2.0}).better


@given(
    st.lists(st.tuples(*[st.sampled_from([0.0, 0.5, 1.0, 1.5, 2.0])] * 4), min_size=3, max_size=3)
)
def test_it_is_an_order(rows: list[tuple[float, float, float, float]]) -> None:
    one, two, three = (metrics(*row) for row in rows)
    for a, b in itertools.permutations((one, two, three), 2):
        forth, back = TRANSLATION.compare(a, b), TRANSLATION.compare(b, a)
        assert forth.decided_by == back.decided_by
        assert forth.better != back.better or forth.decided_by is None
    if TRANSLATION.compare(one, two).better and TRANSLATION.compare(two, three).better:
        assert TRANSLATION.compare(one, three).better
