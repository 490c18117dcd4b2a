"""Translation from a random start: Multi30k de-en and EuTrans es-en.

Reads the data sets from the folder in REGARD_DATA (default: ../shared/data). The validation part decides which
epoch's weights are kept; the test part is read once, after training.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regard
from benchmarks.results import DATA, ROOT, Result, save_results
from regard.data import read_parallel
from regard.training import Callback


@dataclass(frozen=True)
class Task:
    """Files, model and settings of one result, and the score that others report."""

    title: str
    train: tuple[str, str]
    valid: tuple[str, str]
    test: tuple[str, str]
    model: str
    settings: dict[str, Any]
    peers: str
    minutes: float


def _files(folder: str, name: str, languages: str) -> tuple[str, str]:
    source, target = languages.split("-")
    return f"{folder}/{name}.{source}", f"{folder}/{name}.{target}"


def _multi30k(model: str, peers: str, **settings: Any) -> Task:
    folder = "multi30k-de-en"
    names = ("train", "val", "test_2016_flickr")
    train, valid, test = (_files(folder, name, "de-en") for name in names)
    return Task("Multi30k de-en, cased", train, valid, test, model, settings, peers, 90)


def _eutrans(model: str, **settings: Any) -> Task:
    names = ("train", "dev", "test")
    train, valid, test = (_files("eutrans-es-en", name, "es-en") for name in names)
    return Task("EuTrans es-en", train, valid, test, model, settings, "about 95", 10)


TASKS = {
    "multi30k-transformer": _multi30k(
        "transformer",
        "JoeyNMT 35.06",
        vocabulary=6000,
        feedforward=1024,
        batch_tokens=2048,
        schedule="cosine",
        warmup=800,
        epochs=24,
        patience=0,
    ),
    "multi30k-rnn": _multi30k(
        "rnn",
        "JoeyNMT 16.66, tutorial RNN 28 to 33",
        joint=True,
        vocabulary=6000,
        width=512,
        dropout=0.4,
        word_dropout=0.1,
        batch_tokens=2048,
        epochs=24,
        patience=0,
    ),
    "eutrans-transformer": _eutrans(
        "transformer",
        vocabulary=3000,
        batch_tokens=1024,
        schedule="cosine",
        warmup=150,
        epochs=14,
        ema=0.995,
        dropout=0.1,
        patience=0,
    ),
    "eutrans-rnn": _eutrans("rnn"),
}


def measure(task: Task, out: Path, seed: int) -> Result:
    """Train, then translate the test part once."""
    start = time.monotonic()
    model = regard.train(
        "translation",
        train=[DATA / name for name in task.train],
        valid=[DATA / name for name in task.valid],
        out=out,
        model=task.model,
        settings={**task.settings, "seed": seed, "minutes": task.minutes},
        overwrite=True,
        callback=Printed(),
    )
    minutes = (time.monotonic() - start) / 60
    test = read_parallel([DATA / task.test[0]], [DATA / task.test[1]])
    result = model.evaluate(test)
    bleu = result.scores[0]
    assert bleu.interval is not None
    copied = result.baselines["copy of the source"][0]
    return Result(
        data=f"{task.title}, {len(test):,} test sentences",
        system=f"{task.model}, {sum(p.numel() for p in model.network.parameters()) / 1e6:.1f} M",
        score=f"{bleu.value:.2f} BLEU",
        spread=f"{bleu.interval[0]:.1f} to {bleu.interval[1]:.1f} (95 %, bootstrap)",
        baseline=f"copying the source {copied.value:.2f}",
        peers=task.peers,
        seeds=str(seed),
        minutes=minutes,
        note=f"sacreBLEU `{bleu.signature}`, beam {model.settings.decoding.beam}.",
    )


class Printed(Callback):
    """A line per validation, with the minutes since the start."""

    def __init__(self) -> None:
        self._start = time.monotonic()

    def on_message(self, message: str) -> None:
        """Print it."""
        print(message, flush=True)

    def on_validation_end(self, numbers: dict[str, float], *, best: bool) -> None:
        """Print the numbers, a star where they are the best so far."""
        figures = " ".join(f"{name} {value:.3f}" for name, value in numbers.items())
        minutes = (time.monotonic() - self._start) / 60
        print(f"{minutes:5.1f} min  {figures}{'  *' if best else ''}", flush=True)


def main() -> None:
    """Train the named systems and save their results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("tasks", nargs="+", choices=TASKS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--out", type=Path, default=ROOT / "runs")
    options = parser.parse_args()
    for name in options.tasks:
        save_results(name, [measure(TASKS[name], options.out / name, options.seed)])


if __name__ == "__main__":
    main()
