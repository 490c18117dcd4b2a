"""Pictures of a classifier's explanation for the pages of documentation, in `docs/images`.

Trains the default classifier on four fifths of the sentiment sentences, asks `trust` with the rest, and takes
the terminal, the page and the web app with Chromium (`playwright`).

    python -m benchmarks.view_pictures
"""

from __future__ import annotations

import argparse
import io
import random
import shutil
import socket
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

from benchmarks.results import DATA, ROOT

IMAGES = ROOT / "docs" / "images"
TEXT = "I did not expect much, but this wonderful little film is great."
WIDTH = 96  # cells of the terminal


def main() -> None:
    """Train, judge, and draw every picture."""
    argparse.ArgumentParser(description=__doc__).parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = _model(Path(folder) / "sentiment")
        record = model.look(TEXT)
        page = record.save(Path(folder) / "page.html")
        terminal = Path(folder) / "terminal.svg"
        terminal.write_text(_terminal(record), encoding="utf-8")
        with Served(model.folder) as address:
            _photograph(
                {
                    "terminal-attributions.png": (terminal.as_uri(), (1180, 560), "dark"),
                    "page-attributions.png": (page.as_uri(), (1280, 800), "light"),
                    "serve-classify.png": (f"{address}/#{_query(TEXT)}", (1000, 1120), "light"),
                    "serve-classify-phone.png": (f"{address}/#{_query(TEXT)}", (390, 1290), "dark"),
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


def _query(text: str) -> str:
    from urllib.parse import urlencode

    return urlencode({"model": "sentiment", "text": text})


class Served:
    """The web app of a model on a free port, while the block runs."""

    def __init__(self, folder: Path) -> None:
        import uvicorn

        from regard.serving.app import create_app
        from regard.serving.registry import ModelRegistry

        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        app = create_app(ModelRegistry.of([folder]))
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


def _photograph(pictures: dict[str, tuple[str, tuple[int, int], Any]]) -> None:
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
            page.screenshot(path=IMAGES / name)
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
