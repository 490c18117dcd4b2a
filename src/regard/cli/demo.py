"""`regard demo`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

__all__ = ["demo"]


def demo(
    out: Annotated[Path, typer.Option(help="Folder for what it leaves behind.")] = Path("demo-run"),
    examples: Annotated[int, typer.Option(min=1, help="Dates to learn from.")] = 60_000,
    epochs: Annotated[int, typer.Option(min=1, help="How often each is seen.")] = 2,
    seed: Annotated[int, typer.Option(min=0, help="Same seed, same model.")] = 1,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace the model in the folder.")
    ] = False,
) -> None:
    """Train, score and look at a small attention model: about three minutes on two cores.

    It learns to read dates as people write them in forty languages and to write them as ISO dates.
    Nothing is downloaded.

    [bold]Examples[/bold]

    regard demo

    regard demo --out my-demo --seed 7
    """
    from rich.console import Console

    from regard.api.demo import demo as run
    from regard.api.progress import TrainingBar
    from regard.training import Interrupted

    console = Console(highlight=False)
    console.print("[bold]Dates in forty languages to ISO dates.[/bold] A Transformer reads them")
    console.print("letter by letter; nothing tells it what a month is.\n")
    try:
        with TrainingBar() as bar:
            shown = run(
                out, examples=examples, epochs=epochs, seed=seed, overwrite=overwrite, callback=bar
            )
    except Interrupted as stop:  # its folder is for --resume, which this verb lacks
        raise Interrupted(None, stop.signal) from None
    console.print("\n[bold]On 1,000 dates it never saw[/bold]")
    console.print(f"  formats it knows           {shown.unseen.formatted} % exactly right")
    console.print(f"  a format it never saw      {shown.unseen_format.formatted} % exactly right\n")
    for answer in shown.answers:
        console.print(f"  {answer.source}  →  {answer.text}", markup=False)
    console.print("\n[bold]Where it looked[/bold] while it wrote the first one:\n")
    shown.answers[0].aligned().show(console=console)
    console.print("\n[bold]Left behind[/bold]")
    for file in shown.files:
        console.print(f"  {file}")
    console.print("\n[bold]Try next[/bold]")
    console.print(f'  echo "12 de mayo de 2021" | regard translate {out}')
    console.print(f'  regard look {out} "Donnerstag, 3. Mai 2018"')
    console.print(f'  regard look {out} "3 mai 2018" --out map.png')
