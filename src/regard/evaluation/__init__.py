"""Predictions and references to metrics, baselines and verdicts."""

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
    ClassScore,
    Labelling,
    MultiLabelling,
    calibration,
    score_label_sets,
    score_labels,
)
from regard.evaluation.metrics.generation import bleu, chrf, exact_match, rouge
from regard.evaluation.metrics.scores import Score, bootstrap, comparison

__all__ = [
    "Calibration",
    "ClassScore",
    "Labelling",
    "MultiLabelling",
    "Score",
    "bleu",
    "bootstrap",
    "calibration",
    "chrf",
    "comparison",
    "copy_source",
    "exact_match",
    "first_sentences",
    "majority",
    "oracle_sentence",
    "rouge",
    "score_label_sets",
    "score_labels",
    "tfidf_logistic",
    "tfidf_logistic_sets",
]
