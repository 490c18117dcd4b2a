"""Summarization from a random start: SciTLDR, abstract to one sentence.

Reads the data set from the folder in REGARD_DATA (default: ../shared/data). Everything is learned from the
training part, the dev part decides which epoch's weights are kept, and the test part is read once, after
training. Where a paper has several summaries, a text is compared with the one of the best ROUGE-1, as
in Cachola et al. 2020.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, hstack
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import Ridge

import regard
from benchmarks.results import DATA, ROOT, Result, save_results
from benchmarks.translation import Printed
from regard.api.config.settings import named_values
from regard.api.tasks.text_to_text import references_of
from regard.data import Example, Pairs, read_table
from regard.evaluation import Score, oracle_sentence, rouge
from regard.evaluation.metrics.generation import RougeScorer

_COPIES = (
    " Trained on the summaries, on the sentence of each training abstract nearest to its summary, and on"
    " that sentence alone."
)


@dataclass(frozen=True)
class Task:
    """A model and its training for two thousand abstracts.

    Args:
        model: kind of the model.
        peers: scores that others report.
        settings: settings that differ from the model's defaults.
        copies: whether each training abstract is used a second time with its sentence nearest to the
            summary as the target, and that sentence alone a third time: two thousand summaries teach too
            little copying.
    """

    model: str
    peers: str
    settings: dict[str, Any] = field(default_factory=dict)
    copies: bool = False


TASKS = {
    "extractive": Task(
        "extractive",
        "none from a random start",
        {"embedding": 64, "width": 64},  # half of each: as good on the dev part in half the time
    ),
    "pointer": Task(
        "pointer",
        "none from a random start",
        {
            "vocabulary": 4000,
            "max_tokens": 220,
            "embedding": 64,
            "width": 128,
            "coverage": 0,
            "learning_rate": 3e-3,
            "ema": 0.99,
            "epochs": 4,
            "patience": 0,
        },
        copies=True,
    ),
}


def measure(task: Task, out: Path, settings: dict[str, Any]) -> Result:
    """Train, then summarize the test part once."""
    start = time.monotonic()
    train, dev, test = (
        list(read_table(DATA / "scitldr" / f"{part}.jsonl", Pairs()))
        for part in ("train", "dev", "test")
    )
    model = regard.train(
        "summarization",
        train=[*train, *_copying_examples(train)] if task.copies else train,
        valid=dev,
        out=out,
        model=task.model,
        settings={**task.settings, **settings},
        overwrite=True,
        callback=Printed(),
    )
    minutes = (time.monotonic() - start) / 60
    evaluation = model.evaluate(test)
    rouge_1 = evaluation.scores[0]
    assert rouge_1.interval is not None
    low, high = rouge_1.interval
    named = {k: v for k, v in {**task.settings, **settings}.items() if k != "seed"}
    return Result(
        data=f"SciTLDR, abstract only, {len(test):,} test papers",
        system=" ".join([f"`{task.model}`", *(f"{k}={v}" for k, v in named.items())]),
        score=f"{_triple(evaluation.scores)} ROUGE-1 / 2 / L",
        spread=f"ROUGE-1 {low:.1f} to {high:.1f} (95 %, bootstrap)",
        baseline=_baselines(evaluation.baselines["first sentence"], train, test),
        peers=task.peers,
        seeds=str(settings["seed"]),
        minutes=minutes,
        note=f"`{rouge_1.signature}`: F-scores against the summary with the best ROUGE-1."
        + _COPIES * task.copies,
    )


def _copying_examples(train: list[Example]) -> list[Example]:
    """Return examples whose target is a sentence of the source, or the whole of it."""
    best = oracle_sentence(train)
    nearest = [Example(e.source, sentence) for e, sentence in zip(train, best, strict=True)]
    return [*nearest, *(Example((sentence,), sentence) for sentence in best)]


def _baselines(first: Sequence[Score], train: list[Example], test: list[Example]) -> str:
    linear = rouge(linear_sentences(train, test), references_of(test))
    best = rouge(oracle_sentence(test), references_of(test))
    return (
        f"first sentence {_triple(first)}; linear model of words, place and length "
        f"{_triple(linear)}; best sentence of all {_triple(best)}"
    )


def _triple(scores: Sequence[Score]) -> str:
    return " / ".join(f"{score.value:.1f}" for score in scores)


def linear_sentences(train: list[Example], test: list[Example]) -> list[str]:
    """Choose sentences by ridge regression of ROUGE on words, position and length of a sentence."""
    words = TfidfVectorizer(ngram_range=(1, 2), min_df=3, sublinear_tf=True)
    words.fit([sentence for example in train for sentence in example.sentences])
    scorer = RougeScorer()
    gains = []
    for example in train:
        (reference,) = references_of([example])[0]
        gain = np.array([np.mean(scorer(reference, s)) for s in example.sentences])
        gains.append(gain - gain.mean())
    model = Ridge(alpha=10.0, solver="lsqr")
    model.fit(_features(words, train), np.concatenate(gains))
    predicted = model.predict(_features(words, test))
    ends = np.cumsum([len(example.sentences) for example in test])[:-1]
    return [
        example.sentences[int(row.argmax())]
        for example, row in zip(test, np.split(predicted, ends), strict=True)
    ]


def _features(words: TfidfVectorizer, examples: list[Example]) -> csr_matrix:
    """Return features `(sentences, features)`: TF-IDF, and one-hot positions and lengths."""
    sentences = [sentence for example in examples for sentence in example.sentences]
    position = np.concatenate([np.arange(len(example.sentences)) for example in examples])
    count = np.concatenate([np.full(len(e.sentences), len(e.sentences)) for e in examples])
    length = np.array([len(sentence.split()) for sentence in sentences])
    from_end = count - 1 - position
    classes = [_one_hot(position, 12), _one_hot(from_end, 8), _one_hot(length // 5, 12)]
    return csr_matrix(hstack([words.transform(sentences), *classes]))


def _one_hot(values: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    """Return one-hot rows; larger values count as the last class."""
    rows: NDArray[np.float64] = np.eye(classes)[np.minimum(values, classes - 1)]
    return rows


def main() -> None:
    """Train one model and save its result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=TASKS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--set", action="append", default=[], help="name=value, as of `regard train`"
    )
    parser.add_argument("--out", type=Path, default=ROOT / "runs")
    options = parser.parse_args()
    settings = {"seed": options.seed, **named_values(options.set)}
    name = f"scitldr-{options.model}"
    save_results(name, [measure(TASKS[options.model], options.out / name, settings)])


if __name__ == "__main__":
    main()
