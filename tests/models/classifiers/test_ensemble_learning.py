"""Every deep classifier learns a task whose answer is one word."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import pytest
import torch
from torch import Tensor

from regard.models import Classifier

NewClassifier: TypeAlias = Callable[..., Classifier]


def planted(count: int, seed: int, size: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Texts of 11 words, one of which (4 or 5) is the label."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(6, size - 3, (count, 11), generator=generator)
    position = torch.randint(11, (count,), generator=generator)
    label = torch.randint(2, (count,), generator=generator)
    ids[torch.arange(count), position] = 4 + label
    return ids, torch.full((count,), 11), position, label


@pytest.mark.slow
@pytest.mark.parametrize(
    "kind", ["feedforward", "bigru", "cnn", "transformer-classifier", "hierarchical"]
)
def test_it_learns_the_planted_word_and_attends_to_it(
    kind: str, surfaces: list[str], new_classifier: NewClassifier
) -> None:
    network = new_classifier(kind, 2, dropout=0.1)
    optimizer = torch.optim.AdamW(network.parameters(), lr=5e-3)
    for step in range(100):
        ids, lengths, _, label = planted(64, step, len(surfaces))
        loss = torch.nn.functional.cross_entropy(network(ids, lengths).logits, label)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    ids, lengths, position, label = planted(300, 1000, len(surfaces))
    output = network.eval()(ids, lengths)
    assert (output.logits.argmax(1) == label).double().mean() > 0.97
    # Self-attention has spread the word before it is pooled.
    if kind == "transformer-classifier":
        attended = output.maps["encoder"][0].received().sum(1).argmax(-1)
    else:
        site = "words" if kind == "hierarchical" else "pooling"
        attended = output.maps[site][0].dense()[:, 0, 0].argmax(-1)
    at_or_beside = ((attended - position).abs() <= 1).double().mean()  # by chance 0.26
    assert at_or_beside > (0.4 if kind == "transformer-classifier" else 0.7)
