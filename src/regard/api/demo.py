"""The demo: a model that turns dates in forty languages into ISO dates, in three minutes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path

from regard.api.storage.folder import CONFIG
from regard.api.storage.lock import locked
from regard.api.storage.replacing import check_weights
from regard.api.tasks.answers import Translation
from regard.api.tasks.translation import Translator
from regard.api.train import train
from regard.data import Example, dates
from regard.decoding import DecodingSettings
from regard.errors import InputError
from regard.evaluation import Score, exact_match
from regard.training import Callback

__all__ = ["Demo", "demo"]

_SETTINGS = {
    "tokenizer": "char",
    "vocabulary": 1000,
    "joint": False,
    "positions": "rotary",
    "dropout": 0.0,
    "label_smoothing": 0.0,
    "batch_tokens": 1024,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "warmup": 100,
    "ema": 0.99,
    "metric": "exact_match",
    "method": "greedy",
}


@dataclass(frozen=True)
class Demo:
    """Result of the demo.

    Attributes:
        model: the trained model.
        unseen: exact matches on dates it never saw.
        unseen_format: exact matches on such dates in a format it never saw.
        answers: to a few inputs.
        files: written files.
    """

    model: Translator
    unseen: Score
    unseen_format: Score
    answers: tuple[Translation, ...]
    files: tuple[Path, ...]


def demo(
    out: str | PathLike[str] = "demo-run",
    *,
    inputs: Sequence[str] = ("jeudi 3 mai 2018", "3. Mai 2018", "5/3/18 [en-US]"),
    examples: int = 60_000,
    epochs: int = 2,
    seed: int = 1,
    overwrite: bool = False,
    callback: Callback | None = None,
) -> Demo:
    """Train a small Transformer on dates, score it on unseen ones, and look at what it attends to.

    Args:
        out: folder for the model, its history and a picture of its attention.
        inputs: dates to answer in the end.
        examples: number of training examples.
        epochs: passes over them.
        seed: same seed, same model.
        overwrite: replace the model in `out`.
        callback: informed of progress.

    Raises:
        InputError: `out` holds a model already, the one of an earlier demo included, or other files.
    """
    if (Path(out) / CONFIG).is_file() and not overwrite:
        raise InputError(
            f"{out} already holds a model; --overwrite replaces it, or choose another --out"
        )
    model = train(
        "translation",
        train=dates.generate(examples, seed=seed),
        valid=dates.generate(500, seed=seed, part="valid"),
        out=out,
        preset="tiny",
        settings={**_SETTINGS, "epochs": epochs, "seed": seed},
        overwrite=overwrite,
        callback=callback,
    )
    assert isinstance(model, Translator)
    answers = model.translate(inputs)
    picture = Path(out) / "attention.png"
    with locked(Path(out), "demo"):
        check_weights(Path(out), model.weights)
        answers[0].aligned().save(picture)
    files = tuple(Path(out) / name for name in ("model.safetensors", "history.png", picture.name))
    return Demo(
        model,
        _score(model, dates.generate(1000, seed=seed, part="test")),
        _score(model, dates.generate(1000, seed=seed, part="unseen-format")),
        tuple(answers),
        files,
    )


def _score(model: Translator, examples: Sequence[Example]) -> Score:
    written = model.write([e.text for e in examples], settings=DecodingSettings(method="greedy"))
    return exact_match(written, [example.target or "" for example in examples])
