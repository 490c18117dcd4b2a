"""Pointer-generator: what can be copied, the mixture, the coverage loss."""

from __future__ import annotations

import pytest
import torch

from regard.decoding import DecodingSettings, decode
from regard.models import build, configure
from regard.models.pointer_generator import PointerGenerator, assign_copy_ids

SOURCE = torch.tensor([[5, 11, 7, 11], [12, 6, 0, 0]])  # 11 and 12: words outside the vocabulary
LENGTHS = torch.tensor([4, 2])
TARGET = torch.tensor([[2, 5, 11, 7], [2, 12, 0, 0]])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


def pointer(*, coverage: float = 1.0) -> PointerGenerator:
    model = build(configure("pointer", size=11, embedding=6, width=5, coverage=coverage))
    assert isinstance(model, PointerGenerator)
    return model.eval()


def test_only_the_sources_own_words_can_be_copied() -> None:
    probability = pointer()(SOURCE, LENGTHS, TARGET).logits.exp()
    assert probability.shape == (2, 4, 13)
    torch.testing.assert_close(probability.sum(-1), torch.ones(2, 4))
    assert (probability[0, :, 11] > 0.01).all()
    assert (probability[1, :2, 12] > 0.01).all()
    assert (probability[0, :, 12] < 1e-30).all()
    assert (probability[1, :, 11] < 1e-30).all()


@torch.no_grad()
def test_a_word_that_another_source_holds_cannot_be_written() -> None:
    model = pointer()
    memory = model.encode(SOURCE, LENGTHS)
    logits = model.step(torch.tensor([2, 2]), model.start(memory), memory).logits
    assert logits[:, 11:].isfinite().tolist() == [[True, False], [False, True]]
    # Ten known tokens, each once at most: only what the source itself adds is left after them.
    settings = DecodingSettings(beam=3, n_best=3, block_ngrams=1, min_length=9, max_length=12)
    for own, answers in zip((11, 12), decode(model, SOURCE, LENGTHS, settings), strict=True):
        assert {token for h in answers for token in h.ids if token > 10} <= {own}


def test_copying_alone_is_the_attention() -> None:
    model = pointer()
    with torch.no_grad():
        model.writes.bias.fill_(-50.0)
    output = model(SOURCE, LENGTHS, TARGET)
    weights = output.maps["cross"][0].dense()
    copied = torch.stack([weights[0, :, 0], weights[0, :, 1] + weights[0, :, 3]])
    torch.testing.assert_close(output.logits[0].exp()[:, [5, 11]].T, copied)


def test_words_outside_the_vocabulary_are_embedded_as_unknown() -> None:
    model = pointer()
    known = TARGET.where(TARGET < 11, 1)
    torch.testing.assert_close(
        model(SOURCE, LENGTHS, known).logits, model(SOURCE, LENGTHS, TARGET).logits
    )


def test_coverage_loss_by_hand() -> None:
    model = pointer(coverage=0.5)
    output = model(SOURCE, LENGTHS, TARGET)
    weights = output.maps["cross"][0].dense()
    covered = weights.cumsum(1) - weights
    twice = torch.minimum(weights, covered).sum(-1)
    real = TARGET != 0
    torch.testing.assert_close(output.penalty, 0.5 * twice[real].mean())
    assert pointer(coverage=0.0)(SOURCE, LENGTHS, TARGET).penalty is None


def test_unknown_words_get_one_id_each() -> None:
    ids, unknown = assign_copy_ids(["a", "Xy", "b", "Zz", "Xy"], [4, 1, 5, 1, 1], 20)
    assert (ids, unknown) == ([4, 20, 5, 21, 20], {"Xy": 20, "Zz": 21})
