"""Classifiers as `trust` questions them: padding, gradients, replaced weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from regard.attention import AttentionMap
from regard.errors import InputError
from regard.evaluation.faithfulness import Steerable
from regard.evaluation.faithfulness_models import Classified, explained
from regard.layers.pooling import AttentionPooling
from regard.models import Classifier, Output

TEXTS = [[4, 5, 6], [7, 8, 9, 10, 4, 5, 6], [11]]


class Pooled(Classifier):
    def __init__(self, heads=1):
        super().__init__()
        torch.manual_seed(heads)
        self.embedding = nn.Embedding(12, 6)
        self.dropout = nn.Dropout(0.5)
        self.pooling = AttentionPooling(6, heads=heads)
        self.head = nn.Linear(6 * heads, 3)

    def forward(self, ids, lengths):
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        pooled, weights = self.pooling(self.dropout(self.embedding(ids)), mask)
        return Output(self.head(pooled), {"pooling": [weights]})


@pytest.fixture(params=[1, 2])
def model(request):
    return Pooled(request.param)


def test_a_batch_answers_as_its_texts_do_alone(model):
    asked = explained(model)
    for n, text in enumerate(TEXTS):
        np.testing.assert_allclose(asked.predict(TEXTS)[n], asked.predict([text])[0], atol=1e-6)
        np.testing.assert_allclose(asked.attention(TEXTS)[n], asked.attention([text])[0], atol=1e-6)
        np.testing.assert_allclose(asked.gradient(TEXTS)[n], asked.gradient([text])[0], atol=1e-6)


def test_shapes_and_sums(model):
    asked = explained(model)
    assert asked.predict(TEXTS).shape == (3, 3)
    np.testing.assert_allclose(asked.predict(TEXTS).sum(-1), 1)
    for text, weights, slope in zip(
        TEXTS, asked.attention(TEXTS), asked.gradient(TEXTS), strict=True
    ):
        assert weights.shape == (model.pooling.context.shape[0], len(text))
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
        assert slope.shape == (len(text),)


def test_its_own_weights_give_its_own_answer(model):
    asked = explained(model)
    assert isinstance(asked, Steerable)
    again = asked.predict_with(TEXTS, asked.attention(TEXTS))
    np.testing.assert_allclose(again, asked.predict(TEXTS), atol=1e-6)


def test_all_weight_on_one_token_gives_that_tokens_answer(model):
    asked = explained(model)
    heads = model.pooling.context.shape[0]
    alone = asked.predict([[9]])
    steered = asked.predict_with([TEXTS[1]], [np.tile([0, 0, 1.0, 0, 0, 0, 0], (heads, 1))])
    np.testing.assert_allclose(steered, alone, atol=1e-6)


def test_gradient_times_input_by_differences(model):
    # g_t = d/ds log p(y) at s = 1, where the embedding of place t is scaled by s.
    model.double().eval()
    ids, lengths = torch.tensor([TEXTS[1]]), torch.tensor([7])
    label = model(ids, lengths).logits.argmax()
    slopes = explained(model).gradient([TEXTS[1]])[0]

    def answer(place, scale):
        def stretch(module, args, output):
            factor = torch.ones(7, 1, dtype=torch.float64)
            factor[place] = scale
            return output * factor

        hook = model.embedding.register_forward_hook(stretch)
        logits = model(ids, lengths).logits[0]
        hook.remove()
        return logits.log_softmax(-1)[label].item()

    numeric = [(answer(t, 1 + 1e-5) - answer(t, 1 - 1e-5)) / 2e-5 for t in range(7)]
    np.testing.assert_allclose(slopes, numeric, atol=1e-7)


def test_the_model_is_as_it_was(model):
    model.train()
    model.head.eval()
    asked = explained(model)
    asked.predict_with(TEXTS, asked.attention(TEXTS))
    asked.gradient(TEXTS)
    assert model.training
    assert model.dropout.training
    assert not model.head.training
    assert not model.pooling._forward_hooks
    assert not model.embedding._forward_hooks
    assert all(p.grad is None for p in model.parameters())


class Shown(Classifier):
    """Shows given maps."""

    def __init__(self, maps):
        super().__init__()
        self.maps, self.bias = maps, nn.Parameter(torch.zeros(2))

    def forward(self, ids, lengths):
        return Output(self.bias.expand(len(ids), 2), self.maps)


def test_without_pooling_tokens_count_by_what_they_receive():
    rows = torch.tensor([[[[0.5, 0.5, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 1.0]]]])
    asked = explained(Shown({"encoder": [AttentionMap.from_dense(rows)]}))
    assert type(asked) is Classified
    assert not isinstance(asked, Steerable)
    with torch.no_grad():
        received = asked.attention([[4, 5, 6]])[0]
    np.testing.assert_allclose(received, [[1.4 / 3, 0.6 / 3, 1 / 3]], atol=1e-6)


def test_a_model_that_shows_nothing_is_told():
    with pytest.raises(InputError, match="attention in no place"):
        explained(Shown({})).attention([[4]])
    with pytest.raises(InputError, match=r"does not look its ids up in an nn\.Embedding"):
        explained(Shown({})).gradient([[4]])
