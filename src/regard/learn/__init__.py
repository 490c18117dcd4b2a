"""The course's exercises: files to fill in, checks by properties and numbers, progress kept locally.

The lessons are pages in `docs/learn`. The command `regard learn` is the way in. An answer is Python of the
learner's own, and runs in a process of its own with a time limit, never in the caller's.
"""

from __future__ import annotations

from regard.learn.catalogue import EXERCISES, LESSONS, find_exercise
from regard.learn.exercise import Exercise, write_exercise
from regard.learn.progress import Progress, progress_file
from regard.learn.running import Outcome, check_file

__all__ = [
    "EXERCISES",
    "LESSONS",
    "Exercise",
    "Outcome",
    "Progress",
    "check_file",
    "find_exercise",
    "progress_file",
    "write_exercise",
]
