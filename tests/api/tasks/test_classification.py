"""Classifiers: one forward pass for an answer, its attention and its view."""

from __future__ import annotations

import numpy as np

from regard.api import Classifier

TEXTS = ["red green is good", "pink is bad", "", "blue"]


def test_attention_comes_from_the_pass_that_classifies(classifier: Classifier) -> None:
    plain, kept = classifier.classify(TEXTS), classifier.classify(TEXTS, attention=True)
    calls: list[int] = []
    hook = classifier.network.register_forward_hook(lambda *_: calls.append(1))
    try:
        for one, other in zip(plain, kept, strict=True):
            assert one.probabilities == other.probabilities
            if not one.text:
                continue
            found, expected = other.aligned().tracks[0], one.aligned().tracks[0]
            np.testing.assert_allclose(
                np.asarray(found.weights), np.asarray(expected.weights), atol=1e-6
            )
        assert len(calls) == 3  # of the plain answers, whose attention was not kept
        calls.clear()
        alone = classifier.classify(TEXTS[0], attention=True)[0].aligned().tracks[0]
        assert len(calls) == 1
        np.testing.assert_array_equal(alone.weights, plain[0].aligned().tracks[0].weights)
        calls.clear()
        classifier.look(TEXTS[0])
        assert len(calls) == 1
    finally:
        hook.remove()
