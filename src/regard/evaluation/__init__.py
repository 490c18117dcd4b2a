"""Evaluation: metrics with intervals, baselines, faithfulness of attention, word alignment.

>>> import regard
>>> print(regard.evaluation.exact_match(["a", "b"], ["a", "c"]).value)
50.0
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from regard.evaluation.alignment.error_rate import AlignmentScore, alignment_error_rate
    from regard.evaluation.alignment.gold import Gold, read_gold
    from regard.evaluation.alignment.ibm_model1 import ibm_model_1
    from regard.evaluation.alignment.links import symmetrize
    from regard.evaluation.alignment.verdict import AlignmentVerdict, judge_alignment
    from regard.evaluation.faithfulness.adapters import adapt_classifier
    from regard.evaluation.faithfulness.contracts import (
        ExplainableClassifier,
        ReweightableClassifier,
        TrustSettings,
    )
    from regard.evaluation.faithfulness.extractive import ExtractionVerdict, trust_extraction
    from regard.evaluation.faithfulness.trust import trust
    from regard.evaluation.faithfulness.verdict import Verdict
    from regard.evaluation.metrics.baselines import (
        copy_source,
        first_sentences,
        majority,
        oracle_sentence,
        tfidf_logistic,
        tfidf_logistic_sets,
    )
    from regard.evaluation.metrics.classification import (
        Calibration,
        ClassificationScores,
        ClassScores,
        MultilabelScores,
        calibration,
        score_label_sets,
        score_labels,
    )
    from regard.evaluation.metrics.generation import (
        bleu,
        chrf,
        count_with_4grams,
        exact_match,
        rouge,
    )
    from regard.evaluation.metrics.intervals import Interval, bootstrap, mean_interval
    from regard.evaluation.metrics.scores import Score, comparison
else:
    from importlib import import_module

    _MODULES = {
        "alignment.error_rate": ("AlignmentScore", "alignment_error_rate"),
        "alignment.gold": ("Gold", "read_gold"),
        "alignment.ibm_model1": ("ibm_model_1",),
        "alignment.links": ("symmetrize",),
        "alignment.verdict": ("AlignmentVerdict", "judge_alignment"),
        "faithfulness.adapters": ("adapt_classifier",),
        "faithfulness.contracts": (
            "ExplainableClassifier",
            "ReweightableClassifier",
            "TrustSettings",
        ),
        "faithfulness.extractive": ("ExtractionVerdict", "trust_extraction"),
        "faithfulness.trust": ("trust",),
        "faithfulness.verdict": ("Verdict",),
        "metrics.baselines": (
            "copy_source",
            "count_with_4grams",
            "first_sentences",
            "majority",
            "oracle_sentence",
            "tfidf_logistic",
            "tfidf_logistic_sets",
        ),
        "metrics.classification": (
            "Calibration",
            "ClassScores",
            "ClassificationScores",
            "MultilabelScores",
            "calibration",
            "score_label_sets",
            "score_labels",
        ),
        "metrics.generation": ("bleu", "chrf", "count_with_4grams", "exact_match", "rouge"),
        "metrics.intervals": ("Interval", "bootstrap", "mean_interval"),
        "metrics.scores": ("Score", "comparison"),
    }
    _HOMES = {name: module for module, names in _MODULES.items() for name in names}

    def __getattr__(name):
        if name in _HOMES:
            return getattr(import_module(f"regard.evaluation.{_HOMES[name]}"), name)
        raise AttributeError(f"module 'regard.evaluation' has no attribute {name!r}")

    def __dir__():
        return __all__


__all__ = [
    "AlignmentScore",
    "AlignmentVerdict",
    "Calibration",
    "ClassScores",
    "ClassificationScores",
    "ExplainableClassifier",
    "ExtractionVerdict",
    "Gold",
    "Interval",
    "MultilabelScores",
    "ReweightableClassifier",
    "Score",
    "TrustSettings",
    "Verdict",
    "adapt_classifier",
    "alignment_error_rate",
    "bleu",
    "bootstrap",
    "calibration",
    "chrf",
    "comparison",
    "copy_source",
    "count_with_4grams",
    "exact_match",
    "first_sentences",
    "ibm_model_1",
    "judge_alignment",
    "majority",
    "mean_interval",
    "oracle_sentence",
    "read_gold",
    "rouge",
    "score_label_sets",
    "score_labels",
    "symmetrize",
    "tfidf_logistic",
    "tfidf_logistic_sets",
    "trust",
    "trust_extraction",
]
