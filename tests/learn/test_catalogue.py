"""The list of exercises: every lesson has one, and every file to fill in is whole."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.errors import InputError
from regard.learn import EXERCISES, LESSONS, find_exercise

DOCS = Path(__file__).resolve().parents[2] / "docs" / "learn"


def test_every_lesson_has_an_exercise_of_its_number_first():
    names = [exercise.name for exercise in EXERCISES]
    assert len(set(names)) == len(names) >= 10
    assert names == sorted(names)
    assert {exercise.lesson for exercise in EXERCISES} == set(range(1, len(LESSONS) + 1))
    for number in range(1, len(LESSONS) + 1):
        assert str(number) in names


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_the_file_to_fill_in_says_that_it_is_not_filled_in(judged, exercise):
    for package in exercise.needs:
        pytest.importorskip(package)
    found = judged(exercise.name, exercise.text)
    assert found["hint"] == "Not filled in yet: put your code in place of `raise`."
    line = exercise.text.splitlines()[found["line"] - 1]
    assert "raise NotImplementedError" in line
    assert found["passed"] == []


@pytest.mark.parametrize("exercise", EXERCISES, ids=lambda exercise: exercise.name)
def test_every_exercise_has_its_page_and_says_what_is_checked(exercise):
    page = DOCS / f"{exercise.page}.md"
    assert f"regard learn {exercise.name}" in page.read_text(encoding="utf-8")
    assert page.name.startswith(str(exercise.lesson))
    for check in exercise.checks:
        assert check.__doc__
        assert len(check.__doc__) < 100
    assert max(map(len, exercise.text.splitlines())) <= 112


def test_names_are_found_in_any_case_and_others_are_told():
    assert find_exercise(" 4B ").title == "multi-head self-attention in PyTorch"
    with pytest.raises(InputError, match=r"no exercise '9'; there are: 1 1b 2 2b"):
        find_exercise("9")
