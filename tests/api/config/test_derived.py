"""Settings that follow from the size of the data, and those that do not."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from regard.api.config.derived import (
    DERIVED,
    MORE_UPDATES,
    MOST_EPOCHS,
    SMALLEST_BATCH,
    derive,
    planned_updates,
)
from regard.api.config.presets import PRESETS
from regard.api.config.settings import by_group, resolve
from regard.training import TrainingSettings


def lengths_of(count: int, mean: float) -> np.ndarray[Any, np.dtype[np.int64]]:
    """Lengths of texts around a mean, half of it apart at most."""
    return np.random.default_rng(0).integers(round(mean / 2), round(1.5 * mean) + 1, count)


def derived(
    task: str, kind: str, lengths: Any, preset: str = "small", **values: Any
) -> tuple[TrainingSettings, TrainingSettings]:
    """Settings before and after."""
    before = resolve(task, kind=kind, preset=preset, values=values).training
    given = by_group(kind, values)["training"]
    updates = PRESETS[task].updates[kind]
    return before, derive(before, lengths, given=given, updates=updates)


EUTRANS = {
    "vocabulary": 3000, "batch_tokens": 1024, "schedule": "cosine", "warmup": 150, "epochs": 14,
    "ema": 0.995, "dropout": 0.1, "patience": 0,
}  # fmt: skip
MULTI30K = {
    "vocabulary": 6000, "feedforward": 1024, "batch_tokens": 2048, "schedule": "cosine",
    "warmup": 800, "epochs": 24, "patience": 0,
}  # fmt: skip
MULTI30K_RNN = {
    "joint": True, "vocabulary": 6000, "width": 512, "dropout": 0.4, "word_dropout": 0.1,
    "batch_tokens": 2048, "epochs": 24, "patience": 0,
}  # fmt: skip
POINTER = {
    "vocabulary": 4000, "max_tokens": 220, "embedding": 64, "width": 128, "coverage": 0,
    "learning_rate": 3e-3, "ema": 0.99, "epochs": 4, "patience": 0,
}  # fmt: skip
TREC = {
    "words": 3, "skip_bigrams": 3, "lead_pairs": 4, "loss": "hinge", "penalty": 3,
    "max_ngrams": 60000, "deep": "cnn", "deep_preset": "base", "members": 2, "epochs": 10,
    "deep_weight": 0.25,
}  # fmt: skip


@pytest.mark.parametrize("preset", ["tiny", "small", "base"])
@pytest.mark.parametrize(
    ("task", "kind", "count", "mean", "values"),
    # Training examples that are left when the validation part is held out, and their mean length.
    [
        ("translation", "transformer", 9_900, 12, EUTRANS),
        ("translation", "transformer", 29_000, 17, MULTI30K),
        ("translation", "transformer", 29_000, 17, {}),
        ("translation", "rnn", 29_000, 17, MULTI30K_RNN),
        ("classification", "hierarchical", 1_620, 760, {}),
        ("summarization", "extractive", 1_991, 285, {"embedding": 64, "width": 64}),
        ("summarization", "pointer", 5_973, 124, POINTER),
        ("classification", "bigru", 2_160, 14, {}),
        ("classification", "cnn", 2_160, 14, {}),
        ("classification", "wide", 2_160, 14, {}),
        ("classification", "wide", 6_920, 21, {"members": 3}),
        ("classification", "wide", 4_907, 11, TREC),
    ],
)
def test_data_as_large_as_those_of_the_results_are_trained_as_the_presets_say(
    preset: str, task: str, kind: str, count: int, mean: float, values: dict[str, Any]
) -> None:
    before, after = derived(task, kind, lengths_of(count, mean), preset, **values)
    assert after == before


def test_small_data_get_smaller_batches_and_more_epochs() -> None:
    lengths = lengths_of(2_700, 12)
    before, after = derived("translation", "transformer", lengths)
    assert planned_updates(before, lengths) < 300 < before.warmup
    updates = PRESETS["translation"].updates["transformer"]
    assert MORE_UPDATES * updates <= planned_updates(after, lengths) < 1.1 * MORE_UPDATES * updates
    assert SMALLEST_BATCH < after.batch_tokens < before.batch_tokens / 8
    assert after.epochs == before.epochs  # each example is read as often


def test_smaller_data_still_get_more_epochs() -> None:
    lengths = lengths_of(300, 12)
    before, after = derived("translation", "transformer", lengths)
    updates = PRESETS["translation"].updates["transformer"]
    assert MORE_UPDATES * updates <= planned_updates(after, lengths) < 1.1 * MORE_UPDATES * updates
    assert after.batch_tokens == SMALLEST_BATCH
    assert after.epochs > before.epochs
    assert after.warmup < planned_updates(after, lengths) / 2
    # As many validations as the preset would have had, so that patience means the same.
    assert after.validate_every is not None
    validations = planned_updates(after, lengths) / after.validate_every
    assert before.epochs - 1 < validations <= before.epochs
    changed = {n for n, v in dict(after).items() if v != getattr(before, n)}
    assert changed <= set(DERIVED)


def test_a_handful_of_examples() -> None:
    lengths = np.array([[6, 5], [4, 6], [7, 8]])
    _, after = derived("translation", "rnn", lengths, tokenizer="char")
    assert after.epochs == MOST_EPOCHS
    updates = planned_updates(after, lengths)
    assert 0 < after.warmup < updates / 2
    assert 1 / (1 - after.ema) < updates / 2
    assert after.validate_every == MOST_EPOCHS / 30


@pytest.mark.parametrize(
    "values",
    [
        {"epochs": 3},
        {"steps": 50},
        {"batch_tokens": 333},
        {"accumulate": 2},
        {"warmup": 77},
        {"ema": 0.5},
        {"validate_every": 9},
        {"warmup": 1000, "ema": 0.999, "epochs": 30, "batch_tokens": 4096},
    ],
)
def test_what_the_user_gives_stays(values: dict[str, Any]) -> None:
    _, after = derived("translation", "transformer", lengths_of(300, 9), **values)
    assert {name: getattr(after, name) for name in values} == values


def test_warmup_and_average_take_a_third_of_a_short_run_at_most() -> None:
    lengths = lengths_of(2_700, 12)
    before, after = derived("translation", "transformer", lengths, steps=300)
    assert (after.warmup, after.ema) == (100, 0.99)
    assert after.batch_tokens == before.batch_tokens
    _, short = derived("translation", "transformer", lengths, steps=1)
    assert (short.warmup, short.ema) == (0, 0.0)
    before, long = derived("translation", "transformer", lengths, steps=3000)
    assert long == before
    assert derived("translation", "transformer", lengths, steps=2990)[1].warmup == 997


def test_a_model_without_an_average_has_none_from_little_data() -> None:
    _, after = derived("language", "lm", lengths_of(20, 9))
    assert after.ema == 0.0


def test_large_data_are_not_sorted_into_batches_for_this(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr("regard.api.config.derived.token_batches")
    before, after = derived("translation", "transformer", lengths_of(100_000, 20))
    assert after == before
