"""The exercises of the course, in its order."""

from __future__ import annotations

from regard.errors import InputError
from regard.learn.exercise import Exercise
from regard.learn.lessons import alignment, blocks, explaining, heads, masking, recall, weighting

__all__ = ["EXERCISES", "LESSONS", "find_exercise"]

LESSONS: tuple[str, ...] = (
    "Why one vector is not enough",
    "Score, softmax, sum",
    "Alignment in translation",
    "Self-attention and heads",
    "Masks and padding",
    "The Transformer block, BERT and GPT shapes",
    "Does attention explain?",
)
"""Titles of the lessons."""

EXERCISES: tuple[Exercise, ...] = (
    *recall.EXERCISES,
    *weighting.EXERCISES,
    *alignment.EXERCISES,
    *heads.EXERCISES,
    *masking.EXERCISES,
    *blocks.EXERCISES,
    *explaining.EXERCISES,
)
"""All exercises, those of a lesson one after another."""


def find_exercise(name: str) -> Exercise:
    """The exercise of this name.

    Raises:
        InputError: there is none.

    >>> find_exercise("2b").title
    'scaled dot-product attention'
    """
    wanted = name.strip().lower()
    for exercise in EXERCISES:
        if exercise.name == wanted:
            return exercise
    known = " ".join(exercise.name for exercise in EXERCISES)
    raise InputError(f"there is no exercise {name!r}; there are: {known}")
