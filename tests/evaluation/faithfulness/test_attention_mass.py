"""Attention on special tokens and sinks by hand."""

from __future__ import annotations

import pytest

from regard.evaluation.faithfulness.contracts import ReweightableClassifier, TrustSettings
from regard.evaluation.faithfulness.trust import trust
from regard.evaluation.faithfulness.verdict import Verdict


def test_sinks_by_hand(known: Verdict) -> None:
    mass = known.attention_mass
    assert mass.special_tokens == 0
    assert (mass.sink, mass.sink_share) == ("<9>", 1)
    assert mass.sink_frequency == pytest.approx(1 / 5)


def test_attention_on_special_tokens_is_reported_though_they_are_never_erased(
    known_classifier: ReweightableClassifier,
) -> None:
    known_classifier.special_ids = frozenset({9})
    settings = TrustSettings(random_rankings=3, permutations=8, resamples=300)
    verdict = trust(known_classifier, [[7, 9, 8]], settings=settings)
    assert verdict.attention_mass.special_tokens == 1
    assert verdict.comprehensiveness["delete"].attention.mean == 0
    assert verdict.level == "none"
