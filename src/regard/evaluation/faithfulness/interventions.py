"""Faithfulness by changing attention weights: shuffled, uniform and zeroed weights.

All parameters of the model stay as trained, so these measures say whether the prediction needs these
weights. They do not say whether a model trained with other weights would do as well (Wiegreffe and
Pinter 2019).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from regard.evaluation.faithfulness.contracts import (
    Ids,
    ReweightableClassifier,
    TrustSettings,
    predict_each_with_attention,
)
from regard.evaluation.faithfulness.instances import Instance, rank_positions
from regard.evaluation.metrics.intervals import Floats, Interval

__all__ = ["DecisionFlips", "WeightControls", "decision_flips", "weight_controls", "zero_weights"]


@dataclass(frozen=True)
class WeightControls:
    """Change of the prediction under shuffled and under uniform weights.

    Attributes:
        permuted: total variation distance of the prediction, median over the shuffles of a text.
        permuted_flips: fraction of shuffles that flip the decision.
        uniform: total variation distance with uniform weights.
        uniform_flips: fraction of texts whose decision uniform weights flip.
    """

    permuted: Interval
    permuted_flips: float
    uniform: Interval
    uniform_flips: float


@dataclass(frozen=True)
class DecisionFlips:
    """Flips of the decision when weights are zeroed and the remaining ones scaled up.

    Attributes:
        without_highest: fraction of texts whose decision flips without the highest weight.
        without_random: fraction of texts whose decision flips without a random other weight.
        removed_until_flip: by ranking, the fraction of weights that is zeroed before the decision
            flips; 1 where it never does. Smaller is better.
    """

    without_highest: float
    without_random: float
    removed_until_flip: Mapping[str, Interval]


def weight_controls(
    model: ReweightableClassifier,
    instances: Sequence[Instance],
    settings: TrustSettings,
    rng: np.random.Generator,
) -> WeightControls:
    """Replace the weights by shuffled and by uniform ones (Jain and Wallace 2019)."""
    permuted, permuted_flips, uniform, uniform_flips = [], [], [], []

    def changed() -> Iterator[tuple[list[Ids], list[Floats]]]:
        for instance in instances:
            positions = instance.reweightable
            own = instance.weights[:, positions]
            # One row for each shuffle, and a last one with uniform weights.
            replaced = np.repeat(instance.weights[None], settings.permutations + 1, 0)
            for row in replaced[:-1]:
                row[:, positions] = own[:, rng.permutation(len(positions))]
            replaced[-1][:, positions] = own.mean(-1, keepdims=True)
            yield [instance.text] * len(replaced), list(replaced)

    found = predict_each_with_attention(model, changed())
    for instance, answers in zip(instances, found, strict=True):
        distances, flips = instance.distances(answers), instance.flips(answers)
        permuted.append(float(np.median(distances[:-1])))
        permuted_flips.append(float(flips[:-1].mean()))
        uniform.append(float(distances[-1]))
        uniform_flips.append(float(flips[-1]))
    return WeightControls(
        settings.interval(permuted),
        float(np.mean(permuted_flips)),
        settings.interval(uniform),
        float(np.mean(uniform_flips)),
    )


def decision_flips(
    model: ReweightableClassifier,
    instances: Sequence[Instance],
    settings: TrustSettings,
    rng: np.random.Generator,
) -> DecisionFlips:
    """Zero the highest weight, a random one, and growing sets of them (Serrano and Smith 2019)."""
    without_highest, without_random = [], []
    names = (*instances[0].attributions, "random")
    removed: dict[str, list[float]] = {name: [] for name in names}
    sizes_of: list[NDArray[np.int64]] = []

    def changed() -> Iterator[tuple[list[Ids], list[Floats]]]:
        for instance in instances:
            orders = {
                name: rank_positions(scores, instance.reweightable)
                for name, scores in instance.attributions.items()
            }
            orders["random"] = rng.permutation(instance.reweightable).tolist()
            highest = orders["attention"][0]
            other = [i for i in orders["random"] if i != highest][:1]
            length = len(instance.reweightable)
            steps = min(settings.removal_steps, length)
            sizes = np.unique(np.linspace(1, length, steps).round().astype(int))
            sizes_of.append(sizes)
            removals = [[highest], other]
            removals += [order[:size] for order in orders.values() for size in sizes]
            weights = [zero_weights(instance.weights, positions) for positions in removals]
            yield [instance.text] * len(weights), weights

    for n, answers in enumerate(predict_each_with_attention(model, changed())):
        instance, sizes = instances[n], sizes_of[n]
        flips = instance.flips(answers)
        without_highest.append(float(flips[0]))
        without_random.append(float(flips[1]))
        for name, flipped in zip(names, flips[2:].reshape(len(names), -1), strict=True):
            length = len(instance.reweightable)
            fraction = sizes[flipped.argmax()] / length if flipped.any() else 1.0
            removed[name].append(fraction)
    return DecisionFlips(
        float(np.mean(without_highest)),
        float(np.mean(without_random)),
        {name: settings.interval(fractions) for name, fractions in removed.items()},
    )


def zero_weights(weights: Floats, positions: Sequence[int]) -> Floats:
    """Zero weights `(heads, length)` at `positions` and scale the rest so that rows sum to 1.

    Rows without any remaining weight stay 0.

    >>> from regard.evaluation.faithfulness.interventions import zero_weights
    >>> zero_weights(np.array([[0.5, 0.25, 0.25]]), [0])
    array([[0. , 0.5, 0.5]])
    """
    remaining = weights.copy()
    remaining[:, list(positions)] = 0
    total = remaining.sum(-1, keepdims=True)
    scaled: Floats = np.divide(remaining, total, out=np.zeros_like(remaining), where=total > 0)
    return scaled
