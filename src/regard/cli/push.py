"""`regard push`."""

from __future__ import annotations

from typing import Annotated

import typer

from regard.cli.shared import ModelFolder

__all__ = ["push"]


def push(
    model: ModelFolder,
    repo: Annotated[str, typer.Argument(metavar="OWNER/NAME", help="Its name on the Hub.")],
    private: Annotated[
        bool, typer.Option("--private", help="Let nobody else see it, where it is new.")
    ] = False,
) -> None:
    """Give a model to the Hugging Face Hub, where `hf:OWNER/NAME` names it for every command.

    The token is that of HF_TOKEN or `hf auth login`. The license is yours to say: write `license: ...` into the
    first lines of README.md, here or on the Hub, where later pushes leave it.

    [bold]Examples[/bold]

    regard push runs/mood me/mood

    regard push runs/mood me/mood --private
    """
    from regard.api.load import load

    typer.echo(load(model).push_to_hub(repo, private=private))
