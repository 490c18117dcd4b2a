"""What the verbs share: reading lines, writing answers, telling errors in one line."""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Iterable, Iterator
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any, ParamSpec, TypeVar

import typer
from typer.core import TyperCommand

from regard.errors import DataError, InputError, MissingExtraError, ModelFolderError, RegardError

__all__ = [
    "Encoding",
    "SpreadOptions",
    "answer_lines",
    "lines_of",
    "settings_of",
    "spread",
    "tell",
    "telling",
    "write_utf8",
]

Encoding = Annotated[str, typer.Option(help="Encoding of the text that is read.")]

P = ParamSpec("P")
R = TypeVar("R")
T = TypeVar("T")

_WIDE = ("--train", "--valid", "--test")
"""Options that take every name up to the next option."""


def spread(arguments: list[str]) -> list[str]:
    """`--train a b` as `--train a --train b`, which the parser knows.

    >>> spread(["x", "--train", "a", "b", "--out", "c"])
    ['x', '--train', 'a', '--train', 'b', '--out', 'c']
    """
    spreaded: list[str] = []
    wide: str | None = None
    for argument in arguments:
        if argument.startswith("-") and argument != "-":
            wide = argument if argument in _WIDE else None
            spreaded += [argument] if wide is None else []
        else:
            spreaded += [argument] if wide is None else [wide, argument]
    return spreaded


class SpreadOptions(TyperCommand):
    """A command whose `--train`, `--valid` and `--test` take any number of files."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the spread arguments."""
        rest: list[str] = super().parse_args(ctx, spread(args))
        return rest


def telling(verb: Callable[P, R]) -> Callable[P, R]:
    """Errors of `regard` as one message and an exit status, without a traceback.

    2 for what the user can mend in the input, 1 for the rest, 128 + n for signal n.
    """

    @functools.wraps(verb)
    def told(*args: P.args, **kwargs: P.kwargs) -> R:
        _claim_threads()
        _open_streams()
        try:
            result = verb(*args, **kwargs)
            sys.stdout.flush()
            return result
        except RegardError as error:
            tell(f"regard: {error}", "red")
            mendable = isinstance(
                error, InputError | DataError | ModelFolderError | MissingExtraError
            )
            raise typer.Exit(2 if mendable else 1) from None
        except BrokenPipeError:
            _abandon_output()  # whoever read it has seen enough
            raise typer.Exit(0) from None
        except OSError as error:  # of the system: a disk that is full, a folder that is read-only
            tell(f"regard: {error}", "red")
            _abandon_output()
            raise typer.Exit(1) from None
        except KeyboardInterrupt as stop:
            folder = getattr(stop, "folder", None)
            hint = f": everything is saved; go on with the same command and --resume ({folder})"
            tell(f"\nregard: interrupted{hint if folder else ''}", "yellow")
            raise typer.Exit(128 + getattr(stop, "signal", signal.SIGINT)) from None

    told.__signature__ = inspect.signature(verb, eval_str=True)  # type: ignore[attr-defined]
    return told


def tell(message: str, color: str) -> None:
    """Write to standard error, at a terminal in colour unless `NO_COLOR` is set (no-color.org)."""
    typer.echo(message if os.environ.get("NO_COLOR") else typer.style(message, fg=color), err=True)


def _open_streams() -> None:
    """Stand in for streams that whoever started us has closed: nothing to read, nowhere to write."""
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 - as long as the process
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115


def _abandon_output() -> None:
    """What is still buffered has nowhere to go, and must not be tried again at exit."""
    try:
        sys.stdout.flush()
    except OSError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _claim_threads() -> None:
    """Let torch use every core this process may run on, unless told otherwise."""
    if "OMP_NUM_THREADS" not in os.environ and hasattr(os, "sched_getaffinity"):
        os.environ["OMP_NUM_THREADS"] = str(_cores())


def _cores() -> int:
    """Physical cores this process may run on."""
    allowed = os.sched_getaffinity(0)
    cores = set()
    for processor in allowed:
        try:
            topology = Path(f"/sys/devices/system/cpu/cpu{processor}/topology")
            siblings = (topology / "thread_siblings_list").read_text().strip()
        except OSError:
            return len(allowed)
        cores.add(siblings)
    return len(cores)


def settings_of(config: Path | None, assignments: Iterable[str]) -> dict[str, Any]:
    """Settings of a file, then single ones over them."""
    from regard.api.config.settings import named_values, read_file

    return {**(read_file(config) if config else {}), **named_values(assignments)}


def lines_of(files: list[Path], prompt: str, *, encoding: str = "utf-8") -> Iterator[str]:
    """The lines of files or of standard input; at a terminal, what is typed at a prompt.

    Raises:
        DataError: a file that cannot be read, or bytes that are not text in this encoding.
    """
    from regard.data import read_lines

    if files:
        for file in files:
            if str(file) == "-":
                yield from _standard_input(encoding)
            else:
                yield from (line for _, line in read_lines(file, encoding=encoding))
    elif sys.stdin.isatty():
        yield from _typed(prompt)
    else:
        yield from _standard_input(encoding)


def _standard_input(encoding: str) -> Iterator[str]:
    from regard.data import read_lines

    yield from (line for _, line in read_lines(sys.stdin.buffer, encoding=encoding))


def _typed(prompt: str) -> Iterator[str]:
    import readline  # noqa: F401 - arrow keys and history at the prompt

    typer.echo(f"{prompt} Ctrl-D ends.", err=True)
    while True:
        try:
            yield input("> ")
        except EOFError:
            return


def write_utf8() -> None:
    """Write text as it is read, in UTF-8 whatever the locale; a terminal goes by its own."""
    if not sys.stdout.isatty() and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


def answer_lines(
    lines: Iterator[str], answer: Callable[[list[str]], Iterable[T]], write: Callable[[T], str]
) -> None:
    """Answer line by line: `n` lines in, `n` lines out, in order.

    At a prompt each line is answered at once, otherwise many together, because that is faster.
    """
    size = 1 if sys.stdin.isatty() else 256
    write_utf8()
    batch: list[str] = []
    for line in lines:
        batch.append(line)
        if len(batch) == size:
            _put(answer(batch), write)
            batch = []
    if batch:
        _put(answer(batch), write)


def _put(answers: Iterable[T], write: Callable[[T], str]) -> None:
    for answer in answers:
        sys.stdout.write(write(answer) + "\n")
    sys.stdout.flush()
