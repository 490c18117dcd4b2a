"""Checking of an answer file in a process of its own."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from regard.errors import InputError, RegardError
from regard.learn.exercise import Exercise

__all__ = ["Outcome", "check_file"]

SECONDS = 20.0
"""Time that an answer may take, without that for importing libraries."""

STARTING = 120.0
"""Time that importing libraries may take."""

PRINTED = 20
"""Lines that are kept of what an answer prints."""


@dataclass(frozen=True)
class Outcome:
    """Result of checking an answer.

    Attributes:
        passed: descriptions of the checks that it passed, in order.
        failed: description of the first check that it did not pass; `None` if it is right.
        hint: what is wrong, and the misconception behind it where it is a known one.
        line: of the answer file, counted from 1, if one is to blame.
        printed: the last lines that the answer printed.
    """

    passed: tuple[str, ...]
    failed: str | None
    hint: str
    line: int | None
    printed: str

    @property
    def right(self) -> bool:
        """Whether it passed all checks."""
        return self.failed is None


def check_file(exercise: Exercise, path: Path, *, seconds: float = SECONDS) -> Outcome:
    """Check an answer. Its file is Python that is run, in a process of its own, with a time limit.

    Args:
        exercise: that it answers.
        path: of the file.
        seconds: that it may take once the libraries are imported.

    Raises:
        InputError: there is no such file, it is no Python file, or a package that the exercise needs is absent.
        RegardError: the process could not be started.
    """
    _check_path(exercise, path)
    for package in exercise.needs:
        if find_spec(package) is None:
            raise InputError(
                f"exercise {exercise.name} is for users of {package}, which is not installed; "
                f"try: pip install {package}"
            )
    with tempfile.TemporaryDirectory(prefix="regard-learn-") as folder:
        result = Path(folder) / "result.json"
        status, printed = _run(exercise, path.resolve(), result, seconds)
        if result.is_file() and result.stat().st_size:
            found: dict[str, Any] = json.loads(result.read_text(encoding="utf-8"))
        else:
            found = _unfinished(status, result.with_name("stack.txt"), path, seconds, printed)
    return Outcome(
        tuple(found["passed"]), found["failed"], found["hint"], found["line"], _last_lines(printed)
    )


def _check_path(exercise: Exercise, path: Path) -> None:
    if path.is_dir():
        raise InputError(f"{path} is a folder; give the file: {path / exercise.file}")
    if not path.is_file():
        raise InputError(
            f"{path}: no such file; `regard learn {exercise.name}` writes the one to fill in"
        )
    if path.suffix == ".ipynb":
        raise InputError(
            f"{path} is a notebook; begin the cell of your answer with "
            f"`%%writefile {exercise.file}`, run it, and check that file"
        )


def _run(exercise: Exercise, path: Path, result: Path, seconds: float) -> tuple[int | None, str]:
    """Exit status and output of the process that judges; `None` if it had to be killed, -n after signal n."""
    call = [sys.executable, "-P", "-m", "regard.learn.judge"]
    call += [exercise.name, str(path), str(result), str(seconds)]
    with open(result.with_name("printed.txt"), "w+b") as printed:
        process = subprocess.Popen(  # noqa: S603 - our own module; the file is the learner's to run
            call,
            stdin=subprocess.DEVNULL,
            stdout=printed,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status: int | None = process.wait(STARTING + seconds)
        except subprocess.TimeoutExpired:
            status = None
        finally:
            if process.returncode is None:  # with all that it started
                with suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        printed.seek(0)
        return status, printed.read().decode("utf-8", errors="replace")


def _unfinished(
    status: int | None, stack: Path, path: Path, seconds: float, printed: str
) -> dict[str, Any]:
    """What to say of an answer whose process ended without a result."""
    text = stack.read_text(errors="replace") if stack.is_file() else ""
    failed: dict[str, Any] = {"passed": [], "failed": "the answer comes to an end", "line": None}
    if text or (status is None and stack.is_file()):
        here = re.search(rf'File "{re.escape(str(path.resolve()))}", line (\d+)', text)
        line = int(here[1]) if here else None
        hint = f"Still running after {seconds:g} seconds: a loop that never ends?"
        return {**failed, "line": line, "hint": hint}
    if status is not None and stack.is_file():  # it was running the answer
        how = f"by signal {-status}" if status < 0 else f"with status {status}"
        return {**failed, "hint": f"The answer ended its process {how} before it was checked."}
    ended = "did not start" if status is None else f"ended with status {status}"
    raise RegardError(f"the process that checks answers {ended}:\n{_last_lines(printed)}")


def _last_lines(text: str) -> str:
    return "\n".join(text.rstrip().splitlines()[-PRINTED:])
