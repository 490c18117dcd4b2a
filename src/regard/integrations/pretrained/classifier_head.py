"""The last linear layer of a classifier of transformers: what it reads of a text, and its solution.

With the body frozen, all that a text is to the model is the vector that this layer reads, so it is computed
once. The weights that fit best are those of a logistic regression: a convex problem, without epochs or a
learning rate.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard.errors import InputError

__all__ = ["Head", "choose_penalty", "last_linear", "reading", "solve"]

PENALTIES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0)
r"""Strengths :math:`\lambda` of the penalty that are compared."""

FOLDS = 5
_ITERATIONS = 1000


@dataclass(frozen=True)
class Head:
    """Weights of a linear classifier.

    Attributes:
        weight: `(labels, features)`.
        bias: `(labels,)`.
    """

    weight: NDArray[np.float64]
    bias: NDArray[np.float64]

    def logits(self, features: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
        """Logits `(texts, labels)` of features `(texts, features)`."""
        found: NDArray[np.float64] = features @ self.weight.T + self.bias
        return found

    def write(self, layer: nn.Linear) -> None:
        """Copy the weights into a layer."""
        with torch.no_grad():
            layer.weight.copy_(torch.from_numpy(self.weight))
            assert layer.bias is not None
            layer.bias.copy_(torch.from_numpy(self.bias))


def last_linear(model: Any) -> nn.Linear:
    """The layer of a `...ForSequenceClassification` that gives the logits.

    Raises:
        InputError: there is none with a bias.
    """
    body = {id(module) for module in model.base_model.modules()}
    for module in reversed(list(model.modules())):
        linear = isinstance(module, nn.Linear) and id(module) not in body
        if linear and module.out_features == model.config.num_labels and module.bias is not None:
            found: nn.Linear = module
            return found
    raise InputError(
        f"{type(model).__name__} has no linear layer with a bias that gives its logits, so its head cannot be "
        "solved; tune it full, or lora"
    )


class reading:  # noqa: N801 - a context, named like a function
    """Context that keeps what the last linear layer reads.

    Args:
        model: a `...ForSequenceClassification`.
    """

    def __init__(self, model: Any) -> None:
        self._layer, self._name = last_linear(model), type(model).__name__
        self._read: list[Tensor] = []

    def __enter__(self) -> reading:
        self._hook = self._layer.register_forward_pre_hook(
            lambda _, given: self._read.append(given[0].detach())
        )
        return self

    def __exit__(self, *raised: object) -> None:
        self._hook.remove()

    def take(self) -> Tensor:
        """What it read in the forward pass that has just been, `(texts, features)`.

        Raises:
            InputError: a vector for each token and not one for each text.
        """
        found = self._read.pop()
        if found.ndim != 2:
            raise InputError(
                f"the head of {self._name} reads every token and not one vector of a text, so it cannot be "
                "solved; tune it full, or lora"
            )
        return found


def solve(features: NDArray[np.floating[Any]], targets: NDArray[Any], penalty: float) -> Head:
    r"""Weights of the logistic regression with an L2 penalty, on standardised features.

    .. math:: \min_{W, b} \sum_i -\log p(y_i \mid W z_i + b)
        + \frac{\lambda d}{2} \lVert W \rVert^2, \quad z = (x - \mu) / \sigma

    The standardisation is folded into the weights that are returned. With two labels the logits are half the
    margin to either side, so that their softmax is the sigmoid of the margin. With targets of 0 and 1 for each
    label, each has a regression of its own, and one that is always the same a constant.

    Args:
        features: `(texts, features)`.
        targets: `(texts,)` class indices, each of them met, or `(texts, labels)` of 0 and 1.
        penalty: :math:`\lambda`; :math:`d` is the number of features.
    """
    mean, deviation = features.mean(0, dtype=np.float64), features.std(0, dtype=np.float64)
    deviation[deviation == 0] = 1.0
    scaled = (features - mean) / deviation
    if targets.ndim == 1:
        weight, bias = _fitted(scaled, targets, penalty)
        if len(weight) == 1:
            weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    else:
        found = [_fitted_or_constant(scaled, column, penalty) for column in targets.T]
        weight = np.concatenate([each[0] for each in found])
        bias = np.concatenate([each[1] for each in found])
    weight = weight / deviation
    return Head(weight, bias - weight @ mean)


def _fitted(
    scaled: NDArray[np.float64], targets: NDArray[Any], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    from sklearn.linear_model import LogisticRegression  # slow to import

    strength = 1 / (penalty * scaled.shape[1])
    fitted = LogisticRegression(C=strength, max_iter=_ITERATIONS, tol=1e-5).fit(scaled, targets)
    return fitted.coef_, fitted.intercept_


def _fitted_or_constant(
    scaled: NDArray[np.float64], answers: NDArray[Any], penalty: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    count, yes = len(answers), float(answers.sum())
    if 0 < yes < count:
        return _fitted(scaled, answers > 0, penalty)
    odds = np.log((yes + 0.5) / (count - yes + 0.5))
    return np.zeros((1, scaled.shape[1])), np.array([odds])


def choose_penalty(
    features: NDArray[np.floating[Any]], targets: NDArray[Any], *, seed: int
) -> tuple[float, float]:
    """Choose the penalty by cross-validation: the one with the smallest log loss.

    The loss and not the accuracy decides: of a few hundred texts, the accuracy is the same for many penalties.

    Args:
        features: of the training part.
        targets: as of `solve`.
        seed: of the folds.

    Returns:
        The penalty, and its log loss per text in nats; the middle one and NaN where a label has fewer
        texts than two.
    """
    from sklearn.model_selection import KFold, StratifiedKFold

    single = targets.ndim == 1
    fewest = int(np.bincount(targets).min()) if single else len(targets)
    folds = min(FOLDS, fewest)
    if folds < 2:
        return PENALTIES[len(PENALTIES) // 2], float("nan")
    parts = (StratifiedKFold if single else KFold)(folds, shuffle=True, random_state=seed)
    cuts = list(parts.split(features, targets if single else None))
    losses = {}
    for penalty in PENALTIES:
        total = 0.0
        for train, valid in cuts:
            head = solve(features[train], targets[train], penalty)
            total += _log_loss(head.logits(features[valid]), targets[valid])
        losses[penalty] = total / len(features)
    best = min(losses, key=lambda penalty: losses[penalty])
    return best, losses[best]


def _log_loss(logits: NDArray[np.float64], targets: NDArray[Any]) -> float:
    if targets.ndim == 1:
        chosen = logits[np.arange(len(logits)), targets]
        return float((np.logaddexp.reduce(logits, axis=1) - chosen).sum())
    return float((np.logaddexp(0, logits) - logits * targets).sum())


def as_targets(targets: Tensor) -> NDArray[Any]:
    """Targets of a classifier as `solve` takes them."""
    found: NDArray[Any] = targets.numpy(force=True)
    return found if found.ndim == 2 else found.astype(np.int64)


def stacked(parts: Sequence[Tensor]) -> NDArray[np.float64]:
    """Features of several parts, one below the other."""
    return np.concatenate([part.numpy(force=True) for part in parts]).astype(np.float64)
