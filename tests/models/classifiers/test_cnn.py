"""The convolutional classifier, beside what all classifiers do."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from regard.models import Classifier
from regard.models.classifiers.cnn import Cnn, CnnTextEncoder

NewClassifier: TypeAlias = Callable[..., Classifier]
NewBatch: TypeAlias = Callable[..., tuple[Tensor, Tensor]]


def test_max_pooling_ignores_padding(new_classifier: NewClassifier, new_batch: NewBatch) -> None:
    """The last features are the maximum of each filter, also of a short text among long ones."""
    network = new_classifier("cnn", max_pooling=True).double().eval()
    assert isinstance(network, Cnn)
    (encoder,) = network.readers
    assert isinstance(encoder, CnnTextEncoder)
    ids, lengths = new_batch()
    pooled, _ = encoder(ids, lengths)
    (filters,) = encoder.filters
    short = encoder.embedding(ids[1:2, :7]).mT
    expected = filters(torch.nn.functional.pad(short, (1, 1))).relu().amax(-1)
    torch.testing.assert_close(pooled[1:2, -expected.shape[1] :], expected)
    assert pooled.shape == (3, encoder.width)
