"""The solved head: against the optimum's own condition, in float64."""

from __future__ import annotations

import numpy as np
import pytest

from regard.integrations.pretrained.classifier_head import PENALTIES, choose_penalty, solve


def test_the_gradient_of_the_penalised_loss_is_zero() -> None:
    rng = np.random.default_rng(3)
    features = rng.normal(2.0, 3.0, (60, 5))
    targets = rng.integers(0, 3, 60)
    head = solve(features, targets, 2.0)
    deviation = features.std(0)
    scaled = (features - features.mean(0)) / deviation
    logits = head.logits(features)
    probabilities = np.exp(logits - np.logaddexp.reduce(logits, axis=1, keepdims=True))
    missed = probabilities - np.eye(3)[targets]
    gradient = missed.T @ scaled + 2.0 * 5 * head.weight * deviation
    np.testing.assert_allclose(gradient, 0, atol=5e-3)
    np.testing.assert_allclose(missed.sum(0), 0, atol=5e-3)


def test_a_label_that_is_always_there_is_a_constant() -> None:
    features = np.random.default_rng(0).normal(size=(9, 2))
    targets = np.stack([np.ones(9), (features[:, 0] > 0).astype(float)], axis=1)
    head = solve(features, targets, 0.001)
    assert not head.weight[0].any()
    assert head.bias[0] == pytest.approx(np.log(9.5 / 0.5))
    assert (head.logits(features)[:, 1] > 0).astype(float).tolist() == targets[:, 1].tolist()


def test_noise_is_penalised_and_signal_is_not() -> None:
    rng = np.random.default_rng(5)
    targets = np.repeat([0, 1], 40)
    noise, signal = rng.normal(size=(80, 30)), rng.normal(size=(80, 30)) * 0.1 + targets[:, None]
    assert choose_penalty(noise, targets, seed=0)[0] == PENALTIES[-1]
    assert choose_penalty(signal, targets, seed=0)[0] == PENALTIES[0]


def test_labels_met_once_take_the_middle() -> None:
    penalty, loss = choose_penalty(np.eye(3), np.array([0, 0, 1]), seed=0)
    assert penalty == PENALTIES[len(PENALTIES) // 2]
    assert np.isnan(loss)
