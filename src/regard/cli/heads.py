"""`regard heads`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from regard.cli.options import TextOptions
from regard.cli.shared import CorpusFileNames, ModelFolder, corpus_files, write_utf8

__all__ = ["heads"]


def heads(
    model: ModelFolder,
    texts: CorpusFileNames,
    links: Annotated[
        Path | None,
        typer.Option(help="Word links, a line for each text: i-j, words counted from 0."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Write the page (.html), or a row for each head (.csv, .tsv, .jsonl, .parquet, .json)."
        ),
    ] = None,
    state: Annotated[
        Path | None,
        typer.Option(help="File that keeps the state: an interrupted run goes on from it."),
    ] = None,
    json: Annotated[bool, typer.Option("--json", help="One JSON object.")] = False,
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
    with TextsBar(lambda: text_count(files)) as bar:
        report = regard.heads(loaded, files, links=links, state=state, on_progress=bar.on_texts)
    write_utf8()
    if out is not None:
        typer.echo(report.save(out), err=True)
    if json:
        typer.echo(report.to_json())
    elif out is None:
        report.show()
