"""`regard train`."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from regard.cli.shared import settings_of

__all__ = ["train"]


class TaskName(StrEnum):
    """What a model is for."""

    translation = "translation"
    classification = "classification"
    summarization = "summarization"
    language = "language"


class Preset(StrEnum):
    """Sizes of models."""

    tiny = "tiny"
    small = "small"
    base = "base"


class Format(StrEnum):
    """Formats of tables."""

    tsv = "tsv"
    csv = "csv"
    jsonl = "jsonl"
    parquet = "parquet"


class OverLong(StrEnum):
    """What happens to texts that are too long."""

    skip = "skip"
    cut = "cut"


class Rare(StrEnum):
    """What happens to labels seen only once."""

    error = "error"
    skip = "skip"
    keep = "keep"


def train(
    task: Annotated[TaskName, typer.Argument(help="What the model is for.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    train: Annotated[
        list[Path],
        typer.Option(help="Files to learn from. Translation: source and target by turns."),
    ],
    valid: Annotated[
        list[Path] | None,
        typer.Option(help="Files that choose the best weights [dim](default: held out)[/dim]."),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(help="Kind of model, such as transformer, rnn, bigru, cnn, pointer."),
    ] = None,
    preset: Annotated[Preset, typer.Option(help="Size of the model.")] = Preset.small,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="One setting; may be repeated."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file with settings.")] = None,
    source: Annotated[str | None, typer.Option(help="Column of the source or text.")] = None,
    target: Annotated[str | None, typer.Option(help="Column of the target or label.")] = None,
    label_separator: Annotated[
        str | None, typer.Option(help="What stands between several labels of one text.")
    ] = None,
    rare_labels: Annotated[
        Rare, typer.Option(help="What happens to labels seen only once in training.")
    ] = Rare.error,
    separator: Annotated[
        str | None, typer.Option(help="What separates the columns of lines of text.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of text files.")] = "utf-8",
    format_: Annotated[
        Format | None,
        typer.Option("--format", help="Format of tables [dim](default: by their ending)[/dim]."),
    ] = None,
    max_characters: Annotated[
        int | None, typer.Option(help="Longest text that is taken as it is.")
    ] = None,
    over_long: Annotated[
        OverLong, typer.Option(help="What happens to longer ones; they are counted.")
    ] = OverLong.skip,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model in the folder.")
    ] = False,
) -> None:
    """Train a model on your own text.

    [bold]Examples[/bold]

    regard train translation --train train.de train.en --valid val.de val.en --out runs/de-en

    regard train classification --train reviews.tsv --out runs/mood

    regard train summarization --train papers.jsonl --source source --target target --out runs/short

    regard train language --train book.txt --out runs/book --preset tiny --set epochs=3
    """
    import regard
    from regard.api.columns import columns_of
    from regard.cli.progress import TrainingBar
    from regard.data import ReadOptions

    with TrainingBar() as bar:
        regard.train(
            task.value,
            train=[*train],
            valid=[*valid] if valid else None,
            out=out,
            model=model,
            preset=preset.value,
            settings=settings_of(config, set_ or []),
            columns=columns_of(task.value, source, target, label_separator, rare=rare_labels.value),
            read_options=ReadOptions(
                encoding=encoding,
                format=format_.value if format_ else None,
                separator=separator,
                max_characters=max_characters,
                over_long=over_long.value,
            ),
            resume=resume,
            overwrite=overwrite,
            callback=bar,
        )
