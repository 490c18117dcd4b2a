"""Check that labels can be learned."""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from regard.choices import RareLabels
from regard.data.corpus import Corpus, Example, listed
from regard.data.values import canonical
from regard.errors import DataError, nearest

__all__ = ["check_labels", "labels_of", "match_labels"]


def labels_of(examples: Sequence[Example]) -> list[tuple[str, ...]]:
    """Return the labels of each example; those of a corpus are read without its texts."""
    if isinstance(examples, Corpus):
        return examples.label_sets()
    return [example.labels for example in examples]


def check_labels(examples: Sequence[Example], *, rare: RareLabels = "error") -> Sequence[Example]:
    """The examples whose labels can be learned; an error if the labels cannot be.

    Args:
        examples: with labels; the training part. A corpus stays one.
        rare: treatment of labels that occur once, usually a typing error: `"error"` names the first,
            `"skip"` leaves their examples out, `"keep"` keeps them.

    Raises:
        DataError: there are no labels, all are the same, one is seen only once, or there are about
            as many as texts.
    """
    label_sets = labels_of(examples)
    counts = Counter(label for labels in label_sets for label in labels)
    if not counts:
        raise _problem(examples, "no example has a label", None)
    several = any(len(labels) != 1 for labels in label_sets)
    if len(counts) == 1 and not several:
        raise _problem(
            examples,
            f"one class only: all {len(examples):,} examples are {next(iter(counts))!r}",
            "add examples of another class, or name the column of labels: label= (--target)",
        )
    once = {label for label, count in counts.items() if count == 1}
    if len(once) > 0.5 * len(examples) and len(examples) > 4:
        raise _problem(
            examples,
            f"{len(counts):,} different labels in {len(examples):,} examples",
            "is this the column of labels? If not, name it: label= (--target)",
        )
    if not once or rare == "keep":
        return examples
    if rare == "error":
        first = next(i for i, labels in enumerate(label_sets) if once & set(labels))
        raise _label_seen_once(examples[first], once, set(counts))
    kept = [i for i, labels in enumerate(label_sets) if not once & set(labels)]
    if isinstance(examples, Corpus):
        return examples.select(kept)
    return [examples[i] for i in kept]


def _problem(examples: Sequence[Example], problem: str, remedy: str | None) -> DataError:
    """An error about all files together."""
    files = dict.fromkeys(example.origin[0] for example in examples)
    return DataError(problem, path=listed(list(files)), remedy=remedy)


def _label_seen_once(example: Example, once: set[str], known: set[str]) -> DataError:
    """The error about the first label that occurs once."""
    label = next(label for label in example.labels if label in once)
    remedy = (
        f"{nearest(label, known - once)}; correct it, add examples, or accept it: rare='skip' or "
        "'keep' (--rare-labels)"
    )
    if example.origin[1] == 1 and len(example.text) < 50:
        text, label_column = example.text, example.labels[0]
        remedy = (
            f"Is this line a header? Then name its columns: text={text!r}, label={label_column!r} "
            f"(--source {shlex.quote(text)} --target {shlex.quote(label_column)}). If not: {remedy}"
        )
    return DataError(
        f"the label {label!r} is seen only once, too little to learn it",
        path=example.origin[0],
        line=example.origin[1],
        remedy=remedy,
    )


def match_labels(examples: Sequence[Example], known: Sequence[str]) -> Sequence[Example]:
    """The examples with their labels spelled as known ones, where programs spell one value in several ways.

    `True` of pandas and `TRUE` of Excel are `true` of JSON, and `1.0` is `1`.

    Args:
        examples: with labels.
        known: labels of the training part.
    """
    by_value: dict[str, set[str]] = {}
    for label in known:
        by_value.setdefault(canonical(label), set()).add(label)
    strange = {label for labels in labels_of(examples) for label in labels}.difference(known)
    names = {
        label: next(iter(found))
        for label in strange
        if len(found := by_value.get(canonical(label), set())) == 1
    }
    if not names:
        return examples
    if isinstance(examples, Corpus):
        return examples.rename_labels(names)
    return [
        replace(example, labels=tuple(names.get(label, label) for label in example.labels))
        for example in examples
    ]
