"""`regard trust`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast

import typer

from regard.choices import FirstIndex
from regard.cli.engines import EngineChoice, open_watched_engine
from regard.cli.options import DataOptions
from regard.cli.shared import ModelFolder, OneJson, TestFiles, print_error, write_utf8

__all__ = ["trust"]


def trust(
    model: ModelFolder,
    test: TestFiles,
    gold: Annotated[
        Path | None,
        typer.Option(help="Models that write: word links, i-j (i?j: possible) or NAACL 2003."),
    ] = None,
    gold_from: Annotated[
        int | None,
        typer.Option(min=0, max=1, help="Number of the first word in --gold, if it is not clear."),
    ] = None,
    texts: Annotated[int, typer.Option(help="Models that read: largest number of texts.")] = 200,
    json: OneJson = False,
    engine: EngineChoice = None,
    *,
    reading: DataOptions,
) -> None:
    """Measure how far attention may be read as the reason for an answer.

    For models that read, tokens are erased and weights shuffled, always beside random and gradient x input;
    models that write are compared with word links that people drew. The verdict stays with the model: views
    show it.

    [bold]Examples[/bold]

    regard trust runs/mood --test test.tsv

    regard trust runs/de-en --test test.de test.en --gold test.links
    """
    import warnings
    from dataclasses import asdict
    from json import dumps

    import regard
    from regard.api.evaluate import reader_with
    from regard.api.trust import trust as run

    loaded = regard.load(model)
    reader = reader_with(loaded, **reading.reader_arguments(), data=[*test])
    with open_watched_engine(engine) as workers, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", UserWarning)
        verdict = run(
            loaded,
            [*test],
            gold=gold,
            gold_from=cast("FirstIndex | None", gold_from),
            texts=texts,
            columns=reader.columns if reading.source or reading.target else None,
            read_options=reader.options,
            engine=workers,
        )
    write_utf8()
    typer.echo(dumps(asdict(verdict), ensure_ascii=False, indent=1) if json else str(verdict))
    for warning in caught:
        print_error(f"regard: {warning.message}", "yellow")
