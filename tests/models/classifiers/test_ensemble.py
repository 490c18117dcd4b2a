"""Every classifier: shapes, padding, maps, ensembles, a round trip."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
import torch
from torch import Tensor

from regard.models import Classifier, build, from_config

NewClassifier: TypeAlias = Callable[..., Classifier]
NewBatch: TypeAlias = Callable[..., tuple[Tensor, Tensor]]

SITES = {
    "feedforward": {"pooling"},
    "bigru": {"pooling"},
    "cnn": {"encoder", "pooling"},
    "transformer-classifier": {"encoder", "pooling"},
    "hierarchical": {"words", "sentences"},
    "wide": {"pooling"},
}
KINDS = list(SITES)


@pytest.mark.parametrize("kind", KINDS)
def test_shapes_and_maps(kind: str, new_classifier: NewClassifier, new_batch: NewBatch) -> None:
    ids, lengths = new_batch()
    output = new_classifier(kind).eval()(ids, lengths)
    assert output.logits.shape == (3, 3)
    assert set(output.maps) == SITES[kind]
    for site, maps in output.maps.items():
        rows = maps[0].dense().sum(-1)
        if site in ("pooling", "sentences"):
            assert maps[0].shape[2] == 1
            torch.testing.assert_close(rows, torch.ones_like(rows))
        if site in ("pooling", "encoder", "words"):
            assert maps[0].shape[-1] == 13
            assert not maps[0].dense()[1, ..., 7:].any()


@pytest.mark.parametrize("kind", KINDS)
def test_padding_and_other_texts_change_nothing(
    kind: str, new_classifier: NewClassifier, new_batch: NewBatch
) -> None:
    network = new_classifier(kind).double().eval()
    ids, lengths = new_batch()
    alone = [network(ids[i : i + 1, :n], lengths[i : i + 1]).logits for i, n in enumerate(lengths)]
    torch.testing.assert_close(network(ids, lengths).logits, torch.cat(alone))


@pytest.mark.parametrize("kind", KINDS)
def test_an_empty_text_has_finite_logits(kind: str, new_classifier: NewClassifier) -> None:
    """The first token of an empty text is padding: that is how it is encoded."""
    network = new_classifier(kind)
    logits = network(torch.zeros(2, 1, dtype=torch.int64), torch.tensor([1, 1])).logits
    logits.sum().backward()
    assert logits.isfinite().all()


@pytest.mark.parametrize("kind", KINDS)
def test_settings_come_back(kind: str, new_classifier: NewClassifier, new_batch: NewBatch) -> None:
    network = new_classifier(kind)
    again = build(from_config(network.settings.model_dump()))
    again.load_state_dict(network.state_dict())
    ids, lengths = new_batch()
    expected = network.eval()(ids, lengths).logits
    assert torch.equal(again.eval()(ids, lengths).logits, expected)


@pytest.mark.parametrize("kind", KINDS)
def test_an_ensemble_answers_by_the_mean_of_its_members(
    kind: str, new_classifier: NewClassifier, new_batch: NewBatch
) -> None:
    output = new_classifier(kind, members=2)(*new_batch())
    assert output.ensemble_logits is not None
    assert output.ensemble_logits.shape == (2, 3, 3)
    assert not torch.equal(*output.ensemble_logits)
    torch.testing.assert_close(output.ensemble_logits.mean(0), output.logits)
    assert {len(maps) for maps in output.maps.values()} == {2}


def test_word_dropout_replaces_words_by_unknown(
    new_classifier: NewClassifier, new_batch: NewBatch
) -> None:
    network = new_classifier("bigru", word_dropout=0.9999, dropout=0.0)
    ids, lengths = new_batch((7,))
    unknown = torch.where(ids != 0, 1, 0)
    torch.testing.assert_close(
        network(ids, lengths).logits, network.eval()(unknown, lengths).logits
    )
