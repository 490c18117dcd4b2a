"""Training and validation part of a run, and what they have in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regard.data import Example

__all__ = ["PartsInCommon", "compare_while_reading"]


@dataclass
class PartsInCommon:
    """Counts of texts that occur where they should not; white space counts as one space.

    Attributes:
        shared: validation examples whose text the training part has, too.
        copies: training examples whose target equals their source.
        targets: training examples that have a target.
    """

    shared: int = 0
    copies: int = 0
    targets: int = 0


def compare_while_reading(
    train: Sequence[Example], valid: Sequence[Example], found: PartsInCommon
) -> Iterator[Example]:
    """Yield the training examples to whoever reads them anyway, and count on the way.

    Only hashes of the validation texts are kept, so a training part of any size costs no second pass
    and no memory.

    Args:
        train: training part.
        valid: validation part.
        found: changed in place; complete when the iterator is exhausted.
    """
    wanted = Counter(hash(_normalized(example.text)) for example in valid)
    for example in train:
        text = _normalized(example.text)
        # Once for each text of the training part, however often it occurs there.
        found.shared += wanted.pop(hash(text), 0)
        if example.target is not None:
            found.targets += 1
            found.copies += text == _normalized(example.target)
        yield example


def _normalized(text: str) -> str:
    return " ".join(text.split())
