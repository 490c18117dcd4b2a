"""The process that runs an answer: `python -P -m regard.learn.judge EXERCISE FILE RESULT SECONDS`.

A learner's file may loop for ever, use up memory or end the interpreter, so it is never run by the process that
the learner talks to. This one limits itself, runs the file and the checks, and writes what it found as JSON.
"""

from __future__ import annotations

import faulthandler
import json
import linecache
import os
import resource
import sys
import traceback
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType
from typing import Any

from regard.learn.answer import Answer, Raised, Wrong
from regard.learn.catalogue import find_exercise
from regard.learn.exercise import Exercise

__all__ = ["STACK", "judge", "load_answer", "main"]

STACK = "stack.txt"
"""File beside the result where the stack is written when time is up."""

MEMORY = 4 << 30
"""Bytes that the answer may have beside what the libraries took."""

LONGEST = 400
"""Characters of an exception's message that are shown: some hold whole arrays."""

OUTPUT = 16 << 20
"""Bytes that any file may have that it writes, what it prints included."""


def judge(exercise: Exercise, path: Path) -> dict[str, Any]:
    """Run an answer and its checks.

    Returns:
        `passed`, the descriptions of the checks that it passed; `failed`, that of the one that it did not, or
        `None`; `hint`; and `line` of the file, counted from 1, if one is to blame.
    """
    passed: list[str] = []
    try:
        answer = Answer(load_answer(path))
    except BaseException as error:
        return {"passed": passed, "failed": "the file can be run", **_blame(error, path, "")}
    for check in exercise.checks:
        description = (check.__doc__ or "").partition("\n")[0].rstrip(".")
        try:
            check(answer)
        except Wrong as wrong:
            return {"passed": passed, "failed": description, "hint": str(wrong), "line": None}
        except Raised as raised:
            cause = raised.__cause__ or raised
            return {"passed": passed, "failed": description, **_blame(cause, path, str(raised))}
        except BaseException as error:  # the file's exit; or an object of its own that raises
            return {"passed": passed, "failed": description, **_blame(error, path, "")}
        passed.append(description)
    return {"passed": passed, "failed": None, "hint": "", "line": None}


def load_answer(path: Path) -> dict[str, Any]:
    """Names of the module in a file, which is run for that."""
    module = ModuleType("answer")
    module.__file__ = str(path)
    sys.modules["answer"] = module  # dataclasses and pickle look their module up
    code = compile(path.read_bytes(), str(path), "exec")
    exec(code, module.__dict__)  # noqa: S102 - in the process that is made for it
    return module.__dict__


def _blame(error: BaseException, path: Path, call: str) -> dict[str, Any]:
    """The hint about an exception, and the line of the file."""
    during = f" in {call}" if call else ""
    if isinstance(error, SyntaxError) and error.filename == str(path):
        text = f": {error.text.strip()}" if error.text and error.text.strip() else ""
        return {"hint": f"{type(error).__name__}: {error.msg}{text}", "line": error.lineno}
    frames = [f for f in traceback.extract_tb(error.__traceback__) if f.filename == str(path)]
    line = frames[-1].lineno if frames else None
    code = linecache.getline(str(path), line).strip() if line else ""
    at = f", at `{code}`" if code else ""
    if isinstance(error, NotImplementedError):
        return {"hint": "Not filled in yet: put your code in place of `raise`.", "line": line}
    if isinstance(error, SystemExit):
        return {"hint": f"The file ends the program (exit){during}{at}.", "line": line}
    if isinstance(error, EOFError):
        return {"hint": f"The file waits for input{during}{at}; nobody is there.", "line": line}
    message = f"{type(error).__name__}: {error}".rstrip(": ")
    message = message if len(message) <= LONGEST else message[:LONGEST] + "..."
    advice = "".join(f" {each}" for each in _advice(error))
    return {"hint": f"{message}{during}{at}.{advice}", "line": line}


def _advice(error: BaseException) -> Iterator[str]:
    """What to try, for exceptions that beginners with arrays often meet."""
    text = str(error)
    if "mismatch in its core dimension" in text or "shapes cannot be multiplied" in text:
        yield (
            "In `a @ b` the last axis of a meets the one before last of b: "
            "scores are `query @ key.T`, the context is `weights @ value`."
        )
    if "could not be broadcast" in text or "must match the size of tensor" in text:
        yield "After a sum or maximum along an axis keep it: `keepdims=True` (torch: `keepdim=True`)."
    if isinstance(error, MemoryError) or "can't allocate memory" in text:
        yield f"An answer may take {MEMORY >> 30} GiB; a loop that never ends may be what fills them."
    if isinstance(error, OSError) and "File too large" in text:
        yield f"An answer may print {OUTPUT >> 20} MiB."
    if isinstance(error, ModuleNotFoundError):
        yield "Install it, or do without: the exercises need NumPy, and what their file imports."


def _limit() -> None:
    """Bound memory and output: the machine is the learner's, too."""
    pages = int(Path("/proc/self/statm").read_text().split()[5]) if sys.platform == "linux" else 0
    memory = pages * resource.getpagesize() + MEMORY
    for kind, most in ((resource.RLIMIT_DATA, memory), (resource.RLIMIT_FSIZE, OUTPUT)):
        hard = resource.getrlimit(kind)[1]
        if hard == resource.RLIM_INFINITY or most <= hard:
            resource.setrlimit(kind, (most, hard))


def main(name: str, file: str, result: str, seconds: str) -> None:
    """Judge one answer, and write the result."""
    sys.dont_write_bytecode = True
    exercise, path = find_exercise(name), Path(file)
    for package in exercise.needs:
        if package == "keras":
            os.environ.setdefault("KERAS_BACKEND", "torch")
        import_module(package)
    sys.path.append(str(path.resolve().parent))  # last: a file named numpy.py is not NumPy
    _limit()
    with open(Path(result).with_name(STACK), "w") as stack:
        # The clock starts here: importing torch is not the learner's time.
        faulthandler.dump_traceback_later(float(seconds), exit=True, file=stack)
        found = judge(exercise, path)
        faulthandler.cancel_dump_traceback_later()
        Path(result).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main(*sys.argv[1:])
