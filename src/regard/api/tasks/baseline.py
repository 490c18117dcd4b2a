"""Baseline of classifiers: TF-IDF of words with logistic regression."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from regard.data import Example, labels_of
from regard.errors import InputError
from regard.evaluation import tfidf_logistic

__all__ = ["baseline"]


def baseline(
    train: Sequence[Example], texts: list[str], labels: Sequence[str], multilabel: bool
) -> NDArray[np.float64]:
    """Probabilities `(texts, labels)`; with several labels, a yes or no for each.

    Args:
        train: examples to fit on.
        texts: to classify.
        labels: of the columns.
        multilabel: whether a text may have any number of labels.

    Raises:
        InputError: a label is gone from the training files, or there is nothing to count in them.
    """
    read, label_sets = [example.text for example in train], labels_of(train)
    counts = Counter(label for labels in label_sets for label in labels)
    gone = [label for label in labels if not counts[label]]
    if gone:
        raise InputError(f"no training example has the label {gone[0]!r} any more")
    if not multilabel:
        _, found, names = tfidf_logistic(read, [labels[0] for labels in label_sets], texts)
        return found[:, [names.index(label) for label in labels]]
    columns = []
    for label in labels:
        if counts[label] == len(train):
            columns.append(np.ones(len(texts)))  # there is nothing to tell apart
            continue
        answers = ["yes" if label in labels else "no" for labels in label_sets]
        _, found, names = tfidf_logistic(read, answers, texts)
        columns.append(found[:, names.index("yes")])
    return np.stack(columns, axis=1)
