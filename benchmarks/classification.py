"""Classification from a random start: sentiment sentences, SST-2, TREC, movie reviews.

Reads the data sets from the folder in REGARD_DATA (default: ../shared/data). Everything but the model's name
and what `--set` says is `regard train classification` as it comes: vocabulary and n-grams are learned from the
training part, and a tenth of that (or the validation part, where the data has one) decides which epoch's
weights are kept. The test part is read once, after training.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any, NamedTuple

from sklearn.model_selection import train_test_split

import regard
from benchmarks.results import ROOT, Figure, keep
from regard.api.config.settings import named_values
from regard.api.tasks.model import Evaluation
from regard.data import Example, ReadOptions, read_table

DATA = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data"))


class Split(NamedTuple):
    """What to train on, what to choose by (`None`: a tenth of it), what to measure on."""

    train: Sequence[Example]
    valid: Sequence[Example] | None
    test: Sequence[Example]


def sentiment() -> Iterator[Split]:
    """Five stratified splits of the pooled 3,000, 80 to 20, seeds 0 to 4."""
    folder = DATA / "sentiment-sentences"
    pooled = list(
        read_table(sorted(folder.glob("*_labelled.txt")), options=ReadOptions(format="tsv"))
    )
    labels = [example.labels[0] for example in pooled]
    for seed in range(5):
        train, test = train_test_split(pooled, test_size=0.2, stratify=labels, random_state=seed)
        yield Split(train, None, test)


def sst2() -> Iterator[Split]:
    """The parts as they were published."""
    reading = ReadOptions(separator=" ")
    train, valid, test = (
        read_table(DATA / "sst2" / f"{name}.txt", options=reading)
        for name in ("train", "dev", "test")
    )
    yield Split(train, valid, test)


def trec() -> Iterator[Split]:
    """The parts as they were published; there is no validation part."""
    train = read_table(
        DATA / "trec" / "train.txt", options=ReadOptions(separator=" ", encoding="latin-1")
    )
    test = read_table(DATA / "trec" / "test.txt", options=ReadOptions(separator=" "))
    yield Split(train, None, test)


def reviews() -> Iterator[Split]:
    """Ten folds; the first of them unless more are asked for."""
    path = DATA / "movie-reviews" / "reviews.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    examples = [(Example(row["text"], labels=(str(row["label"]),)), row["fold"]) for row in rows]
    for fold in range(10):
        train = [example for example, other in examples if other != fold]
        yield Split(train, None, [example for example, other in examples if other == fold])


@dataclass(frozen=True)
class Task:
    """Rows of the page: what they are measured on, what others reach."""

    title: str
    splits: Iterator[Split]
    peers: str


TASKS = {
    "sentiment": Task(
        "Sentiment sentences, pooled", sentiment(), "CNN + attention 80.0, BiGRU + attention 81.6"
    ),
    "sst2": Task("SST-2", sst2(), "CNN from random start 83.5"),
    "trec": Task("TREC", trec(), "CNN from random start 88.2"),
    "reviews": Task("Movie reviews", reviews(), "linear SVM 87"),
}


def measure(
    task: Task, model: str, splits: int, seeds: Sequence[int], chosen: dict[str, Any]
) -> Figure:
    """Train and test on each of the first splits, with each seed."""
    start = time.monotonic()
    results = []
    for split, seed in product(
        [split for split, _ in zip(task.splits, range(splits), strict=False)], seeds
    ):
        trained = regard.train(
            "classification",
            train=split.train,
            valid=split.valid,
            model=model,
            settings={**chosen, "seed": seed},
        )
        results.append(trained.evaluate(split.test, train=split.train))
        print(model, f"{results[-1].scores[0].value:.2f}", flush=True)
    return _figure(task, model, results, seeds, chosen, (time.monotonic() - start) / 60)


def _figure(
    task: Task,
    model: str,
    results: list[Evaluation],
    seeds: Sequence[int],
    chosen: dict[str, Any],
    minutes: float,
) -> Figure:
    found = [result.scores[0].value for result in results]
    simple = [scores[0].value for r in results for scores in r.baselines.values()]
    interval = results[0].scores[0].interval
    assert interval is not None
    spread = f"{interval[0]:.1f} to {interval[1]:.1f} (95 %, bootstrap)"
    if len(found) > 1:
        each = ", ".join(f"{x:.1f}" for x in found)
        over = "splits" if len(seeds) == 1 else "seeds"
        spread = f"deviation {statistics.stdev(found):.1f} over {over}: {each}"
    splits = len(found) // len(seeds)
    tested = sum(r.examples for r in results) // len(seeds)
    return Figure(
        data=f"{task.title}, {tested:,} tested in {splits} split(s)",
        system=" ".join([f"`{model}`", *(f"{k}={v}" for k, v in chosen.items())]),
        score=f"{statistics.mean(found):.2f} accuracy",
        spread=spread,
        baseline=f"TF-IDF, logistic regression {statistics.mean(simple):.2f}",
        peers=task.peers,
        seeds=", ".join(map(str, seeds)),
        minutes=minutes,
    )


def main() -> None:
    """Run one task with one model, and keep the figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("model", nargs="?", default="wide")
    parser.add_argument(
        "--splits", type=int, default=None, help="how many; 5, and 1 for movie reviews"
    )
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument("--set", action="append", default=[], help="name=value, as `regard train`")
    given = parser.parse_args()
    splits = given.splits or (5 if given.task == "sentiment" else 1)
    chosen = named_values(given.set)
    figure = measure(TASKS[given.task], given.model, splits, given.seed, chosen)
    keep(f"{given.task}-{given.model}", [figure])


if __name__ == "__main__":
    main()
