"""Shared parts of the commands: reading lines, writing answers, reporting errors in one line."""

from __future__ import annotations

import functools
import inspect
import os
import signal
import sys
from collections.abc import Callable, Collection, Iterable, Iterator
from contextlib import suppress
from io import TextIOWrapper
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer
from typer.core import TyperCommand

from regard.choices import Precision
from regard.cli.streams import abandon_output, as_text, open_streams
from regard.errors import DataError, InputError, MissingExtraError, ModelFolderError, RegardError

if TYPE_CHECKING:
    from regard.api.corpus.texts import CorpusFiles
    from regard.api.tasks.model import Model
    from regard.cli.options import TextOptions

__all__ = [
    "Beam",
    "CorpusFileNames",
    "DecodingValues",
    "JsonLines",
    "ModelFolder",
    "MultiValueCommand",
    "NBest",
    "NoteReport",
    "OneJson",
    "PrecisionName",
    "Prefix",
    "TestFiles",
    "TextFiles",
    "corpus_files",
    "decoding_values",
    "load_for",
    "print_error",
    "read_input",
    "read_settings",
    "repeat_options",
    "report_errors",
    "write_utf8",
]

ModelFolder = Annotated[Path, typer.Argument(help="Folder of the model.")]
TextFiles = Annotated[
    list[str] | None,
    typer.Argument(help="Files with a text per line, or tables; - for standard input."),
]
TestFiles = Annotated[
    list[str],
    typer.Option(
        metavar="FILE...",
        help="Files it has never seen. Parallel text: source and target by turns.",
    ),
]
CorpusFileNames = Annotated[
    list[str],
    typer.Option(
        "--texts",
        metavar="FILE...",
        help="Lines of text or a table; for a model that writes also two: sources and targets.",
    ),
]
DecodingValues = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="One decoding setting; may be repeated."),
]
Beam = Annotated[int | None, typer.Option(help="Width of the beam; 1 is greedy.")]
NBest = Annotated[
    int, typer.Option(help="Answers per line, best first, each on a line of its own.")
]
Prefix = Annotated[str, typer.Option(callback=as_text, help="Words that every answer begins with.")]
JsonLines = Annotated[bool, typer.Option("--json", help="One JSON object per line.")]
OneJson = Annotated[bool, typer.Option("--json", help="One JSON object.")]
PrecisionName = Annotated[
    Precision, typer.Option("--precision", help="Of the matrix products; int8 is the fastest.")
]

P = ParamSpec("P")
R = TypeVar("R")
M = TypeVar("M", bound="Model")

MOST_NOTES = 5
"""Notes on answers that are printed one by one; the others are counted."""

_MULTI_VALUE = ("--train", "--valid", "--test", "--texts")
"""Options that take every name up to the next option, in the commands that take several."""


def repeat_options(arguments: list[str], options: Collection[str] = _MULTI_VALUE) -> list[str]:
    """Write `--train a b` as `--train a --train b`, which the parser knows.

    >>> repeat_options(["x", "--train", "a", "b", "--out", "c"])
    ['x', '--train', 'a', '--train', 'b', '--out', 'c']
    """
    repeated: list[str] = []
    option: str | None = None
    for argument in arguments:
        if argument.startswith("-") and argument != "-":
            option = argument if argument in options else None
            repeated += [argument] if option is None else []
        else:
            repeated += [argument] if option is None else [option, argument]
    return repeated


class MultiValueCommand(TyperCommand):
    """A command whose `--train`, `--valid`, `--test` and `--texts` take any number of files."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Parse the arguments after repeating these options."""
        several = {
            name for each in self.params if getattr(each, "multiple", False) for name in each.opts
        }
        rest: list[str] = super().parse_args(ctx, repeat_options(args, several & {*_MULTI_VALUE}))
        return rest


