"""Summarising from a random start: SciTLDR, abstract to one sentence.

Reads the data set from the folder in REGARD_DATA (default: ../shared/data). Everything is learned from the
training part, the dev part decides which epoch's weights are kept, and the test part is read once, after
training. Where a paper has several summaries, a text is compared with the one it shares most words with
(ROUGE-1), as Cachola et al. 2020 do.
"""

from __future__ import annotations

import argparse
import os
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
from benchmarks.results import ROOT, Figure, keep
from benchmarks.translation import Printed
from regard.api.config.settings import named_values
from regard.api.tasks.text_to_text import references_of
from regard.data import Example, Pairs, read_table
from regard.evaluation import Score, oracle_sentence, rouge
from regard.evaluation.metrics.generation import RougeScorer

DATA = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data")) / "scitldr"


_COPIES = (
    " Trained on the summaries, on the sentence of each training abstract nearest to its summary, and on"
    " that sentence alone."
)


@dataclass(frozen=True)
class Task:
    """A row of the page: a model and what it is told beyond its own settings.

    Args:
        model: its kind.
        peers: what others reach.
        settings: that suit two thousand abstracts.
        copies: whether each abstract of the training part comes a second time, with its sentence nearest
            to the summary as what is to be written, and that sentence alone a third time: two thousand
            summaries teach too little copying.
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


def measure(task: Task, out: Path, chosen: dict[str, Any]) -> list[Figure]:
    """Train, then summarise the test part once."""
    start = time.monotonic()
    train, dev, test = (
        list(read_table(DATA / f"{part}.jsonl", Pairs())) for part in ("train", "dev", "test")
    )
    model = regard.train(
        "summarization",
        train=[*train, *_copied(train)] if task.copies else train,
        valid=dev,
        out=out,
        model=task.model,
        settings={**task.settings, **chosen},
        overwrite=True,
        callback=Printed(),
    )
    minutes = (time.monotonic() - start) / 60
    result = model.evaluate(test)
    one = result.scores[0]
    assert one.interval is not None
    named = {**task.settings, **chosen}
    shown = [f"`{task.model}`", *(f"{k}={v}" for k, v in named.items() if k != "seed")]
    picked = rouge(linear_sentences(train, test), references_of(test))
    best = rouge(oracle_sentence(test), references_of(test))
    return [
        Figure(
            data=f"SciTLDR, abstract only, {len(test):,} test papers",
            system=" ".join(shown),
            score=f"{_written(result.scores)} ROUGE-1 / 2 / L",
            spread=f"ROUGE-1 {one.interval[0]:.1f} to {one.interval[1]:.1f} (95 %, bootstrap)",
            baseline=f"first sentence {_written(result.baselines['first sentence'])}; "
            f"linear model of words, place and length {_written(picked)}; "
            f"best sentence of all {_written(best)}",
            peers=task.peers,
            seeds=str(chosen["seed"]),
            minutes=minutes,
            note=f"`{one.signature}`: F-scores against the summary with the best ROUGE-1."
            + _COPIES * task.copies,
        )
    ]


def _copied(train: list[Example]) -> list[Example]:
    best = oracle_sentence(train)
    nearest = [Example(e.source, sentence) for e, sentence in zip(train, best, strict=True)]
    return [*nearest, *(Example((sentence,), sentence) for sentence in best)]


def _written(scores: Sequence[Score]) -> str:
    return " / ".join(f"{score.value:.1f}" for score in scores)


def linear_sentences(train: list[Example], test: list[Example]) -> list[str]:
    """Pick by ridge regression of each sentence's ROUGE on its words, its place and its length."""
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
    found = model.predict(_features(words, test))
    ends = np.cumsum([len(example.sentences) for example in test])[:-1]
    return [
        example.sentences[int(row.argmax())]
        for example, row in zip(test, np.split(found, ends), strict=True)
    ]


def _features(words: TfidfVectorizer, examples: list[Example]) -> csr_matrix:
    """`(sentences, features)`: TF-IDF, place from both ends and length, each as one of some classes."""
    sentences = [sentence for example in examples for sentence in example.sentences]
    place = np.concatenate([np.arange(len(example.sentences)) for example in examples])
    count = np.concatenate([np.full(len(e.sentences), len(e.sentences)) for e in examples])
    length = np.array([len(sentence.split()) for sentence in sentences])
    classes = [_one_of(place, 12), _one_of(count - 1 - place, 8), _one_of(length // 5, 12)]
    return csr_matrix(hstack([words.transform(sentences), *classes]))


def _one_of(values: NDArray[np.int64], classes: int) -> NDArray[np.float64]:
    chosen: NDArray[np.float64] = np.eye(classes)[np.minimum(values, classes - 1)]
    return chosen


def main() -> None:
    """Run one model, and keep its figure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", choices=TASKS)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--set", action="append", default=[], help="name=value, as `regard train`")
    parser.add_argument("--out", type=Path, default=ROOT / "runs")
    given = parser.parse_args()
    chosen = {"seed": given.seed, **named_values(given.set)}
    out = given.out / f"scitldr-{given.model}"
    keep(f"scitldr-{given.model}", measure(TASKS[given.model], out, chosen))


if __name__ == "__main__":
    main()
