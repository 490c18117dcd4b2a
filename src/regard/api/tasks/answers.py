"""What a model answers, with what it attended to while it did."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Self, TypeVar

import numpy as np
from numpy.typing import NDArray

from regard.api.tasks.records import Maps
from regard.decoding import Reading
from regard.errors import InputError
from regard.viewing import AttentionRecord, Tokens

__all__ = [
    "Answer",
    "Classification",
    "Continuation",
    "Summary",
    "Translation",
    "View",
    "W",
    "Written",
    "best_of",
    "nothing_to_look_at",
]

View = Callable[[], tuple[Maps, AttentionRecord]]
Along = Callable[[Reading | None], AttentionRecord]


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """What all answers can show. Maps are made when they are asked for, by one more pass.

    Attributes:
        tokens: of what was written; of what was read, when nothing is written.
    """

    tokens: tuple[str, ...] = ()
    view: View | None = field(default=None, repr=False)
    along: Along | None = field(default=None, repr=False)

    @property
    def maps(self) -> Maps:
        """Attention by place (`"encoder"`, `"cross"`, `"pooling"`, ...), one map a layer, exact."""
        return self._views[0] if self.view else {}

    def look(self) -> AttentionRecord:
        """Everything that was attended to, ready to be shown or saved.

        Raises:
            InputError: the text was empty.
        """
        return self._views[1]

    def aligned(self, reading: Reading | None = None) -> AttentionRecord:
        """Where it looked as it wrote this answer: one map, the mean over heads, made already.

        Unlike `look`, which reads the answer once more, it keeps to what was knocked out, and in
        beam search it follows the beam's own ancestry. An answer that was not written step by step
        shows all it has.

        Args:
            reading: the decoder step that gives a token its row: `"input"`, the step that reads the
                token, or `"output"`, the step that predicts it; `None` takes the model's default.

        Raises:
            InputError: the text was empty, or the answer is.
        """
        return self.along(reading) if self.along is not None else self.look()

    @cached_property
    def _views(self) -> tuple[Maps, AttentionRecord]:
        if self.view is None:
            raise nothing_to_look_at()
        return self.view()


@dataclass(frozen=True, eq=False, kw_only=True)
class Written(Answer):
    """An answer that was written.

    Attributes:
        text: that was; empty where there was nothing to answer.
        score: its log-probability over the length penalty, in nats.
        alternatives: the other hypotheses of an n-best list, best first.
    """

    text: str = ""
    score: float = 0.0
    alternatives: tuple[Self, ...] = ()


def nothing_to_look_at() -> InputError:
    """What every model says of an empty text."""
    return InputError("an empty text has nothing to look at")


W = TypeVar("W", bound=Written)


def best_of(found: Iterable[W]) -> W:
    """The first of an n-best list, with the others as its alternatives."""
    best, *others = found
    return replace(best, alternatives=tuple(others))


@dataclass(frozen=True, eq=False, kw_only=True)
class Translation(Written):
    """One text and what became of it.

    Attributes:
        source: the text that came.
        source_tokens: with the end mark.
        alignment: `(tokens, source tokens)`: where the decoder looked, averaged over heads, along
            the beam's own ancestry.
        axes: tokens and source tokens with their places in the texts.
    """

    source: str
    source_tokens: tuple[str, ...] = ()
    alignment: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    axes: tuple[Tokens, Tokens] | None = field(default=None, repr=False)

    def word_alignment(self) -> list[tuple[int, int]]:
        """Pairs `(source word, target word)` from 0: for each target word where it looked most."""
        if self.axes is None:
            return []
        # Spaces, which are tokens where every character is one, are part of no word.
        rows, columns = ([i for i, p in enumerate(t.pieces) if p.strip()] for t in self.axes)
        if not rows:
            return []
        written, read = (t.take(keep) for t, keep in zip(self.axes, (rows, columns), strict=True))
        record = AttentionRecord.of(self.alignment[rows][:, columns], written, read)
        weights = record.without_special().words().tracks[0].dense()
        return [(int(row.argmax()), place) for place, row in enumerate(weights) if row.size]


@dataclass(frozen=True, eq=False, kw_only=True)
class Summary(Written):
    """One text and its summary; where sentences were picked, the score is their log-probability.

    Attributes:
        source: the text that came.
        sentences: numbers of the sentences picked, from 0; none for a model that writes.
    """

    source: str
    sentences: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Classification(Answer):
    """One text and its label.

    Attributes:
        text: that came.
        label: the likeliest; empty for an empty text.
        labels: all that apply, the likeliest first; one, unless a text may have several.
        probabilities: of every label, by name, the likeliest first.
    """

    text: str
    label: str = ""
    labels: tuple[str, ...] = ()
    probabilities: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Continuation(Written):
    """A beginning and how it goes on.

    Attributes:
        prompt: the beginning; `text` is what was added.
    """

    prompt: str