def report_errors(command: Callable[P, R]) -> Callable[P, R]:
    """Decorate a command: errors become one message and an exit status, without a traceback.

    The status is 2 for what the user can mend in the input, 1 for other errors, 128 + n for signal n.
    """

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> R:
        _claim_cores()
        open_streams()
        try:
            result = command(*args, **kwargs)
            sys.stdout.flush()
            return result
        except RegardError as error:
            print_error(f"regard: {error}", "red")
            mendable = isinstance(
                error, InputError | DataError | ModelFolderError | MissingExtraError
            )
            raise typer.Exit(2 if mendable else 1) from None
        except BrokenPipeError:
            abandon_output()  # its reader has seen enough (`| head`)
            raise typer.Exit(0) from None
        except OSError as error:  # of the system: a disk that is full, a folder that is read-only
            print_error(f"regard: {error}", "red")
            abandon_output()
            raise typer.Exit(1) from None
        except KeyboardInterrupt as stop:
            folder = getattr(stop, "folder", None)
            resume = "" if folder and Path(folder).is_file() else " and --resume"
            if resume and "--overwrite" in sys.argv:
                resume += " in place of --overwrite"
            hint = f": everything is saved; go on with the same command{resume} ({folder})"
            print_error(f"\nregard: interrupted{hint if folder else ''}", "yellow")
            raise typer.Exit(128 + getattr(stop, "signal", signal.SIGINT)) from None

    run.__signature__ = inspect.signature(command, eval_str=True)  # type: ignore[attr-defined]
    return run


def print_error(message: str, color: str) -> None:
    """Write to standard error, at a terminal in colour unless `NO_COLOR` is set (no-color.org)."""
    with suppress(
        OSError
    ):  # a full disk, or nobody who reads: the exit status says it all the same
        typer.echo(
            message if os.environ.get("NO_COLOR") else typer.style(message, fg=color), err=True
        )


def _claim_cores() -> None:
    """Let torch use every core this process may run on, unless the user set a number."""
    from regard.compiled.cores import physical_cores

    cores = physical_cores()
    if "OMP_NUM_THREADS" not in os.environ and cores is not None:
        os.environ["OMP_NUM_THREADS"] = str(cores)


def read_settings(config: Path | None, assignments: Iterable[str] | None) -> dict[str, Any]:
    """Settings of a file, overridden by single assignments such as `epochs=3`."""
    from regard.api.config.settings import named_values, read_file

    return {**(read_file(config) if config else {}), **named_values(assignments or ())}


def decoding_values(
    beam: int | None, n_best: int, assignments: Iterable[str] | None
) -> dict[str, Any]:
    """Decoding settings that the options of a verb and assignments by `--set` name."""
    values = {"n_best": n_best, **read_settings(None, assignments)}
    if beam is not None:
        values |= {"beam": beam, "method": "beam" if beam > 1 else "greedy"}
    return values


def load_for(kind: type[M], folder: str | PathLike[str], precision: Precision = "float32") -> M:
    """Load the model in a folder, which must be of this kind.

    Raises:
        InputError: it is for another task; names the command that fits.
    """
    from regard.api.load import load

    model = load(folder, task=kind.task, precision=precision)
    if not isinstance(model, kind):
        held = f"a model for {model.task}, not for {kind.task}"
        if model.task == kind.task:  # one that reads, beside one that writes
            held = f"a {model.settings.kind}, which regard {kind.verb} cannot use"
        raise InputError(f"{folder} holds {held}; try: regard {model.verb} {folder}")
    return model


def corpus_files(model: Model, names: list[str], options: TextOptions) -> CorpusFiles:
    """The files of a corpus, read as in training but for what the options say."""
    from regard.api.corpus.texts import CorpusFiles
    from regard.api.evaluate import texts_for

    columns, read_options = texts_for(
        model, names[0], source=options.source, options=options.read_options()
    )
    return CorpusFiles(tuple(names), columns, read_options)


def read_input(prompt: str, *, encoding: str = "utf-8") -> Iterator[str]:
    """Lines of standard input; at a terminal, lines typed at a prompt.

    Raises:
        DataError: bytes that are not text in this encoding.
    """
    if sys.stdin.isatty():
        yield from _typed(prompt)
        return
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
    """Write UTF-8 whatever the locale, as input is read; a terminal keeps its own encoding."""
    if not sys.stdout.isatty() and isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")


class NoteReport:
    """Notes on answers, on standard error: the first ones with their number, the others counted.

    Args:
        unit: what is numbered, such as `"line"`.
    """

    def __init__(self, unit: str) -> None:
        self._unit = unit
        self._answers = self._notes = 0

    def add(self, note: str) -> None:
        """Report on the next answer; an empty note is none."""
        self._answers += 1
        self._notes += bool(note)
        if note and self._notes <= MOST_NOTES:
            print_error(f"regard: {self._unit} {self._answers}: {note}", "yellow")

    def finish(self) -> None:
        """Report how many notes were left out."""
        more = self._notes - MOST_NOTES
        if more > 0:
            print_error(f"regard: and {more:,} more {self._unit}s with such notes", "yellow")
