"""Shared parts of the commands that report on a corpus: `heads` and `compare`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regard.cli.shared import write_utf8

if TYPE_CHECKING:
    from regard.api.corpus.comparison import ModelComparison
    from regard.api.corpus.head_report import HeadReport

__all__ = ["ReportFile", "write_report"]

ReportFile = Annotated[
    Path | None,
    typer.Option(
        help="Write the page (.html), or a row for each head (.csv, .tsv, .jsonl, .parquet, .json)."
    ),
]


def write_report(report: HeadReport | ModelComparison, out: Path | None, *, json: bool) -> None:
    """Write a report to a file, as JSON, or to the terminal."""
    write_utf8()
    if out is not None:
        typer.echo(report.save(out), err=True)
    if json:
        typer.echo(report.to_json())
    elif out is None:
        report.show()
