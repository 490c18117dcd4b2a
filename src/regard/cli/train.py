"""`regard train`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from regard.choices import Preset, RareLabels, Task, Tune
from regard.cli.options import DataOptions
from regard.cli.shared import read_settings

if TYPE_CHECKING:
    from regard.api.examples import Tables

__all__ = ["train"]


def train(
    task: Annotated[Task, typer.Argument(help="What the model is for.")],
    out: Annotated[Path, typer.Option(help="Folder for the model.")],
    train: Annotated[
        list[str],
        typer.Option(
            metavar="FILE...",
            help="Files to learn from; - for input. Parallel text: source and target by turns.",
        ),
    ],
    valid: Annotated[
        list[str] | None,
        typer.Option(
            metavar="FILE...",
            help="Files that choose the best weights [dim](default: held out)[/dim].",
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            help="Kind of model, such as transformer, rnn, bigru, cnn, pointer; or a pretrained one: "
            "a folder of save_pretrained, or hf:OWNER/NAME."
        ),
    ] = None,
    tune: Annotated[
        Tune | None,
        typer.Option(
            help="What is trained of a pretrained model: its head alone (frozen, seconds), all of it, "
            "or low-rank changes (lora) [dim](default: frozen in classification, else full)[/dim]."
        ),
    ] = None,
    preset: Annotated[Preset, typer.Option(help="Size of the model.")] = "small",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="One setting; may be repeated."),
    ] = None,
    config: Annotated[Path | None, typer.Option(help="TOML or YAML file with settings.")] = None,
    rare_labels: Annotated[
        RareLabels, typer.Option(help="Treatment of labels seen only once in training.")
    ] = "error",
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted run.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model in the folder.")
    ] = False,
    *,
    reading: DataOptions,
) -> None:
    """Train a model on your own text.

    [bold]Examples[/bold]

    regard train translation --train train.de train.en --valid val.de val.en --out runs/de-en

    regard train classification --train reviews.tsv --out runs/mood

    regard train classification --train reviews.tsv --model ./minilm-folder --out runs/mood

    regard train summarization --train papers.jsonl --source source --target target --out runs/short

    regard train language --train book.txt --out runs/book --preset tiny --set epochs=3
    """
    import regard
    from regard.api.progress import TrainingBar
    from regard.data import ReadOptions

    with TrainingBar() as bar:
        regard.train(
            task,
            train=[*train],
            valid=[*valid] if valid else None,
            out=out,
            model=model,
            tune=tune,
            preset=preset,
            settings=read_settings(config, set_),
            columns=_columns(task, reading, rare_labels),
            read_options=ReadOptions(**reading.read_options()),
            resume=resume,
            overwrite=overwrite,
            callback=bar,
        )


def _columns(task: Task, reading: DataOptions, rare: RareLabels) -> Tables:
    """Columns of a task's tables."""
    from regard.data import Labelled, Pairs, Texts

    if task == "classification":
        separator = reading.label_separator
        return Labelled(reading.source, reading.target, separator=separator, rare=rare)
    if task == "language":
        return Texts(reading.source)
    return Pairs(reading.source, reading.target)
