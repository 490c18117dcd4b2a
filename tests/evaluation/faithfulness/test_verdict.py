"""The verdict on planted truth: attention that decides, and attention frozen to be irrelevant."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from regard.errors import InputError
from regard.evaluation.faithfulness import verdict
from regard.evaluation.faithfulness.adapters import explained
from regard.evaluation.faithfulness.verdict import (
    Controls,
    Erasure,
    Interval,
    Mass,
    Steerable,
    TrustSettings,
    Verdict,
    trust,
)
from regard.layers.pooling import AttentionPooling
from regard.models import Classifier, Output

LABELLED = (4, 5, 6)  # the tokens that decide the class
VOCABULARY = 24
QUICK = TrustSettings(draws=3, permutations=8, resamples=300)


def planted(count: int, length: int = 13, *, seed: int) -> tuple[Tensor, Tensor]:
    """Random neutral tokens with one deciding token at a random place."""
    rng = np.random.default_rng(seed)
    ids = rng.integers(7, VOCABULARY, size=(count, length))
    labels = rng.integers(3, size=count)
    ids[np.arange(count), rng.integers(length, size=count)] = np.array(LABELLED)[labels]
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
    """A BiGRU carries the deciding token to every state; attention goes by fixed random places."""

    def __init__(self) -> None:
        super().__init__()
        self.gru = nn.GRU(16, 8, batch_first=True, bidirectional=True)
        self.pooling = AttentionPooling(16, positions=13).requires_grad_(False)
        self.pooling.context.zero_()
        self.pooling.position.normal_(std=2, generator=torch.Generator().manual_seed(3))

    def states(self, ids: Tensor) -> Tensor:
        return self.gru(self.embedding(ids))[0]


def train(model: Pooled, *, steps: int) -> Pooled:
    torch.manual_seed(0)
    for part in model.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
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


def ask(model: Pooled) -> Verdict:
    return trust(explained(model), planted(40, seed=2)[0].tolist(), settings=QUICK)


@pytest.fixture(scope="module")
def decider() -> Verdict:
    return ask(train(Pooled(), steps=100))


@pytest.fixture(scope="module")
def bystander() -> Verdict:
    return ask(train(Frozen(), steps=100))


def test_attention_that_decides_is_an_explanation(decider):
    assert decider.level == "good"
    assert "points at tokens the answer depends on" in decider.sentence
    assert decider.comprehensiveness["delete"].attention.low > 0.4
    assert abs(decider.sufficiency["delete"].attention.mean) < 0.05
    assert decider.controls.permuted.low > 0.3
    assert decider.flips.until["attention"].high < decider.flips.until["random"].low


def test_attention_frozen_to_be_irrelevant_is_none(bystander):
    assert bystander.level == "none"
    assert bystander.sentence.startswith("Do not read this as an explanation")
    assert "shuffling it does not change the answer" in bystander.sentence
    assert "no more than taking out random tokens" in bystander.sentence
    assert bystander.controls.permuted.high < 0.05
    # The gradient still finds the deciding token: the tests work, it is the attention that fails.
    gradient = bystander.comprehensiveness["delete"].gradient
    assert gradient.low > bystander.comprehensiveness["delete"].random.high


def test_the_same_seed_gives_the_same_verdict():
    texts = planted(4, seed=3)[0].tolist()
    asked = explained(Pooled())
    assert trust(asked, texts, settings=QUICK) == trust(asked, texts, settings=QUICK)


def test_a_verdict_prints_all_its_numbers(decider):
    text = str(decider)
    assert "40 texts" in text
    for name in ("comprehensiveness", "sufficiency", "delete", "mask", "Kendall", "shuffled"):
        assert name in text


# A model whose every number is known


class Known:
    """p(class 1) is 0.2 + 0.7 x the attention on token 9; its own attention is all there."""

    mask_id = 1
    special_ids = frozenset({2})
    several = False

    def predict(self, texts):
        return self.predict_with(texts, self.attention(texts))

    def attention(self, texts):
        weights = [(np.array(text) == 9) / max(1, list(text).count(9)) for text in texts]
        return [w[None].astype(float) for w in weights]

    def gradient(self, texts):
        return [np.arange(len(text), dtype=float) for text in texts]

    def predict_with(self, texts, weights):
        p = [
            0.2 + 0.7 * w.mean(0)[np.array(t) == 9].sum()
            for t, w in zip(texts, weights, strict=True)
        ]
        return np.stack([1 - np.array(p), p], -1)


TEXT = [7, 9, 8, 7, 6]  # gradient ranks the places 4, 3, 2, 1, 0


@pytest.fixture(scope="module")
def known() -> Verdict:
    settings = TrustSettings(permutations=200, draws=60)
    return trust(Known(), [TEXT] * 8, settings=settings, spell=lambda token: f"<{token}>")


def test_erasing_by_hand(known):
    # Five shares of 5 tokens are 1, 1, 1, 1 and 3. Attention has token 9 in all of them; the
    # gradient's first three places (4, 3, 2) never reach it; random reaches it with 1/5 and 3/5.
    for way in ("delete", "mask"):
        needed, enough = known.comprehensiveness[way], known.sufficiency[way]
        assert needed.attention.mean == pytest.approx(0.7)
        assert needed.gradient.mean == pytest.approx(0)
        assert needed.random.mean == pytest.approx(0.7 * (4 * 0.2 + 0.6) / 5, abs=0.03)
        assert enough.attention.mean == pytest.approx(0)
        assert enough.gradient.mean == pytest.approx(0.7)
        assert enough.random.mean == pytest.approx(0.7 * (4 * 0.8 + 0.4) / 5, abs=0.03)
        assert needed.over_random.mean == pytest.approx(0.7 - needed.random.mean)
        assert enough.over_random.mean == pytest.approx(enough.random.mean)


def test_leaving_one_out_by_hand(known):
    # Effects are 0.7 at place 1 and 0 elsewhere: attention orders alike; of the four pairs that
    # are not tied the gradient (4, 3, 2, 1, 0 from the end) has one right and three wrong.
    assert known.agreement["attention"].mean == pytest.approx(1)
    assert known.agreement["gradient"].mean == pytest.approx((1 - 3) / np.sqrt(4 * 10))


def test_replacing_weights_by_hand(known):
    assert known.controls.permuted.mean == pytest.approx(0.7)
    assert known.controls.permuted_flips == pytest.approx(0.8, abs=0.03)
    assert known.controls.uniform.mean == pytest.approx(0.7 * 4 / 5)
    assert known.controls.uniform_flips == 1


def test_decision_flips_by_hand(known):
    assert known.flips.highest == 1
    assert known.flips.random == 0
    assert known.flips.until["attention"].mean == pytest.approx(1 / 5)
    assert known.flips.until["gradient"].mean == pytest.approx(4 / 5)


def test_special_tokens_are_never_erased_and_their_mass_is_told():
    class Sunk(Known):
        special_ids = frozenset({9})

    verdict = trust(Sunk(), [[7, 9, 8]], settings=QUICK)
    assert verdict.mass.special == 1
    assert verdict.comprehensiveness["delete"].attention.mean == 0
    assert verdict.level == "none"


def test_sinks_by_hand(known):
    assert known.mass.special == 0
    assert (known.mass.sink, known.mass.sink_share) == ("<9>", 1)
    assert known.mass.sink_frequency == pytest.approx(1 / 5)


def test_without_replaceable_weights_the_missing_control_is_told():
    class OutOfReach:
        mask_id, special_ids, several = 1, frozenset(), False
        predict, attention, gradient = Known().predict, Known().attention, Known().gradient

    assert not isinstance(OutOfReach(), Steerable)
    verdict = trust(OutOfReach(), [TEXT] * 8, settings=QUICK)
    assert verdict.controls is None
    assert verdict.flips is None
    assert verdict.level == "partial"
    assert "cannot be shuffled" in verdict.sentence


def erasure(attention, gradient, random, *, high_is_good):
    """Erasure with certain means."""
    better = 1 if high_is_good else -1
    values = (attention, gradient, random, better * (attention - random))
    return Erasure(*(Interval(value, value, value) for value in values))


def judged(needed, enough, *, moved: float | None = 0.5, flips=0.0, special=0.0):
    """The level and sentence for numbers (attention, gradient, random)."""
    erasures = {
        ("comprehensiveness", "delete"): erasure(*needed, high_is_good=True),
        ("sufficiency", "delete"): erasure(*enough, high_is_good=False),
    }
    even = Interval(0.5, 0.5, 0.5)
    controls = None if moved is None else Controls(Interval(moved, moved, moved), flips, even, 0.0)
    mass = Mass(special, "the", 0.1, 0.1)
    return verdict._judge(erasures, controls, mass, 10, TrustSettings())


GOOD = (0.5, 0.5, 0.1), (0.1, 0.1, 0.5)
VAIN = (0.1, 0.5, 0.1), (0.5, 0.1, 0.5)


def test_good_on_all_counts():
    assert judged(*GOOD)[0] == "good"


def test_a_model_sure_of_nothing_moves_little_and_flips_much():
    assert judged(*GOOD, moved=0.01, flips=0.1)[0] == "good"


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (lambda: judged(GOOD[0], VAIN[1]), "keeping only what it points to"),
        (lambda: judged((0.1, 0.1, 0.1), GOOD[1]), "taking out what it points to"),
        (lambda: judged((0.2, 0.5, 0.1), GOOD[1]), "gradient x input finds more than twice"),
        (lambda: judged(*GOOD, special=0.6), "60% of it rests on special tokens"),
        (lambda: judged(*GOOD, moved=None), "cannot be shuffled"),
    ],
)
def test_one_doubt_is_told_and_only_that(case, words):
    level, sentence = case()
    assert level == "partial"
    assert sentence.startswith("Read this with care: ")
    assert words in sentence
    assert ";" not in sentence


@pytest.mark.parametrize(
    ("case", "words"),
    [
        (lambda: judged(*VAIN), "no more than taking out random tokens (0.10 against 0.10)"),
        (lambda: judged(*GOOD, moved=0.01), "shuffling it does not change the answer (by 0.01"),
    ],
)
def test_either_fault_is_enough_for_none(case, words):
    level, sentence = case()
    assert level == "none"
    assert sentence.startswith("Do not read this as an explanation: ")
    assert words in sentence


def test_texts_without_ordinary_tokens_are_refused():
    with pytest.raises(InputError, match="2 texts and no ordinary token"):
        trust(Known(), [[2], []], settings=QUICK)


def test_one_token_texts_do_not_break_it():
    verdict = trust(Known(), [[9], [7], [2, 7]], settings=QUICK)
    assert verdict.texts == 3


# Several labels


class Tagged(Known):
    """Label 1 as in `Known`; label 0 applies with 0.6 wherever a 7 stands, attended to or not."""

    several = True

    def predict_with(self, texts, weights):
        nine = super().predict_with(texts, weights)[:, 1] - 0.2
        seven = np.array([0.6 * (7 in text) for text in texts])
        return np.stack([seven, nine], -1)


def test_of_several_labels_the_surest_is_asked_about_by_hand():
    # [7, 9, 8, 7, 6] has both labels, 0.6 and 0.7, and 1 is asked about: all is as in `Known`,
    # whatever becomes of label 0. [8, 6] has no label and is left out; the last text has label 1.
    settings = TrustSettings(permutations=200)
    verdict = trust(Tagged(), [TEXT, [8, 6], [8, 9, 8, 5, 6]], settings=settings)
    assert verdict.texts == 2
    assert verdict.comprehensiveness["delete"].attention.mean == pytest.approx(0.7)
    assert verdict.agreement["attention"].mean == pytest.approx(1)
    assert verdict.controls.permuted.mean == pytest.approx(0.7)
    assert verdict.controls.uniform.mean == pytest.approx(0.7 * 4 / 5)
    assert verdict.controls.uniform_flips == 1  # 0.14 is below one half
    assert verdict.flips.highest == 1
    assert verdict.flips.random == 0


def test_texts_that_are_given_no_label_are_refused():
    with pytest.raises(InputError, match="gives no label to any of 2 texts"):
        trust(Tagged(), [[8, 6], [8]], settings=QUICK)
