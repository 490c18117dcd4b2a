"""`trust` on planted truth: attention that decides, and attention frozen to be irrelevant."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regard.evaluation.faithfulness.adapters import adapt_classifier
from regard.evaluation.faithfulness.contracts import ReweightableClassifier, TrustSettings
from regard.evaluation.faithfulness.trust import trust
from regard.evaluation.faithfulness.verdict import Verdict
from regard.layers.pooling import AttentionPooling
from regard.models import Classifier, Output

DECIDING = (4, 5, 6)  # the tokens that decide the class
VOCABULARY = 24
QUICK = TrustSettings(random_rankings=3, permutations=8, resamples=300)


def planted(count: int, length: int = 13, *, seed: int) -> tuple[Tensor, Tensor]:
    """Random neutral tokens with one deciding token at a random position."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(7, VOCABULARY, size=(count, length))
    labels = rng.integers(3, size=count)
    ids[np.arange(count), rng.integers(length, size=count)] = np.array(DECIDING)[labels]
    return torch.from_numpy(ids), torch.from_numpy(labels)


class Pooled(Classifier):
    """Embeddings, mixed by attention: only what is attended to can decide."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(VOCABULARY, 16)
        self.pooling = AttentionPooling(16)
        self.head = nn.Linear(16, 3)

    def states(self, ids: Tensor) -> Tensor:
        return self.embedding(ids)

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        mask = torch.arange(ids.shape[1]) < lengths[:, None]
        pooled, weights = self.pooling(self.states(ids), mask)
        return Output(self.head(pooled), {"pooling": [weights]})


class Frozen(Pooled):
    """A BiGRU carries the deciding token to every state; attention depends on fixed random positions."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(16, 8, batch_first=True, bidirectional=True)
        self.pooling = AttentionPooling(16, positions=13).requires_grad_(False)
        self.pooling.context.zero_()
        assert self.pooling.position is not None
        self.pooling.position.normal_(std=2, generator=torch.Generator().manual_seed(3))

    def states(self, ids: Tensor) -> Tensor:
        return self.gru(self.embedding(ids))[0]


def train(model: Pooled, *, steps: int) -> Pooled:
    torch.manual_seed(0)
    for part in model.modules():
        if callable(reset := getattr(part, "reset_parameters", None)):
            reset()
    ids, labels = planted(256, seed=1)
    lengths = torch.full((len(ids),), ids.shape[1])
    optimizer = torch.optim.Adam([p for p in model.parameters() if p.requires_grad], lr=0.02)
    for _ in range(steps):
        optimizer.zero_grad()
        nn.functional.cross_entropy(model(ids, lengths).logits, labels).backward()
        optimizer.step()
    accuracy = (model(ids, lengths).logits.argmax(-1) == labels).float().mean()
    assert accuracy > 0.99
    return model


def verdict_on(model: Pooled) -> Verdict:
    return trust(adapt_classifier(model), planted(40, seed=2)[0].tolist(), settings=QUICK)


@pytest.fixture(scope="module")
def decider() -> Verdict:
    return verdict_on(train(Pooled(), steps=100))


@pytest.fixture(scope="module")
def bystander() -> Verdict:
    return verdict_on(train(Frozen(), steps=100))


def test_attention_that_decides_is_an_explanation(decider: Verdict) -> None:
    assert decider.level == "good"
    assert "points at tokens the answer depends on" in decider.sentence
    assert decider.comprehensiveness["delete"].attention.low > 0.4
    assert abs(decider.sufficiency["delete"].attention.mean) < 0.05
    assert decider.controls is not None
    assert decider.flips is not None
    assert decider.controls.permuted.low > 0.3
    assert (
        decider.flips.removed_until_flip["attention"].high
        < decider.flips.removed_until_flip["random"].low
    )


def test_attention_frozen_to_be_irrelevant_is_none(bystander: Verdict) -> None:
    assert bystander.level == "none"
    assert bystander.sentence.startswith("Do not read this as an explanation")
    assert "shuffling it does not change the answer" in bystander.sentence
    assert "no more than taking out random tokens" in bystander.sentence
    assert bystander.controls is not None
    assert bystander.controls.permuted.high < 0.05
    # The gradient still finds the deciding token: the tests work, it is the attention that fails.
    gradient = bystander.comprehensiveness["delete"].gradient
    assert gradient.low > bystander.comprehensiveness["delete"].random.high


def test_one_seed_gives_one_verdict() -> None:
    texts = planted(4, seed=3)[0].tolist()
    model = adapt_classifier(Pooled())
    assert trust(model, texts, settings=QUICK) == trust(model, texts, settings=QUICK)


# Classifiers whose every number is known

TEXT = [7, 9, 8, 7, 6]  # as in conftest.py


def test_without_replaceable_weights_the_missing_control_is_named(
    known_classifier: ReweightableClassifier,
) -> None:
    class Fixed:
        mask_id, special_ids, multilabel = 1, frozenset[int](), False
        predict, attention = known_classifier.predict, known_classifier.attention
        gradient_x_input = known_classifier.gradient_x_input

    assert not isinstance(Fixed(), ReweightableClassifier)
    verdict = trust(Fixed(), [TEXT] * 8, settings=QUICK)
    assert verdict.controls is None
    assert verdict.flips is None
    assert verdict.level == "partial"
    assert "cannot be shuffled" in verdict.sentence


def test_one_token_texts_do_not_break_it(known_classifier: ReweightableClassifier) -> None:
    assert trust(known_classifier, [[9], [7], [2, 7]], settings=QUICK).texts == 3


def test_of_several_labels_the_likeliest_is_examined_by_hand(
    known_tagger: ReweightableClassifier,
) -> None:
    # [7, 9, 8, 7, 6] has both labels, 0.6 and 0.7, and label 1 is examined: all numbers are those of
    # the known classifier. [8, 6] has no label and is left out; the last text has label 1.
    settings = TrustSettings(permutations=200)
    verdict = trust(known_tagger, [TEXT, [8, 6], [8, 9, 8, 5, 6]], settings=settings)
    assert verdict.texts == 2
    assert verdict.comprehensiveness["delete"].attention.mean == pytest.approx(0.7)
    assert verdict.agreement["attention"].mean == pytest.approx(1)
    assert verdict.controls is not None
    assert verdict.flips is not None
    assert verdict.controls.permuted.mean == pytest.approx(0.7)
    assert verdict.controls.uniform.mean == pytest.approx(0.7 * 4 / 5)
    assert verdict.controls.uniform_flips == 1  # 0.14 is below one half
    assert verdict.flips.without_highest == 1
    assert verdict.flips.without_random == 0
