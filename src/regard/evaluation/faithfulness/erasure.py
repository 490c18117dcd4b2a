"""Faithfulness by erasing tokens: comprehensiveness, sufficiency and leave-one-out agreement.

Tokens are erased by one of two methods. "delete" removes them; "mask" replaces them with a mask
token. Both make texts that the model was not trained on, each in its own way, so both are reported.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike

from regard.evaluation.faithfulness.contracts import (
    ExplainableClassifier,
    Ids,
    TrustSettings,
    predict_each,
)
from regard.evaluation.faithfulness.instances import RANKINGS, Instance, rank_positions
from regard.evaluation.metrics.intervals import Floats, Interval

__all__ = [
    "ERASURE_METHODS",
    "ErasureMethod",
    "ErasureMetric",
    "ErasureScores",
    "erase_tokens",
    "erasure_scores",
    "keep_tokens",
    "kendall_tau",
    "leave_one_out_agreement",
    "token_counts",
]

ErasureMethod = Literal["delete", "mask"]
ERASURE_METHODS: tuple[ErasureMethod, ...] = ("delete", "mask")
ErasureMetric = Literal["comprehensiveness", "sufficiency"]
ERASURE_METRICS: tuple[ErasureMetric, ...] = ("comprehensiveness", "sufficiency")


@dataclass(frozen=True)
class ErasureScores:
    """Comprehensiveness or sufficiency by one erasure method, for three rankings of the tokens.

    Attributes:
        attention: fall of the predicted label's probability, tokens ranked by attention.
        gradient: the fall for tokens ranked by gradient x input.
        random: the fall for tokens in random order.
        over_random: advantage of attention over random, paired by text; above 0 is better.
        rivals: the fall for tokens ranked by further attributions, by name.
    """

    attention: Interval
    gradient: Interval
    random: Interval
    over_random: Interval
    rivals: Mapping[str, Interval] = field(default_factory=dict, kw_only=True)


def erasure_scores(
    model: ExplainableClassifier,
    instances: Sequence[Instance],
    settings: TrustSettings,
    rng: np.random.Generator,
) -> dict[tuple[ErasureMetric, ErasureMethod], ErasureScores]:
    """Compute comprehensiveness and sufficiency (DeYoung et al. 2020) by both erasure methods.

    With y the predicted label of a text x and r its top-ranked tokens,

        comprehensiveness = p(y | x) - p(y | x without r)
        sufficiency       = p(y | x) - p(y | r)

    averaged over `settings.token_fractions`, the sizes of r.
    """
    kinds = list(itertools.product(ERASURE_METRICS, ERASURE_METHODS))
    names = tuple(instances[0].attributions)
    named = len(names)
    changes = np.empty((len(kinds), named + 1, len(instances)))
    shapes: list[tuple[int, int, int]] = []

    def variants() -> Iterator[list[Ids]]:
        for instance in instances:
            orders = [rank_positions(s, instance.erasable) for s in instance.attributions.values()]
            orders += [
                rng.permutation(instance.erasable).tolist() for _ in range(settings.random_rankings)
            ]
            sizes = token_counts(len(instance.erasable), settings.token_fractions)
            shapes.append((len(kinds), len(orders), len(sizes)))
            yield [
                _variant(model, instance, order[:size], metric, method)
                for metric, method in kinds
                for order in orders
                for size in sizes
            ]

    for n, fall in enumerate(_probability_falls(model, instances, variants())):
        change = fall.reshape(shapes[n]).mean(-1)
        changes[:, :named, n] = change[:, :named]
        changes[:, named, n] = change[:, named:].mean(-1)  # over the random rankings
    return {
        kind: _summarize(kind[0], dict(zip((*names, "random"), changed, strict=True)), settings)
        for kind, changed in zip(kinds, changes, strict=True)
    }


def _variant(
    model: ExplainableClassifier,
    instance: Instance,
    top: Ids,
    metric: ErasureMetric,
    method: ErasureMethod,
) -> list[int]:
    if metric == "comprehensiveness":
        return erase_tokens(instance.text, top, method=method, mask_id=model.mask_id)
    return keep_tokens(instance.text, top, instance.erasable, method=method, mask_id=model.mask_id)


def _probability_falls(
    model: ExplainableClassifier, instances: Sequence[Instance], variants: Iterable[Sequence[Ids]]
) -> Iterator[Floats]:
    """Yield, for each text, by how much the predicted label's probability falls in each of its variants."""
    answers = predict_each(model, variants)
    for instance, found in zip(instances, answers, strict=True):
        fall: Floats = instance.probabilities[instance.label] - found[:, instance.label]
        yield fall


