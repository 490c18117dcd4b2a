"""Pictures of a translator and of a classifier for the pages of documentation, in `docs/images`.

Trains the default classifier on four fifths of the sentiment sentences and asks `trust` with the rest; takes a
translator that you trained; and photographs figures, terminal, page and web app with Chromium (`playwright`).

    cd DATA/eutrans-es-en
    regard train translation --out runs/es-en --set epochs=14 --train train.es train.en --valid dev.es dev.en
    python -m benchmarks.view_pictures --translator runs/es-en
    python -m benchmarks.view_pictures --classifier
"""

from __future__ import annotations

import argparse
import io
import json
import random
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from benchmarks.results import DATA, ROOT

IMAGES = ROOT / "docs" / "images"
TEXT = "I did not expect much, but this wonderful little film is great."
WIDTH = 96  # cells of the terminal


SOURCE = "nos hemos de marchar el jueves cinco de enero por la tarde ."
DAY = 5  # the index of "jueves" in it
"""Its order changes: "Thursday January the fifth"."""


def main() -> None:
    """Draw the pictures of the models that are named."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--translator", type=Path, metavar="FOLDER", help="a model of es-en")
    parser.add_argument("--classifier", action="store_true", help="train one, and draw it")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if given.translator:
            _translator(given.translator, Path(folder))
        if given.classifier:
            _classifier(Path(folder))


def _translator(model_folder: Path, folder: Path) -> None:
    import regard
    from regard.viewing import figure

    model: Any = regard.load(model_folder)
    answer = model.translate(SOURCE)[0]
    answer.aligned().save(IMAGES / "translation.png")
    answer.aligned().save(IMAGES / "alignment.png", view="alignment")
    record = answer.look()
    last = record.select("cross", layer=-1)
    last.save(IMAGES / "map.png")
    last.save(IMAGES / "heads.png", view="heads")
    record.save(IMAGES / "layers.png", view="layers")
    history = [json.loads(line) for line in (model_folder / "history.jsonl").open(encoding="utf-8")]
    figure.write(figure.plot_history(history, title="Spanish to English"), IMAGES / "history.png")
    page, terminal = record.save(folder / "page.html"), folder / "terminal.svg"
    terminal.write_text(_terminal(last), encoding="utf-8")
    cross = next(i for i, track in enumerate(record.tracks) if track.name == "cross")
    word = f"{page.as_uri()}#layer={cross + 2}&query=4&key={DAY}"
    name = model_folder.resolve().name
    hidden = {"model": name, "text": SOURCE, "hide.0": str(DAY)}
    again = folder / f"{name}-again"
    shutil.copytree(model_folder, again, ignore=shutil.ignore_patterns("last"))
    with Served(model_folder, again) as address:
        _photograph(
            {
                "terminal.png": (terminal.as_uri(), (1180, 620), "dark"),
                "page-overview.png": (page.as_uri(), (1280, 720), "light"),
                "page-map.png": (f"{word}&view=map&hideSpecial=true", (1280, 800), "light"),
                "page-links.png": (f"{word}&view=links", (1280, 800), "dark"),
                "page-phone.png": (f"{word}&view=map&hideSpecial=true", (390, 844), "light"),
                "serve-translate.png": (f"{address}/#{_query(SOURCE, name)}", (1000, 800), "light"),
                "serve-knockout-phone-dark.png": (
                    f"{address}/#{urlencode(hidden)}",
                    (390, 900),
                    "dark",
                ),
                "serve-compare-dark.png": (
                    f"{address}/#{urlencode([*hidden.items(), ('model', again.name)])}",
                    (1100, 720),
                    "dark",
                ),
                "serve-docs.png": (f"{address}/docs", (900, 760), "light"),
            },
            chosen="Thursday",
        )


def _classifier(folder: Path) -> None:
    model = _model(folder / "sentiment")
    record = model.look(TEXT)
    page = record.save(folder / "page.html")
    terminal = folder / "terminal.svg"
    terminal.write_text(_terminal(record), encoding="utf-8")
    with Served(model.folder) as address:
        _photograph(
            {
                "terminal-attributions.png": (terminal.as_uri(), (1180, 560), "dark"),
                "page-attributions.png": (page.as_uri(), (1280, 800), "light"),
                "serve-classify.png": (
                    f"{address}/#{_query(TEXT, 'sentiment')}",
                    (1000, 1120),
                    "light",
                ),
                "serve-classify-phone.png": (
                    f"{address}/#{_query(TEXT, 'sentiment')}",
                    (390, 1290),
                    "dark",
                ),
            }
        )


def _model(folder: Path) -> Any:
    import regard
    from regard.api.trust import trust
    from regard.data import Example

    examples = []
    for name in ("amazon_cells", "imdb", "yelp"):
        file = DATA / "sentiment-sentences" / f"{name}_labelled.txt"
        for line in file.read_text(encoding="utf-8", errors="replace").split("\n"):
            text, _, label = line.rpartition("\t")
            if text and label in ("0", "1"):
                examples.append(Example(text, labels=(("negative", "positive")[int(label)],)))
    random.Random(0).shuffle(examples)
    parts = examples[:2400], examples[2400:2700], examples[2700:]
    model = regard.train("classification", train=parts[0], valid=parts[1], out=folder)
    trust(model, parts[2], texts=100)
    return model


def _terminal(record: Any) -> str:
    from rich.console import Console

    from regard.viewing import terminal

    options: dict[str, Any] = {"force_terminal": True, "color_system": "truecolor"}
    console = Console(record=True, width=WIDTH, file=io.StringIO(), **options)
    terminal.show(record, console=console)
    return console.export_svg(title="regard look")


def _query(text: str, model: str) -> str:
    return urlencode({"model": model, "text": text})


class Served:
    """The web app of some models on a free port, while the block runs."""

    def __init__(self, *folders: Path) -> None:
        import uvicorn

        from regard.serving.app import create_app
        from regard.serving.registry import ModelRegistry

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        app = create_app(ModelRegistry.of(folders))
        config = uvicorn.Config(app, port=self.port, log_level="warning")
        self.server = uvicorn.Server(config)
        self.thread = threading.Thread(target=self.server.run, daemon=True)

    def __enter__(self) -> str:
        self.thread.start()
        while not self.server.started:
            time.sleep(0.05)
        return f"http://127.0.0.1:{self.port}"

    def __exit__(self, *_: object) -> None:
        self.server.should_exit = True
        self.thread.join()


def _photograph(pictures: dict[str, tuple[str, tuple[int, int], Any]], *, chosen: str = "") -> None:
    """Take each picture; in the web app a word of the answer is chosen first."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=shutil.which("chromium"), args=["--no-sandbox"]
        )
        for name, (address, (width, height), theme) in pictures.items():
            page = browser.new_page(
                viewport={"width": width, "height": height},
                color_scheme=theme,
                device_scale_factor=2 if width < 600 else 1,
            )
            page.goto(address)
            page.wait_for_timeout(4000)
            if (
                chosen
                and name.startswith("serve-")
                and (word := page.get_by_text(chosen, exact=True)).count()
            ):
                word.first.click()
                page.wait_for_timeout(5000)
            page.screenshot(path=IMAGES / name)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
