r"""Rivals of attention that need several passes: integrated gradients and occlusion.

Both compare a text :math:`x` with a baseline :math:`x'` in which the model's mask token stands for each
ordinary token; y is the predicted label.

* **Integrated gradients** (Sundararajan et al. 2017), along the straight line between the embeddings:
  :math:`\sum_d (x_{id} - x'_{id}) \frac{1}{m} \sum_{k=1}^{m} \frac{\partial \log p(y)}{\partial x_{id}}
  \left(x' + \frac{k - 1/2}{m} (x - x')\right)`, with m = 32 steps. Over all tokens they sum to
  :math:`\log p(y \mid x) - \log p(y \mid x')`, up to the error of the steps.
* **Occlusion** (Zeiler and Fergus 2014): :math:`\log p(y \mid x) - \log p(y \mid x` with token i masked).
  In long texts neighbours are masked together, at most 64 groups of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from regard.evaluation.faithfulness.contracts import Ids
from regard.evaluation.metrics.intervals import Floats

__all__ = ["INTEGRATION_STEPS", "integrated_gradients", "occlusion"]

INTEGRATION_STEPS = 32
"""Points on the way from the baseline to the text, in the middle of as many equal parts."""

_OCCLUSIONS = 64
"""Most variants of a text that occlusion classifies."""


def integrated_gradients(
    model: Any,
    ids: Tensor,
    baseline: Tensor,
    lengths: Tensor,
    log_probs: Callable[[Tensor], Tensor],
    *,
    steps: int = INTEGRATION_STEPS,
) -> Tensor:
    """Compute integrated gradients of the predicted label, in the shape of `ids`.

    Args:
        model: an `Explainable` that looks each id up once, in one table.
        ids: `(batch, length)`, padded.
        baseline: ids of the same shape, where the way begins.
        lengths: `(batch,)`.
        log_probs: makes log-probabilities of logits.
        steps: points on the way.
    """
    with torch.no_grad():
        label = model(ids, lengths).logits.argmax(-1)
    start, end = (_vectors(model, each, lengths) for each in (baseline, ids))
    total = torch.zeros_like(end)
    for step in range(steps):
        point = start + (step + 0.5) / steps * (end - start)
        with model.embedding_lookups(ids, at=point) as lookups:
            logits = model(ids, lengths).logits
        answer = log_probs(logits).gather(1, label[:, None]).sum()
        (gradient,) = torch.autograd.grad(answer, [lookups[0][1]])
        total += gradient
    return ((end - start) * total / steps).sum(-1)


def _vectors(model: Any, ids: Tensor, lengths: Tensor) -> Tensor:
    """Embeddings of a batch, `(batch, length, width)`."""
    with torch.no_grad(), model.embedding_lookups(ids) as lookups:
        model(ids, lengths)
    vectors: Tensor = lookups[0][1].detach()
    return vectors


def occlusion(
    predict: Callable[[Sequence[Ids]], Floats],
    text: Ids,
    *,
    mask_id: int,
    special_ids: frozenset[int],
) -> Floats:
    """Compute by how much log p of the predicted label falls without each token, `(length,)`."""
    ordinary = [i for i, token in enumerate(text) if token not in special_ids]
    groups = np.array_split(ordinary, min(len(ordinary), _OCCLUSIONS)) if ordinary else []
    variants = [list(text)]
    for group in groups:
        hidden = set(group.tolist())
        variants.append([mask_id if i in hidden else t for i, t in enumerate(text)])
    probabilities = predict(variants)
    label = int(probabilities[0].argmax())
    logs = np.log(np.maximum(probabilities[:, label], np.finfo(np.float64).tiny))
    found = np.zeros(len(text))
    for group, fall in zip(groups, logs[0] - logs[1:], strict=True):
        found[group] = fall / len(group)
    return found
