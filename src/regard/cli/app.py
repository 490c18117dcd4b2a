"""The command `regard` and its verbs."""

from __future__ import annotations

import atexit
import gc
from collections.abc import Callable

import typer

from regard.cli.check import check
from regard.cli.classify import classify
from regard.cli.compare import compare
from regard.cli.data import data
from regard.cli.demo import demo
from regard.cli.evaluate import evaluate
from regard.cli.export import export
from regard.cli.generate import generate
from regard.cli.heads import heads
from regard.cli.learn import learn
from regard.cli.look import look
from regard.cli.options import spread_options
from regard.cli.plot import plot
from regard.cli.push import push
from regard.cli.serve import serve
from regard.cli.shared import MultiValueCommand, report_errors
from regard.cli.show import show
from regard.cli.streams import reported_output
from regard.cli.summarize import summarize
from regard.cli.train import train
from regard.cli.translate import translate
from regard.cli.trust import trust
from regard.version import __version__

__all__ = ["app", "main"]

app: typer.Typer = typer.Typer(
    name="regard",
    help="Attention for language that you can see through.\n\nTrain, use and look at models.",
    epilog="Begin with: regard demo",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"regard {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Print the version."
    ),
) -> None:
    pass


def _add(*verbs: Callable[..., None]) -> None:
    for verb in verbs:
        app.command(cls=MultiValueCommand)(report_errors(spread_options(verb)))


_add(
    demo,
    data,
    train,
    evaluate,
    translate,
    classify,
    summarize,
    generate,
    look,
    show,
    plot,
    heads,
    compare,
    serve,
    trust,
    check,
    export,
    push,
    learn,
)


def main() -> None:
    """Run the command line."""
    # At its end Python looks for garbage among all objects of all modules: seconds, where torch is one of them.
    atexit.register(gc.freeze)
    with reported_output():
        app(prog_name="regard")  # also as `python -m regard`
