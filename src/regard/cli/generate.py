"""`regard generate`."""

from __future__ import annotations

from typing import Annotated

import typer

from regard.cli.shared import (
    DecodingValues,
    Encoding,
    JsonLines,
    ModelFolder,
    answer_lines,
    load_for,
    read_input,
    read_settings,
)

__all__ = ["generate"]


def generate(
    model: ModelFolder,
    prompt: Annotated[
        str | None, typer.Argument(help="Beginning of the text; without it, lines of input.")
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
    encoding: Encoding = "utf-8",
) -> None:
    """Continue a text.

    [bold]Examples[/bold]

    regard generate runs/book "It was a dark and"

    regard generate runs/book "It was" --temperature 0.7 --top-k 40 --count 5
    """
    from regard.api.tasks.generation import Generator
    from regard.cli.formats import continuation_lines

    generator = load_for(Generator, model)
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
    prompts = (
        iter([prompt])
        if prompt is not None
        else read_input(None, "Type a beginning.", encoding=encoding)
    )
    answer_lines(
        prompts,
        lambda texts: generator.generate(texts, settings=settings),
        lambda answer: continuation_lines(answer, json=json),
    )
