"""`regard generate`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any

import typer

from regard.cli.engines import EngineChoice, StateFile
from regard.cli.options import TextOptions
from regard.cli.shared import (
    DecodingValues,
    JsonLines,
    ModelFolder,
    PrecisionName,
    load_for,
    read_input,
    read_settings,
)
from regard.cli.tables import OutTable, answer_files, answer_texts, check_out
from regard.errors import InputError

if TYPE_CHECKING:
    from regard.api.tasks.answers import Continuation
    from regard.api.tasks.generation import Generator
    from regard.decoding import DecodingSettings

__all__ = ["generate"]


@dataclass(frozen=True)
class _Generate:
    """How texts are continued."""

    settings: DecodingSettings
    json: bool

    def answer(self, model: Generator, texts: list[str]) -> list[Continuation]:
        return model.generate(texts, settings=self.settings)

    def line(self, answer: Continuation) -> str:
        from regard.cli.formats import continuation_lines

        return continuation_lines(answer, json=self.json)

    def columns(self, model: Generator, answer: Continuation) -> dict[str, Any]:
        from regard.cli.formats import text_columns

        return text_columns("continuation", answer, n_best=self.settings.n_best)


def generate(
    model: ModelFolder,
    prompt: Annotated[
        str | None, typer.Argument(help="Beginning of the text; without it, lines of input.")
    ] = None,
    texts: Annotated[
        list[str] | None,
        typer.Option(metavar="FILE...", help="Files with a beginning per line, or tables."),
    ] = None,
    temperature: Annotated[
        float | None, typer.Option(help="Below 1 plays safe, above 1 is bold.")
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="Draw from the k most probable tokens.")] = None,
    top_p: Annotated[
        float | None, typer.Option(help="Draw from the most probable tokens with this mass.")
    ] = None,
    length: Annotated[int | None, typer.Option(help="New tokens at most.")] = None,
    count: Annotated[int, typer.Option(min=1, help="Continuations of each beginning.")] = 1,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same text.")] = 0,
    set_: DecodingValues = None,
    json: JsonLines = False,
    precision: PrecisionName = "float32",
    out: OutTable = None,
    engine: EngineChoice = None,
    state: StateFile = None,
    *,
    reading: TextOptions,
) -> None:
    """Continue a text.

    [bold]Examples[/bold]

    regard generate runs/book "It was a dark and"

    regard generate runs/book "It was" --temperature 0.7 --top-k 40 --count 5

    regard generate runs/book --texts beginnings.jsonl --out continued.jsonl
    """
    from regard.api.tasks.generation import Generator
    from regard.data.inputs import Input

    check_out(out, json=json)
    if prompt is not None and texts:
        raise InputError("a beginning and --texts are both given; leave one out")
    generator = load_for(Generator, model, precision)
    options = {
        "temperature": temperature,
        "top_k": top_k,
        "top_p": top_p,
        "max_length": length,
        "n_best": count,
        "seed": seed,
    }
    values = {name: value for name, value in options.items() if value is not None}
    settings = generator.decoding_settings({**values, **read_settings(None, set_)})
    answering = _Generate(settings, json)
    if texts:
        answer_files(
            generator,
            texts,
            answering,
            options=reading,
            prompt="Type a beginning.",
            out=out,
            engine=engine,
            state=state,
        )
        return
    typed = prompt is None and sys.stdin.isatty()
    lines = (
        read_input("Type a beginning.", encoding=reading.encoding or "utf-8")
        if prompt is None
        else iter([prompt])
    )
    inputs = (Input(line, {"text": line}) for line in lines)
    answer_texts(generator, inputs, answering, out=out, engine=engine, state=state, typed=typed)
