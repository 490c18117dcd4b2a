"""Baselines without attention, trained and tested on the same parts of the data as the model."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from regard.data import Example
from regard.errors import InputError
from regard.evaluation.metrics.generation import RougeScorer

__all__ = [
    "copy_source",
    "first_sentences",
    "majority",
    "oracle_sentence",
    "tfidf_logistic",
    "tfidf_logistic_sets",
]


def tfidf_logistic(
    texts: Sequence[str], labels: Sequence[str], test: Sequence[str]
) -> tuple[list[str], NDArray[np.float64], list[str]]:
    """Classify by logistic regression on TF-IDF features of words, with scikit-learn's defaults.

    Args:
        texts: training texts.
        labels: label of each training text.
        test: texts to classify.

    Returns:
        Predicted labels of `test`, probabilities `(test, classes)`, and the names of the classes.

    Raises:
        InputError: no text holds a word of two letters or more, which is what TF-IDF counts.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline

    vectorizer = TfidfVectorizer()
    model = make_pipeline(vectorizer, LogisticRegression(max_iter=1000))
    words = vectorizer.build_analyzer()
    if not any(map(words, texts)):
        raise InputError("TF-IDF counts words of two letters or more, and the texts hold none")
    model.fit(list(texts), list(labels))
    probabilities = np.asarray(model.predict_proba(list(test)))
    names = [str(name) for name in model.classes_]
    return [names[best] for best in probabilities.argmax(axis=1)], probabilities, names


def tfidf_logistic_sets(
    texts: Sequence[str], labels: Sequence[Collection[str]], test: Sequence[str]
) -> list[frozenset[str]]:
    """Classify by one TF-IDF logistic regression for each label, for any number of labels per text.

    Args:
        texts: training texts.
        labels: labels of each training text.
        test: texts to classify.

    Returns:
        Predicted labels of each text of `test`.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import MultiLabelBinarizer

    names = MultiLabelBinarizer()
    model = make_pipeline(TfidfVectorizer(), OneVsRestClassifier(LogisticRegression(max_iter=1000)))
    model.fit(list(texts), names.fit_transform(labels))
    predicted = names.inverse_transform(model.predict(list(test)))
    return [frozenset(map(str, chosen)) for chosen in predicted]


def majority(labels: Sequence[str], count: int) -> list[str]:
    """Return the most frequent label `count` times; the first by name among equally frequent ones.

    >>> from regard.evaluation import majority
    >>> majority(["b", "a", "b"], 2)
    ['b', 'b']
    """
    counts = Counter(labels)
    return [min(counts, key=lambda label: (-counts[label], label))] * count


def copy_source(examples: Iterable[Example]) -> list[str]:
    """Return each source text untranslated; only names, numbers and the like are right."""
    return [example.text for example in examples]


def first_sentences(examples: Iterable[Example], *, count: int = 1) -> list[str]:
    """Summarize each text by its first sentences (LEAD); strong where the main point comes first."""
    return [" ".join(example.sentences[:count]) for example in examples]


def oracle_sentence(examples: Iterable[Example]) -> list[str]:
    """Choose the sentence with the best ROUGE-1: an upper bound for extracts of one sentence.

    The choice uses the references, so this is no system that could be used.
    """
    scorer = RougeScorer(kinds=["rouge1"])

    def best(example: Example) -> str:
        return max(
            example.sentences,
            key=lambda sentence: max(scorer(text, sentence) for text in example.references),
        )

    return [best(example) for example in examples]
