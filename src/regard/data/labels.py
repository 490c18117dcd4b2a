"""Check that labels can be learned."""

from __future__ import annotations

import re
import shlex
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from regard.choices import RareLabels
from regard.data.corpus import Corpus, Example, listed
from regard.data.values import canonical
from regard.errors import DataError, nearest

__all__ = [
    "check_labels",
    "labels_of",
    "match_labels",
    "names_of_model",
    "rename_labels",
    "usual_spellings",
]

_UNNAMED = re.compile(r"LABEL_(0|[1-9]\d*)")
"""Names that transformers gives to labels which nobody named, by their number."""


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
    return rename_labels(examples, names) if names else examples


def names_of_model(found: Iterable[str], known: Sequence[str]) -> dict[str, str]:
    """Labels of a file that a model which was trained elsewhere calls otherwise, and what it calls them.

    Two differences are sure: capital and small letters, and numbers for labels that nobody named, if the file
    holds nothing but numbers of them.

    >>> names_of_model(["positive", "negative"], ["NEGATIVE", "POSITIVE"])
    {'positive': 'POSITIVE', 'negative': 'NEGATIVE'}
    >>> names_of_model(["0", "1"], ["LABEL_0", "LABEL_1"])
    {'0': 'LABEL_0', '1': 'LABEL_1'}
    >>> names_of_model(["1", "2"], ["LABEL_0", "LABEL_1"]), names_of_model(["0", "1"], ["bad", "good"])
    ({}, {})

    Args:
        found: all labels of the file.
        known: labels of the model.
    """
    found = dict.fromkeys(found)
    if all(map(_UNNAMED.fullmatch, known)):
        numbered = {label: f"LABEL_{canonical(label)}" for label in found}
        if {*numbered.values()} <= {*known}:
            return numbered
    by_letters: dict[str, list[str]] = {}
    for label in known:
        by_letters.setdefault(label.casefold(), []).append(label)
    strange = {label: by_letters.get(label.casefold(), []) for label in found if label not in known}
    return {label: names[0] for label, names in strange.items() if len(names) == 1}


def rename_labels(examples: Sequence[Example], names: Mapping[str, str]) -> Sequence[Example]:
    """The examples with other names for some labels.

    Args:
        examples: with labels; a corpus stays one, and no text is copied.
        names: new names by old ones.
    """
    if isinstance(examples, Corpus):
        return examples.rename_labels(names)
    return [
        replace(example, labels=tuple(names.get(label, label) for label in example.labels))
        for example in examples
    ]


def usual_spellings(known: Sequence[str]) -> tuple[str, ...]:
    """Labels of a model, and what files call them: see `names_of_model`.

    >>> usual_spellings(["LABEL_0", "LABEL_1"]), usual_spellings(["NEGATIVE", "good"])
    (('LABEL_0', 'LABEL_1', '0', '1'), ('NEGATIVE', 'good', 'negative', 'Negative', 'GOOD', 'Good'))
    """
    more: dict[str, None] = dict.fromkeys(known)
    for label in known:
        number = _UNNAMED.fullmatch(label)
        written = [number[1]] if number else [label.lower(), label.upper(), label.capitalize()]
        more |= dict.fromkeys(written)
    return tuple(more)
