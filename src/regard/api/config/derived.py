"""Training settings that follow from the size of the data, where the user gave none.

The settings of a preset are made for runs of some number of updates (`Defaults.updates`) or more. From
data that give fewer in the preset's epochs follow, in this order,

* smaller batches, of `SMALLEST_BATCH` tokens at least, so that an epoch has more updates;
* more epochs, until there are enough updates, at most `MOST_EPOCHS`, validated as often in all as the
  preset would have been;
* a warm-up and a moving average of the weights of at most a third of the run.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.data import token_batches
from regard.training import TrainingSettings

__all__ = ["DERIVED", "MOST_EPOCHS", "SMALLEST_BATCH", "derive", "planned_updates"]

Lengths = NDArray[np.int64]

LARGEST_SHARE = 3
"""A warm-up, or the memory of a moving average, is at most one in so many updates of a run."""

DERIVED = ("batch_tokens", "epochs", "validate_every", "warmup", "ema", "metric")
"""Names of the settings that may follow from the data."""

SMALLEST_BATCH = 128
"""Tokens below which a batch is not made smaller: its gradient would be noise, and its cost overhead."""

MORE_UPDATES = 3
"""Updates of a fitted run for each that the preset is made for: one of a smaller batch is worth less."""

MOST_EPOCHS = 300
"""Epochs after which even a handful of examples is known by heart."""


def derive(
    settings: TrainingSettings, lengths: Lengths, *, given: Collection[str], updates: int
) -> TrainingSettings:
    """Fit settings to data that are smaller than those a preset was made for.

    Args:
        settings: preset with the user's values over it.
        lengths: tokens of the training examples, `(examples,)` or `(examples, sides)`.
        given: names of the settings that the user gave; they stay as they are.
        updates: updates that the preset's settings are made for.

    Returns:
        The settings, equal to those given if the data are large enough.
    """
    enough = max(updates, LARGEST_SHARE * settings.warmup, LARGEST_SHARE / (1 - settings.ema))
    if _surely_planned(settings, lengths, enough):
        return settings
    fitted = settings
    if planned_updates(settings, lengths) < updates:
        wanted = MORE_UPDATES * updates
        fitted = fitted.replace(**_smaller_batches(fitted, lengths, given, wanted))
        fitted = fitted.replace(**_more_epochs(fitted, lengths, given, wanted))
    return fitted.replace(**_shorter_warmup(fitted, planned_updates(fitted, lengths), given))


def planned_updates(settings: TrainingSettings, lengths: Lengths) -> int:
    """Updates of a whole run, which patience or a limit of minutes may end sooner."""
    return settings.steps or settings.epochs * _updates_per_epoch(settings, lengths)


def _updates_per_epoch(settings: TrainingSettings, lengths: Lengths) -> int:
    batches = token_batches(lengths, max_tokens=settings.batch_tokens, seed=settings.seed)
    return math.ceil(len(batches) / settings.accumulate)


def _longest(lengths: Lengths) -> Lengths:
    """Length of the longest side of each example."""
    longest: Lengths = lengths.reshape(len(lengths), -1).max(axis=1)
    return longest


def _surely_planned(settings: TrainingSettings, lengths: Lengths, updates: float) -> bool:
    """Compare with a lower bound, so that large data are not sorted into batches for this."""
    least = int(_longest(lengths).sum()) // (settings.batch_tokens * settings.accumulate)
    return (settings.steps or settings.epochs * least) >= updates


def _smaller_batches(
    settings: TrainingSettings, lengths: Lengths, given: Collection[str], updates: float
) -> Mapping[str, Any]:
    """The largest batches that give so many updates in the epochs of the settings."""
    if not {"batch_tokens", "accumulate", "steps"}.isdisjoint(given):
        return {}
    tokens = int(settings.epochs * _longest(lengths).sum() / updates) // settings.accumulate
    tokens = max(SMALLEST_BATCH, tokens - tokens % 32)
    smaller = settings.replace(batch_tokens=min(tokens, settings.batch_tokens))
    more = _updates_per_epoch(smaller, lengths) > _updates_per_epoch(settings, lengths)
    return {"batch_tokens": smaller.batch_tokens} if more else {}


def _more_epochs(
    settings: TrainingSettings, lengths: Lengths, given: Collection[str], updates: float
) -> Mapping[str, Any]:
    each = _updates_per_epoch(settings, lengths)
    epochs = min(MOST_EPOCHS, math.ceil(updates / each))
    if not {"epochs", "steps"}.isdisjoint(given) or epochs <= settings.epochs:
        return {}
    if "validate_every" in given or settings.validate_every is not None:
        return {"epochs": epochs}
    return {"epochs": epochs, "validate_every": math.ceil(epochs * each / settings.epochs)}


def _shorter_warmup(
    settings: TrainingSettings, planned: int, given: Collection[str]
) -> Mapping[str, Any]:
    """Warm-up, and moving average of the weights, of at most a share of the planned updates."""
    most = planned / LARGEST_SHARE
    changes: dict[str, Any] = {}
    if "warmup" not in given and settings.warmup > most:
        changes["warmup"] = round(most)
    # An average with decay d remembers about 1 / (1 - d) updates.
    if "ema" not in given and settings.ema and 1 / (1 - settings.ema) > most:
        changes["ema"] = round(max(0.0, 1 - 1 / most), 4)
    return changes
