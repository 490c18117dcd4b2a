"""How many sentences a second each classifier labels, one at a time, in process, on one core.

Claim: at least 2,000. Each text goes in as a string and comes out as a label with its probabilities; the
networks are untrained, which changes nothing about their speed.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import torch

import regard
from benchmarks.results import KEPT, ROOT, machine
from regard.data import Example, ReadOptions, read_table

DATA = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data"))
KINDS = ("wide", "feedforward", "cnn", "bigru", "transformer-classifier")


def per_second(kind: str, examples: list[Example], texts: list[str]) -> float:
    """The fastest of five rounds over the texts."""
    model = regard.train(
        "classification", train=examples, valid=examples[:10], model=kind, settings={"steps": 1}
    )
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for text in texts:
            model.classify(text)
        rounds.append(len(texts) / (time.perf_counter() - start))
    return max(rounds)


def main() -> None:
    """Time every kind and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the default classifier")
    given = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted((DATA / "sentiment-sentences").glob("*_labelled.txt"))
    examples = list(read_table(files, options=ReadOptions(format="tsv")))
    texts = [example.text for example in examples[::10]]
    found = {
        kind: per_second(kind, examples, texts) for kind in KINDS[: 1 if given.quick else None]
    }
    for kind, speed in found.items():
        print(f"{kind:24} {speed:8,.0f} sentences a second", flush=True)
    KEPT.mkdir(exist_ok=True)
    content = {"machine": machine(), "sentences_per_second": found}
    (KEPT / "classify_speed.json").write_text(
        json.dumps(content, indent=1) + "\n", encoding="utf-8"
    )


if __name__ == "__main__":
    main()
