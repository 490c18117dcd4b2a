"""`regard compare`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.engines import EngineChoice, StateFile, open_engine
from regard.cli.options import TextOptions
from regard.cli.reports import ReportFile, write_report
from regard.cli.shared import CorpusFileNames, OneJson, corpus_files

__all__ = ["compare"]


def compare(
    first: Annotated[Path, typer.Argument(help="Folder of a model.")],
    second: Annotated[Path, typer.Argument(help="Folder of another one.")],
    texts: CorpusFileNames,
    floor: Annotated[
        Path | None,
        typer.Option(help="Another seed of the first: what differs without a reason."),
    ] = None,
    out: ReportFile = None,
    state: StateFile = None,
    engine: EngineChoice = None,
    json: OneJson = False,
    *,
    reading: TextOptions,
) -> None:
    """Measure how differently two models attend to the same texts, head by head.

    Jensen-Shannon distance, agreement of the strongest key and of the answers, with intervals; with --floor
    beside what two seeds of one model differ, so that a difference is news or noise.

    [bold]Examples[/bold]

    regard compare ./bert-a ./bert-b --texts test.txt

    regard compare runs/tuned runs/base --floor runs/base-seed-2 --texts test.txt --out compare.html
    """
    import regard
    from regard.api.corpus.report_files import check_ending
    from regard.api.corpus.texts import text_count
    from regard.api.progress import TextsBar

    if out is not None:
        check_ending(out)
    models = [regard.load(first), regard.load(second)]
    files = corpus_files(models[0], texts, reading)
    with open_engine(engine) as workers, TextsBar(lambda: text_count(files)) as bar:
        found = regard.compare(
            models[0],
            models[1],
            files,
            floor=floor,
            state=state,
            on_progress=bar.on_texts,
            engine=workers,
        )
    write_report(found, out, json=json)
