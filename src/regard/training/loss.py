"""What training makes small."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
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

    `F.cross_entropy` at half its time and memory: the gradient :math:`p - (1 - \epsilon) e_y - \epsilon / V`
    is made along with the loss, a few rows at a time while they are in the cache, so the logits are
    read once and no second matrix of their size is kept.

    Args:
        logits: `(..., vocab)`.
        targets: `(...)`, integers.
        smoothing: :math:`\epsilon`.
        ignored: targets of this value add nothing.
    """
    value: Tensor = _SmoothedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        logits.flatten(0, -2), targets.flatten(), smoothing, ignored
    )
    return value


ROWS_BYTES = 2**20
"""Logits handled at once, in float32: what stays in a core's cache."""


class _SmoothedCrossEntropy(torch.autograd.Function):
    """The loss, with its gradient made on the way."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, smoothing: float, ignored: int
    ) -> Tensor:
        wide = torch.promote_types(logits.dtype, torch.float32)
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        gradient = torch.empty_like(logits) if logits.requires_grad else None
        rows = max(1, ROWS_BYTES // (4 * logits.shape[-1]))
        for start in range(0, len(logits), rows):
            part, target = logits[start : start + rows].to(wide), targets[start : start + rows]
            counted = (target != ignored).to(wide)
            at = target.clamp_min(0)[:, None]
            top = part.amax(-1, keepdim=True)
            shares = (part - top).exp_()
            norm = shares.sum(-1, keepdim=True)
            log_sum = top + norm.log()
            likely, mean = part.gather(1, at), part.mean(-1, keepdim=True)
            losses = log_sum - (1 - smoothing) * likely - smoothing * mean
            total += losses[:, 0] @ counted
            if gradient is not None:
                shares.div_(norm).sub_(smoothing / part.shape[-1])
                shares.scatter_add_(1, at, torch.full_like(likely, smoothing - 1))
                gradient[start : start + rows] = shares.mul_(counted[:, None])
        ctx.save_for_backward(gradient)
        return total.to(wide)

    @staticmethod
    def backward(ctx: Any, upstream: Tensor) -> tuple[Tensor, None, None, None]:
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.to(gradient.dtype), None, None, None
