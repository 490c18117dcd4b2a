"""Sentences per second that each classifier labels, one at a time, in process, on one core.

Claim: at least 3,000 by the default classifier, `wide`. Each text goes in as a string and comes out as a label
with its probabilities. The networks are untrained, which changes nothing about their speed.
"""

from __future__ import annotations

import argparse
import time

import torch

import regard
from benchmarks.results import DATA, machine, write_json
from regard.api import Classifier
from regard.data import Example, ReadOptions, read_table

KINDS = ("wide", "feedforward", "cnn", "bigru", "transformer-classifier", "hierarchical")


def sentences_per_second(kind: str, examples: list[Example], texts: list[str]) -> float:
    """Return the speed of the fastest of five rounds over the texts."""
    model = regard.train(
        "classification", train=examples, valid=examples[:10], model=kind, settings={"steps": 1}
    )
    assert isinstance(model, Classifier)
    rounds = []
    for _ in range(5):
        start = time.perf_counter()
        for text in texts:
            model.classify(text)
        rounds.append(len(texts) / (time.perf_counter() - start))
    return max(rounds)


def main() -> None:
    """Measure every kind of classifier and write the speeds."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only the default classifier")
    options = parser.parse_args()
    torch.set_num_threads(1)
    files = sorted((DATA / "sentiment-sentences").glob("*_labelled.txt"))
    examples = list(read_table(files, options=ReadOptions(format="tsv")))
    texts = [example.text for example in examples[::10]]
    kinds = KINDS[: 1 if options.quick else None]
    speeds = {kind: sentences_per_second(kind, examples, texts) for kind in kinds}
    for kind, speed in speeds.items():
        print(f"{kind:24} {speed:8,.0f} sentences a second", flush=True)
    write_json("classify_speed", {"machine": machine(), "sentences_per_second": speeds})


if __name__ == "__main__":
    main()
