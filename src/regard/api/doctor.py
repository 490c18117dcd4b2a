"""Findings about a training run: what makes its figures worth less than they seem, and what to do.

Each function looks for one fault, in facts that are cheap to have, and returns a finding or `None`. A
healthy run has none.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from regard.evaluation import Score
from regard.training import History, Ranking
from regard.training.history import Record, metrics_of

__all__ = [
    "Finding",
    "FindingName",
    "at_floor",
    "below_baseline",
    "copied_targets",
    "shared_texts",
    "short_of_warmup",
    "small_validation",
    "still_improving",
]

FindingName = Literal[
    "short-of-warmup",
    "still-improving",
    "at-floor",
    "below-baseline",
    "small-validation",
    "shared-texts",
    "copied-targets",
]

FEW_EXAMPLES = 100
"""Examples below which a score is uncertain by ten points and more."""

NEAR_CEILING = 95.0
"""Percentage from which on a metric has little left to gain."""

WORTHWHILE_POINTS = 0.5
"""Points of a metric in percent below which a gain is no reason to train longer."""

WORTHWHILE_PERCENT = 1.0
"""Percent of a loss below which a gain is none: it may fall a little with every step of a schedule."""


@dataclass(frozen=True)
class Finding:
    """One finding, with its remedy.

    Attributes:
        name: which fault.
        message: what was found, in numbers, and what to try; one line.
    """

    name: FindingName
    message: str

    def __str__(self) -> str:
        return f"note: {self.message}"

    def record(self, step: int) -> Record:
        """Line of a history at an update: `{"step", "finding", "message"}`."""
        return {"step": step, "finding": self.name, "message": self.message}


def short_of_warmup(updates: int, warmup: int, *, made: bool = False) -> Finding | None:
    """Find a run that has fewer updates than its warm-up.

    Args:
        updates: number of updates.
        warmup: updates of the warm-up, as in the settings.
        made: whether the updates are made already, or planned.
    """
    if updates >= warmup:
        return None
    so_far = "were made" if made else "are planned"
    return Finding(
        "short-of-warmup",
        f"{updates:,} updates {so_far}, fewer than the warm-up of {warmup:,}, so the learning rate "
        f"hardly reaches its height; train longer, or set warmup={max(1, updates // 10)}",
    )


def small_validation(examples: int) -> Finding | None:
    r"""Find a validation part whose scores are uncertain by ten points and more.

    The 95 % interval of a share of `n` examples is at most :math:`1.96 \sqrt{0.25 / n}` to either side.

    Args:
        examples: of the validation part.
    """
    if examples >= FEW_EXAMPLES:
        return None
    points = math.ceil(100 * 1.96 * math.sqrt(0.25 / examples))
    return Finding(
        "small-validation",
        f"the validation part has {examples:,} {_examples(examples)}, too few to tell differences of "
        f"under {points} points; give a larger one",
    )


def shared_texts(shared: int, examples: int) -> Finding | None:
    """Find validation texts that the training part holds too.

    Args:
        shared: validation examples whose text is a training text.
        examples: all validation examples.
    """
    if not shared:
        return None
    return Finding(
        "shared-texts",
        f"{shared:,} of {examples:,} validation texts are in the training part too, so the scores are "
        "partly those of memory; remove them from one of the parts",
    )


def copied_targets(copies: int, examples: int) -> Finding | None:
    """Find training data most of whose targets equal their sources.

    Args:
        copies: training examples whose target equals the source.
        examples: all training examples with a target.
    """
    if not copies or 2 * copies < examples:
        return None
    count = "all" if copies == examples else f"{copies:,} of"
    return Finding(
        "copied-targets",
        f"{count} {examples:,} training targets equal their sources; was one file named twice?",
    )


def still_improving(history: History, ranking: Ranking, *, limited: bool) -> Finding | None:
    """Find a run whose last validation is its best, by a gain that is worth more training.

    A metric in percent that is near its ceiling has nothing left to gain; one that is at its floor has a
    finding of its own.

    Args:
        history: of the run.
        ranking: order of its validations.
        limited: whether a limit of minutes ended it.
    """
    *earlier, last = history.validations or [{}]
    best = history.best(ranking)
    if not last or not last["step"]:  # nothing was trained
        return None
    if best is not last or not ranking.measured(metrics_of(last)):
        return None
    metric, value = ranking.metric, metrics_of(last)[ranking.metric]
    before = History(earlier).best(ranking)
    low = ranking.lower_is_better(metric)
    if not low and value >= NEAR_CEILING:
        return None
    if before is not None:
        old = metrics_of(before)[metric]
        gain = 100 * (old - value) / abs(old) if low else value - old
        if old and gain < (WORTHWHILE_PERCENT if low else WORTHWHILE_POINTS):
            return None
    was = f", from {metrics_of(before)[metric]:.4g}" if before is not None else ""
    return Finding(
        "still-improving",
        f"the last of {len(earlier) + 1:,} validations is the best ({metric} {value:.4g}{was}), so the "
        f"model was still improving; more {'minutes' if limited else 'epochs'} would help",
    )


def at_floor(history: History, ranking: Ranking) -> Finding | None:
    """Find a run whose metric never was better than that of a model that has learned nothing.

    Args:
        history: of the run.
        ranking: order of its validations, with the floor of its metric.
    """
    best = history.best(ranking)
    if best is None or ranking.measured(metrics_of(best)):
        return None
    value, floor = metrics_of(best)[ranking.metric], ranking.floors[ranking.metric]
    return Finding(
        "at-floor",
        f"{ranking.metric} is {value:.4g}, no better than the {floor:.4g} of a model that has learned "
        "nothing; train longer, with more data or a higher learning_rate, or look at the data",
    )


def below_baseline(
    scores: Sequence[Score], baselines: Mapping[str, Sequence[Score]], ranking: Ranking
) -> Finding | None:
    """Find a model that is worse than a simple baseline on the same examples.

    Args:
        scores: of the model; the one of the metric is compared, else the first.
        baselines: scores by name of the baseline.
        ranking: order of the run's validations.
    """
    named = [score for score in scores if score.metric == ranking.metric]
    score = (named or list(scores))[0]
    for name, others in baselines.items():
        for other in others:
            if other.name == score.name and _worse(score, other, ranking):
                return Finding(
                    "below-baseline",
                    f"{score.name} {score.value:.1f} is worse than that of the baseline ({name}, "
                    f"{other.value:.1f}); train longer, with more data or other settings",
                )
    return None


def _worse(score: Score, other: Score, ranking: Ranking) -> bool:
    if ranking.lower_is_better(score.metric):
        return score.value > other.value
    return score.value < other.value


def _examples(count: int) -> str:
    return "example" if count == 1 else "examples"
