"""Check that labels can be learned."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from regard.choices import RareLabels
from regard.data.corpus import Corpus, Example
from regard.errors import DataError, nearest

__all__ = ["check_labels", "labels_of"]


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
    return DataError(problem, path=", ".join(files), remedy=remedy)


def _label_seen_once(example: Example, once: set[str], known: set[str]) -> DataError:
    """The error about the first label that occurs once."""
    label = next(label for label in example.labels if label in once)
    header = " Is this line a header?" if example.origin[1] == 1 else ""
    return DataError(
        f"the label {label!r} is seen only once, too little to learn it",
        path=example.origin[0],
        line=example.origin[1],
        remedy=f"{nearest(label, known - once)};{header} "
        "correct it, add examples, or accept it: rare='skip' or 'keep' (--rare-labels)",
    )
