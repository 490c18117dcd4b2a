"""Classifiers as `trust` examines them: padding, gradients, replaced weights."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from regard.attention import AttentionMap
from regard.errors import InputError
from regard.evaluation.faithfulness.adapters import ClassifierAdapter, adapt_classifier
from regard.evaluation.faithfulness.contracts import ReweightableClassifier
from regard.layers.pooling import AttentionPooling
from regard.models import Classifier, Output, build, configure

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


def real(kind, **settings):
    torch.manual_seed(0)
    model = build(configure(kind, preset="tiny", size=12, labels=3, heads=2, **settings))
    surfaces = [" word"] * 12
    surfaces[6] = "."  # ends sentences
    model.fit_features(surfaces, TEXTS, torch.tensor([0, 1, 2]))
    return model


def wide(deep):
    torch.manual_seed(0)
    model = build(configure("wide", preset="tiny", size=12, labels=3, deep=deep))
    model.fit_features(
        [f" {letter * 3}" for letter in "abcdefghijkl"], TEXTS, torch.tensor([0, 1, 2])
    )
    return model


MODELS = {
    "one head": lambda: Pooled(1),
    "two heads": lambda: Pooled(2),
    "feedforward": lambda: real("feedforward"),
    "bigru": lambda: real("bigru", members=2),
    "cnn": lambda: real("cnn"),
    "transformer-classifier": lambda: real("transformer-classifier"),
    "hierarchical": lambda: real("hierarchical"),
    "wide": lambda: wide("feedforward"),
    "wide, hierarchical": lambda: wide("hierarchical"),
}


def adapt_reweightable(model: Classifier) -> ReweightableClassifier:
    adapter = adapt_classifier(model)
    assert isinstance(adapter, ReweightableClassifier)
    return adapter


@pytest.fixture(params=MODELS)
def model(request):
    return MODELS[request.param]()


def test_a_batch_answers_as_its_texts_do_alone(model):
    adapter = adapt_classifier(model)
    for n, text in enumerate(TEXTS):
        np.testing.assert_allclose(adapter.predict(TEXTS)[n], adapter.predict([text])[0], atol=1e-6)
        np.testing.assert_allclose(
            adapter.attention(TEXTS)[n], adapter.attention([text])[0], atol=1e-6
        )
        np.testing.assert_allclose(
            adapter.gradient_x_input(TEXTS)[n], adapter.gradient_x_input([text])[0], atol=1e-6
        )


def test_shapes_and_sums(model):
    adapter = adapt_classifier(model)
    assert adapter.predict(TEXTS).shape == (3, 3)
    np.testing.assert_allclose(adapter.predict(TEXTS).sum(-1), 1)
    for text, weights, gradient in zip(
        TEXTS, adapter.attention(TEXTS), adapter.gradient_x_input(TEXTS), strict=True
    ):
        assert weights.shape[1] == len(text)
        np.testing.assert_allclose(weights.sum(-1), 1, atol=1e-6)
        assert gradient.shape == (len(text),)


def test_with_several_labels_each_has_a_probability(model):
    adapter = adapt_classifier(model, multilabel=True)
    ids, lengths = torch.tensor([TEXTS[1]]), torch.tensor([7])
    with torch.no_grad():
        logits = model.eval()(ids, lengths).logits[0].double()
    np.testing.assert_allclose(adapter.predict([TEXTS[1]])[0], logits.sigmoid(), atol=1e-6)


def test_its_own_weights_give_its_own_answer(model):
    adapter = adapt_reweightable(model)
    again = adapter.predict_with_attention(TEXTS, adapter.attention(TEXTS))
    np.testing.assert_allclose(again, adapter.predict(TEXTS), atol=1e-6)


@pytest.mark.parametrize("heads", [1, 2])
def test_all_weight_on_one_token_gives_that_tokens_answer(heads):
    adapter = adapt_reweightable(Pooled(heads))
    alone = adapter.predict([[9]])
    steered = adapter.predict_with_attention(
        [TEXTS[1]], [np.tile([0, 0, 1.0, 0, 0, 0, 0], (heads, 1))]
    )
    np.testing.assert_allclose(steered, alone, atol=1e-6)


def test_weights_change_the_answer_of_every_model(model):
    adapter = adapt_reweightable(model)
    heads = len(adapter.attention(TEXTS)[1])
    first, last = (np.tile(np.eye(7)[position], (heads, 1)) for position in (0, -1))
    answers = adapter.predict_with_attention([TEXTS[1]] * 2, [first, last])
    assert abs(answers[0] - answers[1]).max() > 1e-4


def test_a_sentence_without_weight_does_not_count():
    # 4 5 6 | 7 8 9 10 4 5 6: token 6 ends a sentence.
    adapter = adapt_reweightable(real("hierarchical"))
    text = [4, 5, 6, 7, 8, 9]
    weights = np.tile([0.2, 0.5, 0.3, 0, 0, 0], (2, 1))
    others = np.tile([0.2, 0.5, 0.3, 0, 0, 0], (2, 1))
    answers = adapter.predict_with_attention([text, [4, 5, 6, 10, 10, 10]], [weights, others])
    # What is not attended to still passes through the GRU over sentences, but not much of it.
    assert abs(answers[0] - answers[1]).max() < 0.05


@pytest.mark.parametrize("multilabel", [False, True])
def test_gradient_times_input_by_differences(model, multilabel):
    # g_t = d/ds log p(y) at s = 1, where everything that token t contributes is scaled by s.
    model.double().eval()
    ids, lengths = torch.tensor([TEXTS[1]]), torch.tensor([7])
    label = model(ids, lengths).logits.argmax()
    gradients = adapt_classifier(model, multilabel=multilabel).gradient_x_input([TEXTS[1]])[0]
    stacked = [part for part in model.modules() if isinstance(part, nn.Embedding)]

    def answer(position, scale):
        def scaled(module, args, output):
            factor = torch.ones(7, 1, dtype=torch.float64)
            factor[position] = scale
            real = args[0] != 0
            output[real] = output[real] * factor
            return output

        hooks = [part.register_forward_hook(scaled) for part in stacked]
        with torch.no_grad():
            logits = model(ids, lengths).logits[0]
            linear = model.linear_contributions(ids, lengths)
            if linear is not None:
                logits += (scale - 1) * linear[0, position]
        for hook in hooks:
            hook.remove()
        return (logits.sigmoid().log() if multilabel else logits.log_softmax(-1))[label].item()

    numeric = [(answer(t, 1 + 1e-5) - answer(t, 1 - 1e-5)) / 2e-5 for t in range(7)]
    np.testing.assert_allclose(gradients, numeric, atol=1e-6)


def test_the_model_is_left_unchanged():
    model = Pooled()
    model.train()
    model.head.eval()
    adapter = adapt_reweightable(model)
    adapter.predict_with_attention(TEXTS, adapter.attention(TEXTS))
    adapter.gradient_x_input(TEXTS)
    assert model.training
    assert model.dropout.training
    assert not model.head.training
    assert not any(part._forward_hooks for part in model.modules())
    assert all(p.grad is None for p in model.parameters())


class Shown(Classifier):
    """Shows given maps."""

    def __init__(self, maps):
        super().__init__()
        self.maps, self.bias = maps, nn.Parameter(torch.zeros(2))

    def forward(self, ids, lengths):
        return Output(self.bias.expand(len(ids), 2), self.maps)


def test_without_pooling_a_token_has_the_weight_it_receives():
    rows = torch.tensor([[[[0.5, 0.5, 0.0], [0.9, 0.1, 0.0], [0.0, 0.0, 1.0]]]])
    adapter = adapt_classifier(Shown({"encoder": [AttentionMap.from_dense(rows)]}))
    assert type(adapter) is ClassifierAdapter
    assert not isinstance(adapter, ReweightableClassifier)
    with torch.no_grad():
        received = adapter.attention([[4, 5, 6]])[0]
    np.testing.assert_allclose(received, [[1.4 / 3, 0.6 / 3, 1 / 3]], atol=1e-6)


def test_a_model_without_attention_or_embedding_is_refused():
    with pytest.raises(InputError, match="maps of no attention"):
        adapt_classifier(Shown({})).attention([[4]])
    with pytest.raises(InputError, match=r"does not look its ids up in an nn\.Embedding"):
        adapt_classifier(Shown({})).gradient_x_input([[4]])
