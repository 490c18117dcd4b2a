"""Files of texts in, lines or a table out: what the verbs that answer texts share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from regard.choices import EngineName
from regard.cli.engines import open_engine
from regard.cli.options import TextOptions
from regard.cli.shared import NoteReport, read_input, write_utf8
from regard.errors import InputError

if TYPE_CHECKING:
    from regard.api.corpus.answer_log import AnswerLog
    from regard.api.corpus.answering import Answering, AnswerSettings, Written
    from regard.api.corpus.texts import CorpusFiles
    from regard.api.progress import TextsBar
    from regard.api.tasks.answers import Answer
    from regard.api.tasks.model import Model
    from regard.data.inputs import Input

__all__ = ["OutTable", "answer_files", "answer_texts", "check_out"]

OutTable = Annotated[
    Path | None,
    typer.Option(
        help="Write a table instead: .csv, .tsv, .jsonl or .parquet, the columns of the input kept."
    ),
]

M = TypeVar("M", bound="Model")
A = TypeVar("A", bound="Answer")
Batches = Iterator[tuple["Sequence[Input]", "Sequence[Written]"]]


def answer_files(
    model: M,
    files: list[str] | None,
    answering: Answering[M, A],
    *,
    options: TextOptions,
    prompt: str,
    out: Path | None,
    engine: EngineName | None,
    state: Path | None,
) -> None:
    """Answer each text of some files: with a line on standard output, or with new columns of its row.

    Args:
        model: whose training says which column of a table holds the texts.
        files: lines of text or tables; `None` is standard input.
        answering: how to answer them.
        options: how to read.
        prompt: shown at a terminal where texts are typed.
        out: the table to write; `None` writes lines.
        engine: who answers; `None` is this process.
        state: log of the answers, from which an interrupted run goes on.
    """
    from regard.api.corpus.texts import text_count
    from regard.data.inputs import Input, read_inputs

    if not files and sys.stdin.isatty():
        typed = (Input(text, {"text": text}) for text in read_input(prompt))
        answer_texts(model, typed, answering, out=out, engine=engine, state=state, typed=True)
        return
    read = [_reading(model, file, options) for file in files or ["-"]]
    inputs = (
        each
        for file in read
        for each in read_inputs(
            sys.stdin.buffer if file.names[0] == "-" else file.names[0], file.columns, file.options
        )
    )

    def count() -> int | None:
        counts = [text_count(file) for file in read]
        return None if None in counts else sum(filter(None, counts))

    answer_texts(model, inputs, answering, out=out, engine=engine, state=state, count=count)


def _reading(model: Model, file: str, options: TextOptions) -> CorpusFiles:
    """A file, and how it is read."""
    from regard.api.corpus.texts import CorpusFiles
    from regard.api.evaluate import texts_for

    columns, read_options = texts_for(
        model, file, source=options.source, options=options.read_options()
    )
    return CorpusFiles((file,), columns, read_options)


def answer_texts(
    model: M,
    inputs: Iterator[Input],
    answering: Answering[M, A],
    *,
    out: Path | None,
    engine: EngineName | None,
    state: Path | None,
    count: Callable[[], int | None] = lambda: None,
    typed: bool = False,
) -> None:
    """Answer some texts: see `answer_files`.

    Args:
        model: the model.
        inputs: read as they are needed.
        answering: how to answer them.
        out: the table to write.
        engine: who answers.
        state: log of the answers.
        count: number of all texts, for the time that is left.
        typed: whether somebody types them, and waits for each answer.

    Raises:
        InputError: an engine, or a log, for texts that are typed.
    """
    from regard.api.corpus.answering import LINES_PER_BATCH, AnswerSettings, answer_inputs
    from regard.api.progress import TextsBar

    if typed and (engine or state):
        raise InputError("--engine and --state are for files; name one, or pipe lines in")
    settings = AnswerSettings(answering, table=out is not None)
    with ExitStack() as stack:
        workers = stack.enter_context(open_engine(engine))
        log = stack.enter_context(_open_log(model, settings, state))
        bar = stack.enter_context(TextsBar(count, quiet=out is None and sys.stdout.isatty()))
        batches = answer_inputs(
            model,
            inputs,
            settings,
            engine=workers,
            log=log,
            size=1 if typed else LINES_PER_BATCH,
        )
        with _saved_in(state):
            if out is None:
                _write_lines(batches, bar)
            else:
                _write_table(batches, bar, out)


def _open_log(
    model: M, settings: AnswerSettings[M, A], path: Path | None
) -> AbstractContextManager[AnswerLog | None]:
    if path is None:
        return nullcontext(None)
    from regard.api.corpus.answer_log import AnswerLog
    from regard.api.corpus.answering import log_settings
    from regard.api.corpus.fingerprint import hash_of_network

    network = hash_of_network(model.network)
    return AnswerLog(path, log_settings(network, settings, model.precision))


@contextmanager
def _saved_in(state: Path | None) -> Iterator[None]:
    """Context in which Ctrl-C says where a run with a log goes on."""
    from regard.training.interrupt import Interrupted

    try:
        yield
    except KeyboardInterrupt:
        if state is None:
            raise
        raise Interrupted(state, signal.SIGINT) from None


def _write_lines(batches: Batches, bar: TextsBar) -> None:
    """Write a line, or some, for each text."""
    write_utf8()
    notes, done = NoteReport("line"), 0
    for _, written in batches:
        for each in written:
            sys.stdout.write(each.line + "\n")
            notes.add(each.note)
        sys.stdout.flush()
        done += len(written)
        bar.on_texts(done)
    notes.finish()


def _write_table(batches: Batches, bar: TextsBar, out: Path) -> None:
    """Write a table: the row of each text with new columns."""
    from regard.data.write import free_name, table_writer

    notes, done = NoteReport("row"), 0
    with table_writer(out) as write:
        for inputs, written in batches:
            for each, answer in zip(inputs, written, strict=True):
                new = {free_name(name, each.row): v for name, v in answer.columns.items()}
                write({**each.row, **new})
                notes.add(answer.note)
            done += len(written)
            bar.on_texts(done)
    notes.finish()
    typer.echo(f"{done:,} rows in {out}", err=True)


def check_out(out: Path | None, *, json: bool) -> None:
    """Refuse two forms of output at once.

    Raises:
        InputError: a table and JSON lines are both asked for.
    """
    if out is not None and json:
        raise InputError("--out writes a table and --json writes lines; choose one")
