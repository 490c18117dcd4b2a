"""The linear n-gram classifier: solved as scikit-learn does, explained token by token, saved."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, TypeAlias

import numpy as np
import pytest
import torch
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.svm import LinearSVC
from torch import Tensor

from regard.models.classifiers.ngram_linear import NgramLinear
from regard.models.classifiers.settings import WideSettings
from regard.text import Tokenizer
from regard.training.checkpoint import assign_weights

Encode: TypeAlias = Callable[[list[str]], tuple[Tensor, Tensor]]
Fit: TypeAlias = Callable[..., NgramLinear]


@pytest.mark.parametrize("loss", ["logistic", "hinge"])
@pytest.mark.parametrize(
    ("longest", "skip_bigrams", "lead_pairs"), [(2, 0, 0), (3, 2, 0), (2, 1, 3)]
)
def test_against_scikit_learn(
    longest: int,
    skip_bigrams: int,
    lead_pairs: int,
    loss: str,
    reviews: list[str],
    classes: Tensor,
    encoded: Encode,
    fitted: Fit,
) -> None:
    """Two TF-IDF matrices side by side, scaled by the log-count ratio, in a linear classifier."""
    linear = fitted(words=longest, skip_bigrams=skip_bigrams, lead_pairs=lead_pairs, loss=loss)
    new = ["a good value", "not excellent", "it's good, not bad!", "xyz"]

    def words(text: str) -> list[str]:
        found = ["<start>", *re.findall(r"[\w']+|[^\w\s]", text.lower())]
        runs = [zip(*(found[i:] for i in range(n)), strict=False) for n in range(1, longest + 1)]
        pairs = [zip([d] * 99, found, found[d:], strict=False) for d in range(2, skip_bigrams + 2)]
        led = [
            zip([found[1 : n + 1]] * 99, found[n + 1 :], strict=False)
            for n in range(1, lead_pairs + 1)
        ]
        every = [*runs, *pairs, *led]
        return [repr(run) for part in every for run in part if run != ("<start>",)]

    parts = [
        TfidfVectorizer(analyzer=words, sublinear_tf=True),
        TfidfVectorizer(ngram_range=(2, 5), sublinear_tf=True, analyzer="char_wb"),
    ]
    train = np.hstack([part.fit_transform(reviews).toarray() for part in parts])
    test = np.hstack([part.transform(new).toarray() for part in parts])
    yes = classes.numpy() == 1
    ratio = np.log((train[yes].sum(0) + 0.1) / 3) - np.log((train[~yes].sum(0) + 0.1) / 4)
    solver = LogisticRegression(C=1 / linear.penalty, tol=1e-8, max_iter=1000)
    if loss == "hinge":
        solver = LinearSVC(C=1 / linear.penalty, tol=1e-8, max_iter=10_000)
    expected = solver.fit(train * abs(ratio), yes).decision_function(test * abs(ratio))
    expected *= 2 if loss == "hinge" else 1
    scores = linear(*encoded(new))
    np.testing.assert_allclose((scores[:, 1] - scores[:, 0]).numpy(), expected, atol=2e-3)
    assert len(linear.key) == train.shape[1]


def test_contributions_sum_to_the_scores(
    tokenizer: Tokenizer, encoded: Encode, fitted: Fit
) -> None:
    linear = fitted()
    ids, lengths = encoded(["not a good case", "excellent!", "never"])
    shares = linear.contributions(ids, lengths)
    assert shares.shape == (*ids.shape, 2)
    torch.testing.assert_close(shares.sum(1) + linear.bias, linear(ids, lengths))
    assert not shares[2, int(lengths[2]) :].any()
    words = tokenizer.encode("not a good case").tokens
    of_not = sum(float(shares[0, i, 0]) for i, t in enumerate(words) if t in "▁not")
    assert of_not == max(of_not, *shares[0, :, 0].tolist())


def test_padding_changes_nothing(encoded: Encode, fitted: Fit) -> None:
    linear = fitted()
    ids, lengths = encoded(["not a good case", "excellent", "never"])
    alone = torch.cat(
        [linear(ids[i : i + 1, :n], lengths[i : i + 1]) for i, n in enumerate(lengths)]
    )
    torch.testing.assert_close(linear(ids, lengths), alone)


def test_several_classes_and_several_labels(
    reviews: list[str], classes: Tensor, encoded: Encode, fitted: Fit
) -> None:
    three = torch.tensor([0, 1, 1, 2, 1, 2, 1])
    linear = fitted(3, three)
    ids, lengths = encoded(reviews)
    assert torch.equal(linear(ids, lengths).argmax(1), three)
    several = torch.stack([classes == 1, torch.ones(7, dtype=torch.bool), three == 1], 1)
    linear = fitted(3, several.float())
    scores = linear(ids, lengths)
    assert torch.equal(scores > 0, several)
    # A label that every text has leaves nothing to learn but that: 7.5 to 0.5.
    torch.testing.assert_close(scores[:, 1], torch.full((7,), float(np.log(15.0))))


def test_only_the_most_frequent_are_kept(reviews: list[str], classes: Tensor) -> None:
    tokenizer = Tokenizer.train(reviews, kind="word", size=60, lowercase=True)
    linear = NgramLinear(WideSettings(size=len(tokenizer), labels=2, max_ngrams=5))
    linear.fit(tokenizer.spelling, [e.ids for e in tokenizer.encode_batch(reviews)], classes)
    assert len(linear.key) == 5
    assert float(linear.idf.max()) <= 1 + np.log(8 / 4) + 1e-6  # in three texts at least


@pytest.mark.parametrize("lead_pairs", [0, 2])
def test_limits_are_settings_and_may_be_left_out(
    lead_pairs: int, reviews: list[str], tokenizer: Tokenizer, encoded: Encode, fitted: Fit
) -> None:
    """Configurations written before `lead_pairs` existed do not name it."""
    linear = fitted(words=1, skip_bigrams=1, lead_pairs=lead_pairs)
    values: dict[str, Any] = {"size": len(tokenizer), "labels": 2, "words": 1, "skip_bigrams": 1}
    values |= {"lead_pairs": lead_pairs} if lead_pairs else {}
    values |= {"alphabet_size": len(linear.code), "ngrams": len(linear.key)}
    again = NgramLinear(WideSettings(**values))
    again.load_state_dict(linear.state_dict())
    batch = encoded(reviews)
    assert torch.equal(again(*batch), linear(*batch))


def test_mapped_weights_answer_as_copied_ones(
    reviews: list[str], tokenizer: Tokenizer, encoded: Encode, fitted: Fit
) -> None:
    """What is looked up follows from the weights, however these came."""
    linear = fitted(words=1, skip_bigrams=1, lead_pairs=0)
    values: dict[str, Any] = {"size": len(tokenizer), "labels": 2, "words": 1, "skip_bigrams": 1}
    values |= {"alphabet_size": len(linear.code), "ngrams": len(linear.key)}
    again = NgramLinear(WideSettings(**values))
    state = linear.state_dict()
    assign_weights(again, state, "model.safetensors", mapped=True)
    assert again.weight.data_ptr() == state["weight"].data_ptr()
    batch = encoded(reviews)
    assert torch.equal(again(*batch), linear(*batch))
