"""Losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

__all__ = ["IGNORE_INDEX", "Loss", "smoothed_cross_entropy"]

IGNORE_INDEX = 0
"""Target that adds nothing to the loss: padding."""

_CHUNK_BYTES = 2**20
"""Logits that are processed at once, in float32: as many as stay in the cache of a core."""


@dataclass(frozen=True, slots=True)
class Loss:
    """A summed loss with its number of targets, so that batches of any size add up exactly.

    Args:
        value: the sum, a scalar tensor with a gradient.
        count: number of targets.
    """

    value: Tensor
    count: int


def smoothed_cross_entropy(
    logits: Tensor, targets: Tensor, *, smoothing: float = 0.0, ignore_index: int = IGNORE_INDEX
) -> Tensor:
    r"""Compute the label-smoothed cross entropy, summed, in nats (Szegedy et al. 2016).

    .. math:: -(1 - \epsilon) \log p_y - \frac{\epsilon}{V} \sum_v \log p_v

    Takes half the time and memory of `F.cross_entropy`: the gradient :math:`p - (1 - \epsilon) e_y -
    \epsilon / V` is computed with the loss, a few rows at a time while they are in the cache, so the
    logits are read once and no second matrix of their size is kept.

    Args:
        logits: `(..., vocab)`.
        targets: `(...)`, integers.
        smoothing: :math:`\epsilon`.
        ignore_index: targets of this value add nothing.
    """
    value: Tensor = _SmoothedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        logits.flatten(0, -2), targets.flatten(), smoothing, ignore_index
    )
    return value


class _SmoothedCrossEntropy(torch.autograd.Function):
    """The loss; its gradient is computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, smoothing: float, ignore_index: int
    ) -> Tensor:
        wide = torch.promote_types(logits.dtype, torch.float32)
        total = torch.zeros((), dtype=torch.float64, device=logits.device)
        gradient = torch.empty_like(logits) if logits.requires_grad else None
        rows = max(1, _CHUNK_BYTES // (4 * logits.shape[-1]))
        for start in range(0, len(logits), rows):
            chunk, target = logits[start : start + rows].to(wide), targets[start : start + rows]
            counted = (target != ignore_index).to(wide)
            index = target.clamp_min(0)[:, None]  # any valid index will do where nothing is counted
            top = chunk.amax(-1, keepdim=True)
            probabilities = (chunk - top).exp_()
            norm = probabilities.sum(-1, keepdim=True)
            log_sum = top + norm.log()
            chosen, mean = chunk.gather(1, index), chunk.mean(-1, keepdim=True)
            losses = log_sum - (1 - smoothing) * chosen - smoothing * mean
            total += losses[:, 0] @ counted
            if gradient is not None:
                probabilities.div_(norm).sub_(smoothing / chunk.shape[-1])
                probabilities.scatter_add_(1, index, torch.full_like(chosen, smoothing - 1))
                gradient[start : start + rows] = probabilities.mul_(counted[:, None])
        ctx.save_for_backward(gradient)
        return total.to(wide)

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None, None]:
        (upstream,) = grad_outputs
        (gradient,) = ctx.saved_tensors
        return gradient * upstream.to(gradient.dtype), None, None, None
