"""`regard evaluate`."""

from __future__ import annotations

import typer

from regard.cli.engines import EngineChoice, open_watched_engine
from regard.cli.options import DataOptions
from regard.cli.shared import (
    DecodingValues,
    ModelFolder,
    OneJson,
    PrecisionName,
    TestFiles,
    read_settings,
    write_utf8,
)

__all__ = ["evaluate"]


def evaluate(
    model: ModelFolder,
    test: TestFiles,
    set_: DecodingValues = None,
    json: OneJson = False,
    engine: EngineChoice = None,
    precision: PrecisionName = "float32",
    *,
    reading: DataOptions,
) -> None:
    """Score a model beside an honest simple baseline, with bootstrap intervals.

    [bold]Examples[/bold]

    regard evaluate runs/de-en --test test.de test.en

    regard evaluate runs/mood --test test.tsv --json
    """
    import regard
    from regard.api.evaluate import evaluate as run
    from regard.api.evaluate import reader_with

    loaded = regard.load(model, precision=precision)
    settings = loaded.decoding_settings(read_settings(None, set_)) if set_ else None
    reader = reader_with(loaded, **reading.reader_arguments(), data=[*test])
    with open_watched_engine(engine) as workers:
        found = run(
            loaded,
            [*test],
            columns=reader.columns,
            read_options=reader.options,
            settings=settings,
            engine=workers,
        )
    write_utf8()
    typer.echo(found.to_json() if json else str(found))
