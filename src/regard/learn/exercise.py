"""An exercise of the course: the file to fill in, and the checks of an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

from regard.errors import InputError
from regard.files import atomic_write
from regard.learn.answer import Answer

__all__ = ["Check", "Exercise", "write_exercise"]

Check: TypeAlias = Callable[[Answer], None]
"""A property that an answer must have: returns if it has it, raises `Wrong` with a hint if not.

The first line of its docstring is shown to the learner, beside a tick or a cross."""

PAGES = "https://github.com/regard-attention/regard/blob/main/docs/learn"
"""Where the lessons are read."""


@dataclass(frozen=True)
class Exercise:
    """One exercise.

    Attributes:
        name: what the learner types: the number of the lesson, and a letter from its second exercise on.
        title: what is to be written, in a few words.
        page: of the lesson, without its ending.
        template: the file to fill in, without its first lines; its functions raise `NotImplementedError`.
        checks: in the order in which they are made; a later one may take earlier ones for granted.
        learned: what a right answer has shown, in a sentence or two.
        needs: packages that the checks import, beside NumPy.
    """

    name: str
    title: str
    page: str
    template: str
    checks: tuple[Check, ...]
    learned: str
    needs: tuple[str, ...] = ()

    @property
    def lesson(self) -> int:
        """Number of its lesson, from 1."""
        return int(self.name[0])

    @property
    def file(self) -> str:
        """Name of the file that the learner fills in."""
        return f"exercise_{self.name}.py"

    @property
    def text(self) -> str:
        """The whole file to fill in."""
        return (
            f'"""Exercise {self.name}: {self.title}.\n\n'
            f"Lesson: {PAGES}/{self.page}.md\n"
            f'Fill in, then run: regard learn {self.name} --check\n"""\n\n{self.template}'
        )


def write_exercise(exercise: Exercise, path: Path, *, overwrite: bool = False) -> None:
    """Write the file to fill in.

    Args:
        exercise: to write.
        path: of the file.
        overwrite: replace a file that is there.

    Raises:
        InputError: the file is there, and may hold somebody's work.
        RegardError: it cannot be written.
    """
    if path.exists() and not overwrite:
        raise InputError(
            f"{path} is there already; check it with `regard learn {exercise.name} --check {path}`, "
            "or begin again with --overwrite, which replaces what is in it"
        )
    with atomic_write(path) as unfinished:
        unfinished.write_text(exercise.text, encoding="utf-8")
