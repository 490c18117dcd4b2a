"""The command line, run in processes forked from one that has imported everything: the same, but quick."""

from __future__ import annotations

import importlib
import os
import runpy
import sys
import tempfile
import traceback
from dataclasses import dataclass
from typing import IO, NoReturn

from benchmarks.same_answers.names import module_of_command, respelled

__all__ = ["Done", "run", "warm"]

HEAVY = ("torch", "regard.api", "regard.cli", "sklearn.linear_model", "sklearn.svm", "sacrebleu")


@dataclass(frozen=True)
class Done:
    """How a command ended and what it wrote."""

    status: int
    out: str
    err: str


def warm() -> None:
    """Import what commands need, before the first fork; nothing may be computed before the last."""
    for name in HEAVY:
        importlib.import_module(name)


def run(*arguments: str, text: str = "") -> Done:
    """Run the command; words it does not know are tried in their older spelling."""
    words = [*arguments]
    while True:
        done = _forked(words, text)
        if done.status != 2:
            return done
        older = respelled(words, done.err)
        if older is None:
            return done
        words = older


def _forked(arguments: list[str], text: str) -> Done:
    with (
        tempfile.TemporaryFile() as given,
        tempfile.TemporaryFile() as out,
        tempfile.TemporaryFile() as err,
    ):
        given.write(text.encode())
        given.seek(0)
        child = os.fork()
        if child == 0:
            _become_command(arguments, given, out, err)
        _, status = os.waitpid(child, 0)
        written = []
        for stream in (out, err):
            stream.seek(0)
            written.append(stream.read().decode())
    return Done(os.waitstatus_to_exitcode(status), *written)


def _become_command(
    arguments: list[str], given: IO[bytes], out: IO[bytes], err: IO[bytes]
) -> NoReturn:
    """Never returns: what is of the parent must not run twice."""
    status = 1
    try:
        for number, stream in enumerate((given, out, err)):
            os.dup2(stream.fileno(), number)
        sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115  (as long as the process)
        sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.stderr = open(2, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
        sys.argv = ["regard", *arguments]
        runpy.run_module(module_of_command(), run_name="__main__")
        status = 0
    except SystemExit as end:
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    except BaseException:
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)
