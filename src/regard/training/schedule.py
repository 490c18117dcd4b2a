"""Learning-rate schedules."""

from __future__ import annotations

import math

from regard.training.settings import TrainingSettings

__all__ = ["learning_rate"]


def learning_rate(step: int, total: int, settings: TrainingSettings) -> float:
    r"""Compute the learning rate of update `step` (counted from 1) of `total`.

    All schedules rise linearly over `warmup` updates. Afterwards, with :math:`p` the fraction of the
    remaining updates that is done, :math:`t` the update and :math:`w` the warm-up, the factor is

    ============== =====================================================
    `inverse_sqrt` :math:`\sqrt{w / t}`, Vaswani et al. 2017; endless
    `linear`       :math:`1 - p`
    `cosine`       :math:`(1 + \cos \pi p) / 2`, Loshchilov and Hutter 2017
    `constant`     1
    ============== =====================================================
    """
    # A warm-up longer than the run would never reach the learning rate of the settings.
    warmup = max(1, min(settings.warmup, total // 2))
    if step < warmup:
        return settings.learning_rate * step / warmup
    done = min(1.0, (step - warmup) / max(1, total - warmup))
    match settings.schedule:
        case "inverse_sqrt":
            factor = math.sqrt(warmup / step)
        case "linear":
            factor = 1 - done
        case "cosine":
            factor = (1 + math.cos(math.pi * done)) / 2
        case "constant":
            factor = 1.0
    return settings.learning_rate * factor
