"""`regard train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regard.choices import OverLong, Preset, RareLabels, TableFormat, Task
from regard.cli.shared import read_settings

if TYPE_CHECKING:
    from regard.data import Labelled, Pairs

__all__ = ["train"]


def train(
    task: Annotated[Task, typer.Argument(help="What the model is for.")],
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
    preset: Annotated[Preset, typer.Option(help="Size of the model.")] = "small",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="One setting; may be repeated."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file with settings.")] = None,
    source: Annotated[str | None, typer.Option(help="Column of the source or text.")] = None,
    target: Annotated[str | None, typer.Option(help="Column of the target or label.")] = None,
    label_separator: Annotated[
        str | None, typer.Option(help="Separator of several labels of one text.")
    ] = None,
    rare_labels: Annotated[
        RareLabels, typer.Option(help="Treatment of labels seen only once in training.")
    ] = "error",
    separator: Annotated[
        str | None, typer.Option(help="Separator of the columns of lines of text.")
    ] = None,
    encoding: Annotated[str, typer.Option(help="Encoding of text files.")] = "utf-8",
    format_: Annotated[
        TableFormat | None,
        typer.Option("--format", help="Format of tables [dim](default: by their ending)[/dim]."),
    ] = None,
    max_characters: Annotated[
        int | None, typer.Option(help="Longest text that is taken as it is.")
    ] = None,
    over_long: Annotated[
        OverLong, typer.Option(help="Treatment of longer ones; they are counted.")
    ] = "skip",
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
    from regard.cli.progress import TrainingBar
    from regard.data import ReadOptions

    with TrainingBar() as bar:
        regard.train(
            task,
            train=[*train],
            valid=[*valid] if valid else None,
            out=out,
            model=model,
            preset=preset,
            settings=read_settings(config, set_),
            columns=_columns(task, source, target, label_separator, rare_labels),
            read_options=ReadOptions(
                encoding=encoding,
                format=format_,
                separator=separator,
                max_characters=max_characters,
                over_long=over_long,
            ),
            resume=resume,
            overwrite=overwrite,
            callback=bar,
        )


def _columns(
    task: Task, source: str | None, target: str | None, separator: str | None, rare: RareLabels
) -> Labelled | Pairs:
    """Columns of a task's tables."""
    from regard.data import Labelled, Pairs

    if task == "classification":
        return Labelled(text=source, label=target, separator=separator, rare=rare)
    return Pairs(source=source, target=target)
