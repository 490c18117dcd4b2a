"""`regard heads`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.engines import EngineChoice, StateFile, open_engine
from regard.cli.options import TextOptions
from regard.cli.reports import ReportFile, write_report
from regard.cli.shared import CorpusFileNames, ModelFolder, OneJson, corpus_files

__all__ = ["heads"]


def heads(
    model: ModelFolder,
    texts: CorpusFileNames,
    links: Annotated[
        Path | None,
        typer.Option(help="Word links, a line for each text: i-j, words counted from 0."),
    ] = None,
    out: ReportFile = None,
    state: StateFile = None,
    engine: EngineChoice = None,
    json: OneJson = False,
    *,
    reading: TextOptions,
) -> None:
    """Measure what each attention head does over many texts, with intervals.

    Entropy, distance, and the share of attention on the first token and separators, the previous, same and next
    token, the same word elsewhere, what followed it, and punctuation; and the kind of head that follows.

    [bold]Examples[/bold]

    regard heads ./gpt-folder --texts corpus.txt

    regard heads runs/de-en --texts test.de test.en --links test.links --out heads.html

    regard heads ./bert-folder --texts corpus.txt --state heads.state --out heads.parquet
    """
    import regard
    from regard.api.corpus.report_files import check_ending
    from regard.api.corpus.texts import text_count
    from regard.api.progress import TextsBar

    if out is not None:
        check_ending(out)
    loaded = regard.load(model)
    files = corpus_files(loaded, texts, reading)
    with open_engine(engine) as workers, TextsBar(lambda: text_count(files)) as bar:
        report = regard.heads(
            loaded, files, links=links, state=state, on_progress=bar.on_texts, engine=workers
        )
    write_report(report, out, json=json)
