"""Labels of a classifier: their names, and the targets of examples."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.api.tasks.model import EncodedExamples
from regard.data import Example, labels_of
from regard.data.ragged import Ragged
from regard.errors import DataError, InputError
from regard.evaluation import score_label_sets, score_labels

__all__ = ["LabelledTexts", "label_names", "label_targets", "majority_scores"]


@dataclass(frozen=True)
class LabelledTexts(EncodedExamples):
    """Texts as ids, and their labels.

    Args:
        texts: ids of each text.
        targets: `(texts,)` class indices, or `(texts, labels)` of 0 and 1 where a text may have several.
    """

    texts: Ragged
    targets: Tensor

    def ids(self) -> list[list[int]]:
        """Ids of each text, as lists."""
        return [self.texts[index].tolist() for index in range(len(self.texts))]


def label_names(examples: Sequence[Example]) -> tuple[list[str], bool]:
    """Labels of some examples in the order of the logits, and whether a text may have several.

    Raises:
        InputError: there are fewer than two.
    """
    label_sets = labels_of(examples)
    counts = Counter(label for labels in label_sets for label in labels)
    several = any(len(labels) != 1 for labels in label_sets)
    names = _in_order(counts)
    if len(names) < 2:
        raise InputError(
            f"every example has the label {names[0]!r}; there is nothing to tell apart"
            if names
            else "no example has a label"
        )
    return names, several


def _in_order(names: Iterable[str]) -> list[str]:
    """Numbers by value, then names by the alphabet."""
    return sorted(
        names, key=lambda name: (not name.isdecimal(), len(name) * name.isdecimal(), name)
    )


def _listed(names: Sequence[str]) -> str:
    """Names of labels for a message."""
    return f"{', '.join(names[:12])}{', ...' if len(names) > 12 else ''}"


def label_targets(examples: Sequence[Example], names: Sequence[str], *, multilabel: bool) -> Tensor:
    """Labels as class indices `(texts,)`, or `(texts, labels)` of 0 and 1 with several.

    Args:
        examples: with labels.
        names: of the labels, in the order of the logits.
        multilabel: whether a text may have any number of labels.

    Raises:
        DataError: a label that the model lacks, or not one label where each text has one.
    """
    index_of = {name: index for index, name in enumerate(names)}
    label_sets = labels_of(examples)
    unknown = (i for i, labels in enumerate(label_sets) if not index_of.keys() >= {*labels})
    if (first := next(unknown, None)) is not None:
        path, line = examples[first].origin
        strange = next(label for label in label_sets[first] if label not in index_of)
        found = _in_order({label for labels in label_sets for label in labels})
        raise DataError(
            f"label {strange!r} is not one of the model's, which are {_listed(names)}",
            path=path,
            line=line,
            remedy=f"the labels of this part are {_listed(found)}; write them as "
            "the model's, or name the column of labels (--target)",
        )
    if multilabel:
        targets = torch.zeros(len(examples), len(names))
        for row, labels in enumerate(label_sets):
            targets[row, [index_of[label] for label in labels]] = 1.0
        return targets
    wrong = (i for i, labels in enumerate(label_sets) if len(labels) != 1)
    if (first := next(wrong, None)) is not None:
        path, line = examples[first].origin
        problem = f"{len(label_sets[first])} labels, expected one as in the training part"
        raise DataError(problem, path=path, line=line)
    return torch.tensor([index_of[labels[0]] for labels in label_sets])


def majority_scores(
    gold: Sequence[Sequence[str]], names: Sequence[str], *, multilabel: bool
) -> dict[str, float]:
    """Accuracy and macro F1 of always answering the most frequent label, or set of labels.

    >>> majority_scores([["a"], ["b"], ["a"], ["a"]], ["a", "b"], multilabel=False)["accuracy"]
    75.0

    Args:
        gold: right labels of each example.
        names: all labels.
        multilabel: whether a text may have any number of labels.
    """
    frequent = Counter(tuple(labels) for labels in gold).most_common(1)[0][0]
    if multilabel:
        sets = score_label_sets([*map(set, gold)], [set(frequent)] * len(gold), labels=names)
        return {"accuracy": sets.subset_accuracy.value, "macro_f1": sets.macro_f1.value}
    single = score_labels([labels[0] for labels in gold], [frequent[0]] * len(gold), labels=names)
    return {"accuracy": single.accuracy.value, "macro_f1": single.macro_f1.value}
