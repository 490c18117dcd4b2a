"""What training makes small."""

from __future__ import annotations

from dataclasses import dataclass

import torch.nn.functional as F
from torch import Tensor

__all__ = ["IGNORED", "Loss", "smoothed_cross_entropy"]

IGNORED = 0
"""The target that asks for nothing: padding."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A loss summed over what it counts, so that batches of any size add up exactly.

    Args:
        value: the sum, a scalar tensor with a gradient.
        count: how many targets it sums over.
    """

    value: Tensor
    count: int


def smoothed_cross_entropy(
    logits: Tensor, targets: Tensor, *, smoothing: float = 0.0, ignored: int = IGNORED
) -> Tensor:
    r"""Label-smoothed cross entropy, summed, in nats (Szegedy et al. 2016).

    .. math:: -(1 - \epsilon) \log p_y - \frac{\epsilon}{V} \sum_v \log p_v

    Args:
        logits: `(..., vocab)`.
        targets: `(...)`, integers.
        smoothing: :math:`\epsilon`.
        ignored: targets of this value add nothing.
    """
    return F.cross_entropy(
        logits.flatten(0, -2).float(),
        targets.flatten(),
        ignore_index=ignored,
        label_smoothing=smoothing,
        reduction="sum",
    )
