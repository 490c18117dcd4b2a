"""The sentence extractor: scores, selection, gradients."""

from __future__ import annotations

import torch
from torch import nn

from regard.models import build, configure
from regard.models.extractive import SentenceExtractor

WORDS = torch.randint(4, 13, (3, 4, 5), generator=torch.Generator().manual_seed(0))
WORD_LENGTHS = torch.tensor([[5, 3, 1, 2], [2, 4, 0, 0], [1, 0, 0, 0]])


def extractor() -> SentenceExtractor:
    model = build(configure("extractive", size=13, embedding=6, width=5, max_positions=3))
    nn.init.normal_(model.place)
    assert isinstance(model, SentenceExtractor)
    return model.double().eval()


def test_scores_of_real_sentences_are_finite_and_independent_of_padding() -> None:
    model = extractor()
    output = model(WORDS, WORD_LENGTHS)
    logits, maps = output.logits, output.maps
    assert torch.equal(logits.isfinite(), WORD_LENGTHS > 0)
    torch.testing.assert_close(maps["sentences"][0].dense()[:, 0], logits.softmax(-1))
    for row in range(3):
        count = int((WORD_LENGTHS[row] > 0).sum())
        alone = model(WORDS[row : row + 1, :count], WORD_LENGTHS[row : row + 1, :count]).logits
        torch.testing.assert_close(alone[0], logits[row, :count])


def test_best_sentences_are_in_document_order() -> None:
    model = extractor()
    output = model(WORDS, WORD_LENGTHS)
    assert model.best_sentences(output, 1) == [[int(row.argmax())] for row in output.logits]
    picked = model.best_sentences(output, 3)
    assert [len(p) for p in picked] == [3, 2, 1]
    assert all(p == sorted(p) for p in picked)


def test_gradients_are_finite() -> None:
    model = extractor().train()
    output = model(WORDS, WORD_LENGTHS)
    nn.functional.cross_entropy(output.logits, torch.tensor([2, 1, 0])).backward()
    assert all(p.grad is not None and p.grad.isfinite().all() for p in model.parameters())


def test_token_attention_is_per_sentence() -> None:
    model = extractor()
    output = model(WORDS, WORD_LENGTHS)
    weights = model.token_attention(output.maps, WORD_LENGTHS)
    assert weights.shape == (3, 1, 4, 5)
    real = (WORD_LENGTHS > 0).to(weights)
    torch.testing.assert_close(weights.sum(-1)[:, 0], real)
