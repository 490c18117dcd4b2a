"""The sum of a linear n-gram classifier and a deep one: trained apart, saved, refitted."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from regard.models import build, configure, from_config
from regard.models.classifiers.wide_and_deep import WideAndDeep
from regard.text import Tokenizer

Encode: TypeAlias = Callable[[list[str]], tuple[Tensor, Tensor]]
Fitted: TypeAlias = tuple[WideAndDeep, Tensor, Tensor]


@pytest.fixture
def model(reviews: list[str], classes: Tensor, tokenizer: Tokenizer, encoded: Encode) -> Fitted:
    torch.manual_seed(0)
    network = build(configure("wide", "tiny", size=len(tokenizer), labels=2))
    texts = [e.ids for e in tokenizer.encode_batch(reviews)]
    network.fit_features(tokenizer.spelling, texts, classes)
    return network, *encoded(reviews)


def test_the_deep_part_learns_alone_and_both_answer(model: Fitted, classes: Tensor) -> None:
    network, ids, lengths = model
    network.train()
    network.deep.eval()  # no dropout
    torch.testing.assert_close(network(ids, lengths).logits, network.deep(ids, lengths).logits)
    network.eval()
    output, deep = network(ids, lengths), network.deep(ids, lengths)
    expected = network.wide(ids, lengths) + network.deep_weight * deep.logits
    torch.testing.assert_close(output.logits, expected)
    assert output.ensemble_logits is None
    assert output.maps["pooling"][0].shape == (7, 2, 1, ids.shape[1])
    assert torch.equal(output.logits.argmax(1), classes)


def test_saved_and_loaded(model: Fitted, tmp_path: Path) -> None:
    network, ids, lengths = model
    save_file(network.state_dict(), tmp_path / "model.safetensors")
    again = build(from_config(network.settings.model_dump()))
    again.load_state_dict(load_file(tmp_path / "model.safetensors"))
    network.eval()
    again.eval()
    assert torch.equal(again(ids, lengths).logits, network(ids, lengths).logits)


def test_refitted_with_more_texts(model: Fitted, classes: Tensor) -> None:
    """The n-grams stay, their weights follow the new labels."""
    network, ids, lengths = model
    keys, shapes = network.wide.key.clone(), {k: v.shape for k, v in network.state_dict().items()}
    texts = [row[:n].tolist() for row, n in zip(ids, lengths, strict=True)]
    assert network.refit(texts, 1 - classes)
    assert torch.equal(network.wide(ids, lengths).argmax(1), 1 - classes)
    assert torch.equal(network.wide.key, keys)
    assert {k: v.shape for k, v in network.state_dict().items()} == shapes
