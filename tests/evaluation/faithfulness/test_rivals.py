"""Integrated gradients and occlusion against values worked out by hand and by completeness."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.evaluation.faithfulness.adapters import ComparedClassifierAdapter, adapt_classifier
from regard.evaluation.faithfulness.contracts import TrustSettings
from regard.evaluation.faithfulness.trust import trust
from regard.models import Explainable, Output

TEXTS = [[2, 5, 6, 7, 3], [2, 8, 5, 3]]
QUICK = TrustSettings(random_rankings=2, resamples=50)


class Pooled(Explainable):
    """Mean of embeddings, a nonlinearity, two labels; attention is uniform."""

    compares_rivals = True
    mask_id = 4

    def __init__(self, *, multilabel: bool = False) -> None:
        super().__init__()
        torch.manual_seed(1)
        self.table = nn.Embedding(10, 6)
        self.head = nn.Linear(6, 2)
        self.multilabel = multilabel

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        real = (ids != 0).float()
        states = self.table(ids) * real[..., None]
        logits = self.head(torch.tanh(2 * states.sum(1) / lengths[:, None]))
        weights = (real / real.sum(1, keepdim=True))[:, None, None]
        return Output(3 * logits, {"pooling": [AttentionMap.from_dense(weights)]})


def compared(model: Pooled, *, multilabel: bool = False) -> ComparedClassifierAdapter:
    adapter: Any = adapt_classifier(model, multilabel=multilabel)
    assert isinstance(adapter, ComparedClassifierAdapter)
    return adapter


@pytest.mark.parametrize("multilabel", [False, True])
def test_integrated_gradients_are_complete(multilabel: bool) -> None:
    adapter = compared(Pooled().double(), multilabel=multilabel)
    found = adapter.integrated_gradients(TEXTS, steps=200)
    baselines = [[2, 4, 4, 4, 3], [2, 4, 4, 3]]
    here, there = adapter.predict(TEXTS), adapter.predict(baselines)
    for row, (scores, text) in enumerate(zip(found, TEXTS, strict=True)):
        label = here[row].argmax()
        assert scores.sum() == pytest.approx(np.log(here[row, label] / there[row, label]), abs=1e-4)
        assert scores[0] == scores[len(text) - 1] == 0  # special tokens stay as they are


def test_few_steps_are_the_midpoint_rule() -> None:
    """One step is the gradient half way, times the difference."""
    model = Pooled().double()
    adapter = compared(model)
    text = TEXTS[1]
    found = adapter.integrated_gradients([text], steps=1)[0]
    ids, base = torch.tensor([text]), torch.tensor([[2, 4, 4, 3]])
    start, end = model.table(base).detach(), model.table(ids).detach()
    point = (0.5 * (start + end)).requires_grad_()
    logits = 3 * model.head(torch.tanh(2 * point.sum(1) / 4))
    label = int(model(ids, torch.tensor([4])).logits.argmax())
    (gradient,) = torch.autograd.grad(logits.log_softmax(-1)[0, label], point)
    np.testing.assert_allclose(found, ((end - start) * gradient).sum(-1)[0].numpy(), atol=1e-10)


def test_occlusion_masks_one_token_after_another() -> None:
    adapter = compared(Pooled().double())
    found = adapter.occlusion(TEXTS[0])
    whole = adapter.predict([TEXTS[0]])[0]
    label = whole.argmax()
    for position in (1, 2, 3):
        masked = [4 if i == position else t for i, t in enumerate(TEXTS[0])]
        fall = np.log(whole[label] / adapter.predict([masked])[0, label])
        assert found[position] == pytest.approx(fall)
    assert found[0] == found[4] == 0
    long = [2, *[5, 6, 7, 8] * 40, 3]
    assert len(set(np.round(adapter.occlusion(long), 9))) <= 65


def test_rivals_stand_in_the_verdict() -> None:
    drawn = np.random.default_rng(0).integers(5, 10, (8, 6)).tolist()
    verdict = trust(compared(Pooled()), [[2, *ids, 3] for ids in drawn], settings=QUICK)
    header = str(verdict).splitlines()[2]
    assert "integrated gradients" in header
    assert "occlusion" in header
    assert set(verdict.agreement) == {"attention", "gradient", "integrated gradients", "occlusion"}
    for scores in verdict.comprehensiveness.values():
        assert set(scores.rivals) == {"integrated gradients", "occlusion"}
    # Attention is the same everywhere, so the rivals must find more.
    needed = verdict.comprehensiveness["delete"]
    assert needed.rivals["occlusion"].mean > needed.attention.mean
