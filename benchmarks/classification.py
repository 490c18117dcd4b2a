"""Classification from a random start: sentiment sentences, SST-2, TREC, movie reviews.

Reads the data sets from the folder in REGARD_DATA (default: ../shared/data). Apart from the model's name and
`--set`, everything has the defaults of `regard train classification`: vocabulary and n-grams are learned from
the training part, and a tenth of that (or the validation part, where the data has one) decides which epoch's
weights are kept. The test part is read once, after training.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, NamedTuple

from sklearn.model_selection import train_test_split

import regard
from benchmarks.results import DATA, Result, save_results
from regard.api.config.settings import named_values
from regard.api.tasks.model import Evaluation
from regard.data import Example, ReadOptions, read_table


class Split(NamedTuple):
    """Parts of a data set.

    Attributes:
        train: training part.
        valid: validation part; `None` takes a tenth of the training part.
        test: test part.
    """

    train: Sequence[Example]
    valid: Sequence[Example] | None
    test: Sequence[Example]


def sentiment() -> Iterator[Split]:
    """Yield five stratified splits of the pooled 3,000 sentences, 80 to 20, seeds 0 to 4."""
    folder = DATA / "sentiment-sentences"
    pooled = list(
        read_table(sorted(folder.glob("*_labelled.txt")), options=ReadOptions(format="tsv"))
    )
    labels = [example.labels[0] for example in pooled]
    for seed in range(5):
        train, test = train_test_split(pooled, test_size=0.2, stratify=labels, random_state=seed)
        yield Split(train, None, test)


def sst2() -> Iterator[Split]:
    """Yield the published parts."""
    options = ReadOptions(separator=" ")
    train, valid, test = (
        read_table(DATA / "sst2" / f"{name}.txt", options=options)
        for name in ("train", "dev", "test")
    )
    yield Split(train, valid, test)


def trec() -> Iterator[Split]:
    """Yield the published parts; there is no validation part."""
    train = read_table(
        DATA / "trec" / "train.txt", options=ReadOptions(separator=" ", encoding="latin-1")
    )
    test = read_table(DATA / "trec" / "test.txt", options=ReadOptions(separator=" "))
    yield Split(train, None, test)


def reviews() -> Iterator[Split]:
    """Yield the ten folds of the data set."""
    path = DATA / "movie-reviews" / "reviews.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    examples = [(Example(row["text"], labels=(str(row["label"]),)), row["fold"]) for row in rows]
    for fold in range(10):
        train = [example for example, other in examples if other != fold]
        yield Split(train, None, [example for example, other in examples if other == fold])


@dataclass(frozen=True)
class Task:
    """A data set and the scores that others report on it."""

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
    task: Task, model: str, splits: int, seeds: Sequence[int], settings: dict[str, Any]
) -> Result:
    """Train and test on each of the first `splits`, with each seed."""
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
            settings={**settings, "seed": seed},
        )
        results.append(trained.evaluate(split.test, train=split.train))
        print(model, f"{results[-1].scores[0].value:.2f}", flush=True)
    return _result(task, model, results, seeds, settings, (time.monotonic() - start) / 60)


def _result(
    task: Task,
    model: str,
    results: list[Evaluation],
    seeds: Sequence[int],
    settings: dict[str, Any],
    minutes: float,
) -> Result:
    accuracies = [result.scores[0].value for result in results]
    baselines = [scores[0].value for r in results for scores in r.baselines.values()]
    interval = results[0].scores[0].interval
    assert interval is not None
    spread = f"{interval[0]:.1f} to {interval[1]:.1f} (95 %, bootstrap)"
    if len(accuracies) > 1:
        each = ", ".join(f"{x:.1f}" for x in accuracies)
        over = "splits" if len(seeds) == 1 else "seeds"
        spread = f"deviation {statistics.stdev(accuracies):.1f} over {over}: {each}"
    splits = len(accuracies) // len(seeds)
    tested = sum(r.examples for r in results) // len(seeds)
    return Result(
        data=f"{task.title}, {tested:,} tested in {splits} split(s)",
        system=" ".join([f"`{model}`", *(f"{k}={v}" for k, v in settings.items())]),
        score=f"{statistics.mean(accuracies):.2f} accuracy",
        spread=spread,
        baseline=f"TF-IDF, logistic regression {statistics.mean(baselines):.2f}",
        peers=task.peers,
        seeds=", ".join(map(str, seeds)),
        minutes=minutes,
    )


def main() -> None:
    """Train one kind of model on one data set and save the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("model", nargs="?", default="wide")
    parser.add_argument(
        "--splits",
        type=int,
        default=None,
        help="number of splits; by default 5 of the sentiment sentences, else 1",
    )
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument(
        "--set", action="append", default=[], help="name=value, as of `regard train`"
    )
    options = parser.parse_args()
    splits = options.splits or (5 if options.task == "sentiment" else 1)
    settings = named_values(options.set)
    result = measure(TASKS[options.task], options.model, splits, options.seed, settings)
    save_results(f"{options.task}-{options.model}", [result])


if __name__ == "__main__":
    main()
