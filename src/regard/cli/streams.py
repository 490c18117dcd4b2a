"""Standard streams and arguments as processes get them: closed, full, read by nobody, in an odd encoding."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import TextIOWrapper

import typer

__all__ = ["abandon_output", "as_text", "open_streams", "reported_output"]


def open_streams() -> None:
    """Replace standard streams that our parent closed, and let the others write every character somehow."""
    sys.stdin = sys.stdin or open(os.devnull)  # noqa: SIM115 - as long as the process
    sys.stdout = sys.stdout or open(os.devnull, "w")  # noqa: SIM115
    sys.stderr = sys.stderr or open(os.devnull, "w")  # noqa: SIM115
    if os.environ.get("COLUMNS", "").strip("0") == "":
        os.environ.pop("COLUMNS", None)  # a width of 0 is not known; rich would print nothing
    for stream in (sys.stdout, sys.stderr):
        # A name or an example that ASCII does not know is no reason to fail. Answers are written as UTF-8.
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")


def as_text(argument: str | None) -> str | None:
    """An argument that is a text, read as UTF-8 whatever the locale; names of files stay as they came.

    Raises:
        BadParameter: it is not UTF-8.
    """
    if argument is None or not any("\udc80" <= character <= "\udcff" for character in argument):
        return argument
    content = os.fsencode(
        argument
    )  # Python keeps bytes that the locale does not know as surrogates
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError as error:
        raise typer.BadParameter(
            f"byte 0x{content[error.start]:02x} at offset {error.start} is not UTF-8; give the text "
            "in a file, with --encoding, where the command reads files"
        ) from None


def abandon_output() -> None:
    """Drop buffered output that cannot be written, so that it is not tried again at exit."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (OSError, ValueError):
            with suppress(OSError, ValueError):  # without a descriptor nothing is written at exit
                os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


@contextmanager
def reported_output() -> Iterator[None]:
    """Context of a whole command: output that nobody reads ends it with 0, a full disk with a message and 1."""
    open_streams()
    try:
        try:
            yield
        finally:
            sys.stdout.flush()
    except BrokenPipeError:  # its reader has seen enough (`| head`)
        abandon_output()
        raise SystemExit(0) from None
    except OSError as error:
        with suppress(OSError):
            print(f"regard: {error}", file=sys.stderr, flush=True)
        abandon_output()
        raise SystemExit(1) from None
    except SystemExit as end:
        abandon_output()
        # rich and click end a process of their own accord, with 1, where nobody reads.
        if isinstance(end.__context__, BrokenPipeError):
            raise SystemExit(0) from None
        raise