def _summarize(
    metric: ErasureMetric, changes: Mapping[str, Floats], settings: TrustSettings
) -> ErasureScores:
    """Average the changes of each ranking, `(texts,)`, over the texts."""
    means = {name: settings.interval(change) for name, change in changes.items()}
    sign = 1 if metric == "comprehensiveness" else -1
    over_random = settings.interval(sign * (changes["attention"] - changes["random"]))
    attention, gradient, random = (means.pop(name) for name in RANKINGS)
    return ErasureScores(attention, gradient, random, over_random, rivals=means)


def leave_one_out_agreement(
    model: ExplainableClassifier,
    instances: Sequence[Instance],
    settings: TrustSettings,
    rng: np.random.Generator,
) -> dict[str, Interval]:
    """Compute Kendall's tau between attributions and the effect of deleting single tokens."""
    taus: dict[str, list[float]] = {name: [] for name in instances[0].attributions}
    drawn: list[list[int]] = []

    def variants() -> Iterator[list[Ids]]:
        for instance in instances:
            count = min(settings.max_left_out, len(instance.erasable))
            left_out: list[int] = rng.permutation(instance.erasable)[:count].tolist()
            drawn.append(left_out)
            yield [
                erase_tokens(instance.text, [i], method="delete", mask_id=model.mask_id)
                for i in left_out
            ]

    for n, effects in enumerate(_probability_falls(model, instances, variants())):
        instance, left_out = instances[n], drawn[n]
        for name, scores in instance.attributions.items():
            taus[name].append(kendall_tau(scores[left_out], effects))
    return {name: settings.interval(values) for name, values in taus.items()}


def token_counts(length: int, fractions: Iterable[float]) -> list[int]:
    """Return how many of `length` tokens each fraction is, rounded up, at least one.

    >>> from regard.evaluation.faithfulness.erasure import token_counts
    >>> token_counts(12, (0.01, 0.2, 0.5))
    [1, 3, 6]
    """
    return [max(1, int(np.ceil(fraction * length))) for fraction in fractions]


def erase_tokens(
    text: Ids, positions: Iterable[int], *, method: ErasureMethod, mask_id: int
) -> list[int]:
    """Delete the tokens at `positions`, or replace them with `mask_id`.

    A text whose tokens are all deleted becomes one `mask_id`, since models do not take empty texts.

    >>> from regard.evaluation.faithfulness.erasure import erase_tokens
    >>> erase_tokens([5, 6, 7], [1], method="delete", mask_id=1)
    [5, 7]
    """
    erased = set(positions)
    if method == "mask":
        return [mask_id if i in erased else token for i, token in enumerate(text)]
    return [token for i, token in enumerate(text) if i not in erased] or [mask_id]


def keep_tokens(
    text: Ids,
    kept: Iterable[int],
    erasable: Iterable[int],
    *,
    method: ErasureMethod,
    mask_id: int,
) -> list[int]:
    """Erase all `erasable` positions but the `kept` ones; other (special) tokens stay.

    >>> from regard.evaluation.faithfulness.erasure import keep_tokens
    >>> keep_tokens([2, 5, 6, 7], [2], [1, 2, 3], method="mask", mask_id=1)
    [2, 1, 6, 1]
    """
    return erase_tokens(text, set(erasable) - set(kept), method=method, mask_id=mask_id)


def kendall_tau(scores: ArrayLike, effects: ArrayLike) -> float:
    """Return Kendall's tau-b; 0 where one side has fewer than two different values.

    It is 1 for the same order, 0 for unrelated ones and -1 for the reversed order.

    >>> from regard.evaluation.faithfulness.erasure import kendall_tau
    >>> round(kendall_tau([1, 2, 3], [30, 20, 10]), 6)
    -1.0
    """
    from scipy.stats import kendalltau

    first, second = np.asarray(scores), np.asarray(effects)
    if len(first) < 2 or np.ptp(first) == 0 or np.ptp(second) == 0:
        return 0.0
    result: Any = kendalltau(first, second)
    return float(result.statistic)
