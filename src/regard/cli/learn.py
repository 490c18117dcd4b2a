"""`regard learn`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regard.cli.shared import print_error, write_utf8
from regard.errors import InputError, RegardError

if TYPE_CHECKING:
    from regard.learn import Exercise, Outcome, Progress

__all__ = ["learn"]


def learn(
    exercise: Annotated[
        str | None,
        typer.Argument(
            help="Number of the exercise, such as 2 or 2b; without one all are listed.",
            show_default=False,
        ),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Argument(
            help="Your answer [dim](default: exercise_2.py and so on, here)[/dim].",
            show_default=False,
        ),
    ] = None,
    check: Annotated[
        bool,
        typer.Option(
            "--check", help="Check the answer in the file. It is Python of yours, and is run."
        ),
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace an answer that is in the file.")
    ] = False,
    reset: Annotated[
        bool, typer.Option("--reset", help="Forget the progress in the exercise, or in all.")
    ] = False,
) -> None:
    """Learn attention by exercises that check themselves: one or more for each lesson of the course.

    An answer is a file of your own; it is run with a time limit, and checked by numbers and properties.
    Progress is kept on this machine. The lessons are in docs/learn.

    [bold]Examples[/bold]

    regard learn

    regard learn 2

    regard learn 2 --check
    """
    from regard.learn import find_exercise, write_exercise

    write_utf8()
    chosen = None if exercise is None else find_exercise(exercise)
    if reset:
        _reset(chosen)
    elif chosen is None:
        if check or overwrite:
            raise InputError("say which exercise, for example: regard learn 2 --check")
        typer.echo("\n".join(_listed()))
    elif check:
        _check(chosen, file or Path(chosen.file))
    else:
        path = file or Path(chosen.file)
        write_exercise(chosen, path, overwrite=overwrite)
        given = "" if file is None else f" {file}"
        typer.echo(f"{path}: {chosen.title}")
        typer.echo(f"Fill it in, then: regard learn {chosen.name} --check{given}")


def _listed() -> list[str]:
    """The exercises by lesson, with a tick where they were passed."""
    from regard.learn import EXERCISES, LESSONS, progress_file
    from regard.learn.exercise import PAGES

    path = progress_file()
    progress = _progress(path)
    lines = []
    for number, title in enumerate(LESSONS, 1):
        lines.append(f"{number}. {title}")
        for each in (each for each in EXERCISES if each.lesson == number):
            entry = progress.of(each.name)
            mark = "✓" if entry.passed else "·"
            tried = "" if entry.passed or not entry.tries else f", tried {_times(entry.tries)}"
            lines.append(f"   {mark} {each.name.ljust(3)} {each.title}{tried}")
    done = sum(progress.of(each.name).passed is not None for each in EXERCISES)
    lines += ["", f"{done} of {len(EXERCISES)} done. Lessons: {PAGES}"]
    following = next((each for each in EXERCISES if not progress.of(each.name).passed), None)
    return lines if following is None else [*lines, f"Next: regard learn {following.name}"]


def _progress(path: Path) -> Progress:
    """Progress so far; a file that cannot be read is told, and counts as none."""
    from regard.learn import Progress

    try:
        return Progress.read(path)
    except (RegardError, OSError) as error:
        print_error(f"regard: {error}", "yellow")
        return Progress({})


def _check(exercise: Exercise, path: Path) -> None:
    """Check an answer, say what was found, and keep count. The exit status is 1 if it is not right yet."""
    from regard.learn import check_file

    outcome = check_file(exercise, path)
    typer.echo("\n".join(_report(exercise, path, outcome)))
    _keep(exercise, right=outcome.right)
    if not outcome.right:
        raise typer.Exit(1)


def _report(exercise: Exercise, path: Path, outcome: Outcome) -> list[str]:
    from regard.learn import EXERCISES

    lines = [f"Exercise {exercise.name}: {exercise.title}"]
    if outcome.printed:
        lines += ["Your file printed:", *(f"  | {line}" for line in outcome.printed.splitlines())]
    lines += [f"  ✓ {description}" for description in outcome.passed]
    if not outcome.right:
        at = f"{path}:{outcome.line}: " if outcome.line else ""
        return [*lines, f"  ✗ {outcome.failed}", f"    {at}{outcome.hint}"]
    place = EXERCISES.index(exercise) + 1
    following = f"Next: regard learn {EXERCISES[place].name}" if place < len(EXERCISES) else ""
    return [*lines, f"Right. {exercise.learned}", *filter(None, [following])]


def _keep(exercise: Exercise, *, right: bool) -> None:
    """Write progress down; where that fails the learner still has the result of the check."""
    from regard.learn import Progress, progress_file

    path = progress_file()
    try:
        Progress.read(path).with_try(exercise.name, right=right).write(path)
    except (RegardError, OSError) as error:
        print_error(f"regard: progress is not kept: {error}", "yellow")


def _reset(exercise: Exercise | None) -> None:
    from regard.learn import Progress, progress_file

    path = progress_file()
    if exercise is None:
        path.unlink(missing_ok=True)
        typer.echo("Progress in all exercises is forgotten; your files are untouched.")
        return
    Progress.read(path).without([exercise.name]).write(path)
    typer.echo(f"Progress in exercise {exercise.name} is forgotten; your file is untouched.")


def _times(count: int) -> str:
    return {1: "once", 2: "twice"}.get(count, f"{count} times")
