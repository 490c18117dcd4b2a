"""Whether labels can be learned from."""

from __future__ import annotations

from collections import Counter
from typing import Literal

from regard.data.corpus import Corpus, Example
from regard.errors import DataError, nearest

__all__ = ["check_labels"]


def check_labels(corpus: Corpus, *, rare: Literal["error", "skip", "keep"] = "error") -> Corpus:
    """Return a corpus whose labels can be learned, or say why they cannot.

    Args:
        corpus: of labelled examples; the training part.
        rare: what happens to labels seen only once, which are usually a slip: `"error"` names the
            first, `"skip"` leaves their examples out, `"keep"` keeps them.

    Raises:
        DataError: there are no labels, all are the same, one is seen only once, or there are about
            as many as texts.
    """
    counts = Counter(label for example in corpus for label in example.labels)
    files = ", ".join(corpus.report.files)
    if not counts:
        raise DataError("no example has a label", path=files)
    if len(counts) == 1 and not corpus.multi_label:
        raise DataError(
            f"one class only: all {len(corpus):,} examples are {next(iter(counts))!r}",
            path=files,
            remedy="add examples of another class, or name the column of labels with label=",
        )
    once = {label for label, count in counts.items() if count == 1}
    if len(once) > 0.5 * len(corpus) and len(corpus) > 4:
        raise DataError(
            f"{len(counts):,} different labels in {len(corpus):,} examples",
            path=files,
            remedy="is this the column of labels? Name it with label=",
        )
    if not once or rare == "keep":
        return corpus
    first = next(example for example in corpus if once & set(example.labels))
    if rare == "error":
        raise _slip(first, once, set(counts))
    return corpus.select([i for i, example in enumerate(corpus) if not once & set(example.labels)])


def _slip(example: Example, once: set[str], known: set[str]) -> DataError:
    """Return what to say about the first label that is seen only once."""
    label = next(label for label in example.labels if label in once)
    header = " Is this line a header?" if example.origin[1] == 1 else ""
    return DataError(
        f"the label {label!r} is seen only once, too little to learn it",
        path=example.origin[0],
        line=example.origin[1],
        remedy=f"{nearest(label, known - once)}{header} "
        "Correct it, add examples, or say rare='skip' or rare='keep'",
    )
