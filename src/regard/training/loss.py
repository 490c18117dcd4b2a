"""Losses."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from regard.attention.arrays import is_on_host
from regard.compiled.memory import empty_in_large_pages

__all__ = ["IGNORE_INDEX", "Loss", "cross_entropy_loss", "smoothed_cross_entropy"]

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
        plain: the sum without label smoothing, which is recorded and shown, since a validation
            measures the same; `None` where `value` is that.
    """

    value: Tensor
    count: int
    plain: Tensor | None = None


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
    return _cross_entropies(logits, targets, smoothing, ignore_index)[0]


def cross_entropy_loss(
    logits: Tensor,
    targets: Tensor,
    count: int,
    *,
    smoothing: float = 0.0,
    ignore_index: int = IGNORE_INDEX,
) -> Loss:
    """Compute the label-smoothed cross entropy, and the plain one in the same pass.

    Args:
        logits: `(..., vocab)`.
        targets: `(...)`, integers.
        count: number of targets.
        smoothing: as in `smoothed_cross_entropy`.
        ignore_index: targets of this value add nothing.
    """
    value, plain = _cross_entropies(logits, targets, smoothing, ignore_index)
    return Loss(value, count, plain)


def _cross_entropies(
    logits: Tensor, targets: Tensor, smoothing: float, ignore_index: int
) -> tuple[Tensor, Tensor]:
    """Label-smoothed cross entropy and, without a gradient, the plain one."""
    found: tuple[Tensor, Tensor] = _SmoothedCrossEntropy.apply(  # type: ignore[no-untyped-call]
        logits.flatten(0, -2), targets.flatten(), smoothing, ignore_index
    )
    return found


def _empty_like(logits: Tensor) -> Tensor:
    if logits.device.type == "cpu" and logits.dtype == torch.float32:
        return empty_in_large_pages(logits.shape)
    return torch.empty_like(logits)


def _never(logits: Tensor) -> Tensor | None:
    """Entries that a model never writes, -inf in every row; `None` if there are none.

    A pretrained model has none of some of our ids. Smoothing is over the others.
    """
    never = logits[:1].isinf().any(0)
    return never if bool(never.any()) else None


class _SmoothedCrossEntropy(torch.autograd.Function):
    """Both losses; the gradient of the smoothed one is computed in the forward pass."""

    @staticmethod
    def forward(
        ctx: Any, logits: Tensor, targets: Tensor, smoothing: float, ignore_index: int
    ) -> tuple[Tensor, Tensor]:
        wide = torch.promote_types(logits.dtype, torch.float32)
        total, plain = torch.zeros(2, dtype=torch.float64, device=logits.device)
        gradient = _empty_like(logits) if logits.requires_grad else None
        rows = max(1, _CHUNK_BYTES // (4 * logits.shape[-1]))
        never = _never(logits)
        size = logits.shape[-1] - (0 if never is None else int(never.sum()))
        for start in range(0, len(logits), rows):
            chunk, target = logits[start : start + rows].to(wide), targets[start : start + rows]
            counted = (target != ignore_index).to(wide)
            index = target.clamp_min(0)[:, None]  # any valid index will do where nothing is counted
            top = chunk.amax(-1, keepdim=True)
            probabilities = (chunk - top).exp_()
            norm = probabilities.sum(-1, keepdim=True)
            log_sum = top + norm.log()
            chosen = chunk.gather(1, index)
            if never is None:
                mean = chunk.mean(-1, keepdim=True)
            else:
                mean = chunk.masked_fill(never, 0.0).sum(-1, keepdim=True) / size
                chosen = torch.where(counted[:, None] > 0, chosen, 0.0)  # padding may be -inf, too
            losses = log_sum - (1 - smoothing) * chosen - smoothing * mean
            total += losses[:, 0] @ counted
            plain += (log_sum - chosen)[:, 0] @ counted
            if gradient is not None:
                factor = counted[:, None]
                part = gradient[start : start + rows]
                found = part if part.dtype == wide else probabilities  # rounded once, at the end
                torch.mul(probabilities, factor / norm, out=found)
                if smoothing:
                    found.sub_(factor * (smoothing / size))
                found.scatter_add_(1, index, factor * (smoothing - 1))
                if found is not part:
                    part.copy_(found)
        ctx.save_for_backward(gradient)
        plain = plain.to(wide)
        ctx.mark_non_differentiable(plain)
        return total.to(wide), plain

    @staticmethod
    def backward(ctx: Any, *grad_outputs: Any) -> tuple[Tensor, None, None, None]:
        upstream, _ = grad_outputs
        (gradient,) = ctx.saved_tensors
        # Multiplying is a pass over all logits, and as much memory again. A training run's factor is 1.
        if not (is_on_host(upstream) and float(upstream) == 1):
            gradient = gradient * upstream.to(gradient.dtype)
        return gradient, None, None, None
