"""Mean pooling as a layer: against the mean of the states of the body, with padding."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from regard.integrations.pretrained.classifier_head import reading
from regard.integrations.pretrained.folder import load_head, load_pretrained
from regard.integrations.pretrained.pooling import NEARLY_LINEAR, add_mean_pooling, pools_by_mean


@pytest.mark.parametrize("kind", ["bert", "roberta"])
def test_the_head_reads_the_normalised_mean(pretrained: Callable[[str], Path], kind: str) -> None:
    folder = pretrained(kind)
    model = load_head(folder, seed=0, num_labels=2).model
    ids = torch.tensor([[7, 8, 9, 10, 11], [7, 9, 11, 12, 13]])
    mask = torch.tensor([[1, 1, 1, 0, 0], [1, 1, 1, 1, 1]])
    with torch.no_grad():
        states = model.base_model(input_ids=ids, attention_mask=mask).last_hidden_state
        assert not pools_by_mean(model)
        assert add_mean_pooling(model)
        assert pools_by_mean(model)
        with reading(model) as layer:
            model(input_ids=ids, attention_mask=mask)
            read = layer.take()
    real = mask[..., None].float()
    mean = (states * real).sum(1) / real.sum(1)
    normal = (mean - mean.mean(-1, keepdim=True)) / mean.std(-1, keepdim=True, correction=0)
    # The token's own state is a thousandth of what is normalised; this tiny model's mean is small.
    torch.testing.assert_close(read, (NEARLY_LINEAR * normal).tanh(), atol=5e-3, rtol=0)


def test_other_architectures_are_left_as_they_are(pretrained: Callable[[str], Path]) -> None:
    model = load_pretrained(pretrained("gpt2-sentiment")).model
    layers = model.config.num_hidden_layers
    assert not add_mean_pooling(model)
    assert not pools_by_mean(model)
    assert model.config.num_hidden_layers == layers
