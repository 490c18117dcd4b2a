"""Progress through the course, kept in a file of the user's own."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

from regard.errors import DataError
from regard.files import atomic_write

__all__ = ["Entry", "Progress", "progress_file"]

FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """What is known of one exercise.

    Attributes:
        tries: how often an answer was checked.
        passed: date of the first right answer, as ISO writes it; `None` before.
    """

    tries: int = 0
    passed: str | None = None


def progress_file() -> Path:
    """`regard/learn.json` in the user's state folder: `$XDG_STATE_HOME`, `~/.local/state` unless set.

    A relative `XDG_STATE_HOME` is ignored, as the XDG base directory specification asks.
    """
    folder = Path(os.environ.get("XDG_STATE_HOME", ""))
    if not folder.is_absolute():
        folder = Path.home() / ".local" / "state"
    return folder / "regard" / "learn.json"


@dataclass(frozen=True)
class Progress:
    """Progress of one learner.

    Args:
        entries: by the exercise's name.
    """

    entries: dict[str, Entry]

    @classmethod
    def read(cls, path: Path) -> Progress:
        """Progress in a file; none if there is no file.

        Raises:
            DataError: the file is damaged, or of a newer version.
        """
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if content["format"] > FORMAT:
                raise DataError(
                    f"written by a newer version of regard (format {content['format']})",
                    path=path,
                    remedy="upgrade regard, or begin again with `regard learn --reset`",
                )
            return cls({name: _entry(values) for name, values in content["exercises"].items()})
        except FileNotFoundError:
            return cls({})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"cannot be read as progress of the course ({error})",
                path=path,
                remedy="begin again with `regard learn --reset`",
            ) from error

    def write(self, path: Path) -> None:
        """Write it to a file, whole or not at all.

        Raises:
            RegardError: the file cannot be written.
        """
        exercises = {
            name: {"tries": each.tries, "passed": each.passed}
            for name, each in sorted(self.entries.items())
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as unfinished:
            text = json.dumps({"format": FORMAT, "exercises": exercises}, indent=1)
            unfinished.write_text(text + "\n", encoding="utf-8")

    def of(self, name: str) -> Entry:
        """What is known of an exercise."""
        return self.entries.get(name, Entry())

    def with_try(self, name: str, *, right: bool) -> Progress:
        """Progress after one more check; an exercise that was passed once stays passed."""
        before = self.of(name)
        today = datetime.now().astimezone().date().isoformat()
        passed = before.passed or (today if right else None)
        entry = replace(before, tries=before.tries + 1, passed=passed)
        return Progress({**self.entries, name: entry})

    def without(self, names: Iterable[str]) -> Progress:
        """Progress that has forgotten these exercises."""
        gone = set(names)
        return Progress({name: each for name, each in self.entries.items() if name not in gone})


def _entry(values: dict[str, Any]) -> Entry:
    tries, passed = values["tries"], values["passed"]
    if type(tries) is not int or not (passed is None or isinstance(passed, str)):
        raise TypeError(f"tries {tries!r}, passed {passed!r}")
    return Entry(tries, passed)
