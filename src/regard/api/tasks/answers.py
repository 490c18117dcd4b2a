"""Answers of models, each with the attention behind it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from operator import itemgetter
from typing import Any, ParamSpec, Self, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from torch import nn

from regard.api.tasks.records import Maps
from regard.decoding import DecodingSettings, Hypothesis, Reading
from regard.errors import InputError
from regard.evaluation.alignment.cross_attention import (
    links_from_attention,
    merge_pieces,
    words_of_pieces,
)
from regard.models import READINGS, AlignmentSettings, check_reading
from regard.viewing import AttentionRecord, Tokens

__all__ = [
    "AlignmentView",
    "Answer",
    "Classification",
    "Continuation",
    "Summary",
    "TextAnswer",
    "Translation",
    "View",
    "best_with_alternatives",
    "check_no_reading",
    "check_unchanged",
    "cut_note",
    "empty_text_error",
    "noted",
    "shortfall",
    "weights_version",
    "while_unchanged",
    "without_reading",
]

T = TypeVar("T")

View: TypeAlias = Callable[[Reading | None], tuple[Maps, AttentionRecord]]
"""Makes all maps of an answer, and their record, by a forward pass."""
AlignmentView: TypeAlias = Callable[[Reading | None], AttentionRecord]
"""Makes the record of the one map that was kept while the answer was computed."""


@dataclass(frozen=True, eq=False, kw_only=True)
class Answer:
    """Base class of answers. Attention maps are made on first use, by one more forward pass.

    Answers can be pickled and copied. A pickled answer leaves its model behind, so that what needs a forward
    pass must be looked at before; the map kept while decoding (`aligned`) of a written answer comes along.

    Attributes:
        tokens: tokens of the text that was written; of the text that was read, if none is written.
        note: what the user should know of this answer, such as that its text was cut; mostly empty.
    """

    tokens: tuple[str, ...] = ()
    note: str = ""
    view: View | None = field(default=None, repr=False)
    alignment_view: AlignmentView | None = field(default=None, repr=False)

    @property
    def maps(self) -> Maps:
        """Exact attention by site (`"encoder"`, `"cross"`, `"pooling"`, ...), one map a layer."""
        return self._views[0] if self.view else {}

    def look(self, reading: Reading | None = None) -> AttentionRecord:
        """Record of all attention, ready to be shown or saved.

        Args:
            reading: the decoder step that gives a token its row of cross-attention: `"output"`, the
                step that writes the token, or `"input"`, the step that reads it; `None` takes the
                model's own.

        Raises:
            InputError: the text was empty, or there is no cross-attention to read.
        """
        return self._views[1] if reading is None else self._view_at(reading)[1]

    def aligned(self, reading: Reading | None = None) -> AttentionRecord:
        """Record of one map: the attention behind each word of this answer.

        `look` runs the finished answer through the network again; this map was kept while the answer
        was computed. So it respects knocked-out tokens and, in beam search, follows the beam's own
        ancestry. Its layer and head are those of the model's alignments, as `reading` of the record says.
        An answer that was not written token by token shows all it has.

        Args:
            reading: the decoder step that gives a token its row, as in `look`.

        Raises:
            InputError: the text was empty, or the answer is.
        """
        return (
            self.alignment_view(reading) if self.alignment_view is not None else self.look(reading)
        )

    def __getstate__(self) -> dict[str, Any]:
        """Attributes for `pickle`, with what has been looked at in place of the model."""
        state = dict(vars(self))
        for name in ("view", "alignment_view"):
            if state[name] is not None:
                state[name] = _left_behind
        return state

    def __copy__(self) -> Self:
        return replace(self)

    def __deepcopy__(self, memo: dict[int, Any]) -> Self:
        views = {"view": self.view, "alignment_view": self.alignment_view}
        twin = object.__new__(type(self))
        vars(twin).update(copy.deepcopy({**vars(self), **dict.fromkeys(views)}, memo), **views)
        return twin

    @cached_property
    def _views(self) -> tuple[Maps, AttentionRecord]:
        return self._view_at(None)

    def _view_at(self, reading: Reading | None) -> tuple[Maps, AttentionRecord]:
        if self.view is None:
            raise empty_text_error()
        return self.view(reading)


@dataclass(frozen=True, eq=False, kw_only=True)
class TextAnswer(Answer):
    """An answer that is a text.

    Attributes:
        text: the answer; empty where there was nothing to answer.
        score: log-probability divided by the length penalty, in nats.
        alternatives: the other hypotheses of an n-best list, best first.
    """

    text: str = ""
    score: float = 0.0
    alternatives: tuple[Self, ...] = ()

    def __getstate__(self) -> dict[str, Any]:
        """Attributes for `pickle`; the map kept while decoding is made into records, one a reading."""
        state = super().__getstate__()
        if self.alignment_view is not None:
            state["alignment_view"] = _KeptRecords.of(self.alignment_view)
        return state


def _left_behind(reading: Reading | None = None) -> Any:
    """View of an answer that was pickled before it was looked at."""
    raise InputError(
        "this answer was pickled, which left its model behind, before its attention was computed; call "
        "look() before it is pickled, or look(text) of the model"
    )


@dataclass(frozen=True)
class _KeptRecords:
    """Alignment view of a pickled answer.

    Attributes:
        records: by reading.
        message: message of the error, if there is nothing to see.
    """

    records: Mapping[Reading | None, AttentionRecord]
    message: str = ""

    @classmethod
    def of(cls, view: AlignmentView) -> _KeptRecords:
        if isinstance(view, _KeptRecords):
            return view
        try:
            return cls({reading: view(reading) for reading in (None, *READINGS)})
        except InputError as error:
            return cls({}, str(error))

    def __call__(self, reading: Reading | None) -> AttentionRecord:
        if self.message:
            raise InputError(self.message)
        return self.records[reading if reading is None else check_reading(reading)]


V = ParamSpec("V")


def while_unchanged(network: nn.Module, view: Callable[V, T]) -> Callable[V, T]:
    """View of an answer that raises once the weights which gave the answer have changed.

    Args:
        network: which gave the answer.
        view: of the answer.

    Raises:
        InputError: when called after further training, or other weights were loaded.
    """
    before = weights_version(network)

    def checked(*args: V.args, **kwargs: V.kwargs) -> T:
        check_unchanged(network, before)
        return view(*args, **kwargs)

    return checked


def check_unchanged(network: nn.Module, since: int) -> None:
    """Refuse to look at an answer of other weights.

    Args:
        network: which gave the answer.
        since: its `weights_version` at the answer.

    Raises:
        InputError: there was further training, or other weights were loaded.
    """
    if weights_version(network) != since:
        raise InputError(
            "the model's weights have changed since this answer (it was trained on, or others were "
            "loaded), so its attention cannot be computed any more; answer again, or look() before"
        )


def weights_version(network: nn.Module) -> int:
    """Number of changes in place of a network's parameters so far, as torch counts them.

    A shared parameter counts more than once. Every answer asks, and `network.parameters()`, which finds such,
    takes longer than to classify a sentence.
    """
    found, parts = 0, [network]
    for part in parts:  # which grows
        for parameter in part._parameters.values():
            if parameter is not None and not parameter.is_inference():
                found += parameter._version
        for inner in part._modules.values():
            if inner is not None:
                parts.append(inner)
    return found


def without_reading(view: Callable[[], T]) -> Callable[[Reading | None], T]:
    """View of a model without cross-attention, which has no decoder step to choose."""

    def at(reading: Reading | None) -> T:
        check_no_reading(reading)
        return view()

    return at


def check_no_reading(reading: Reading | None) -> None:
    """Refuse a reading where there is no cross-attention.

    Raises:
        InputError: a reading is given.
    """
    if reading is not None:
        raise InputError(
            f"reading {reading!r} is for models with cross-attention, which write a text for a text; "
            "this one has none: leave reading out"
        )


def empty_text_error() -> InputError:
    """Error of every model that is to show its attention to an empty text."""
    return InputError("an empty text has nothing to look at")


def shortfall(hypothesis: Hypothesis, settings: DecodingSettings) -> str:
    """Note on a hypothesis that met a dead end of the constraints; empty for any other."""
    if len(hypothesis.ids) >= settings.min_length:
        return ""
    return (
        f"has {len(hypothesis.ids)} tokens, fewer than min_length={settings.min_length}: "
        "block_ngrams or block_unknown left no token to go on with"
    )


def cut_note(read: int, whole: int, *, end: str = "first") -> str:
    """Note on an answer to a text of which not all tokens were read; empty if all were.

    Args:
        read: number of tokens read.
        whole: number of tokens of the text.
        end: which part was read, `"first"` or `"last"`.
    """
    if read == whole:
        return ""
    return (
        f"only the {end} {read:,} of its {whole:,} tokens were read, as many as the model was made for "
        "(max_tokens)"
    )


A = TypeVar("A", bound=TextAnswer)


def noted(answer: A, *notes: str) -> A:
    """The answer with these notes, of which any may be empty."""
    note = "; ".join(filter(None, notes))
    return replace(answer, note=note) if note else answer


def best_with_alternatives(answers: Iterable[A]) -> A:
    """First answer of an n-best list, with the others as its alternatives."""
    best, *others = answers
    return replace(best, alternatives=tuple(others))


@dataclass(frozen=True, eq=False, kw_only=True)
class Translation(TextAnswer):
    """Translation of one text.

    Attributes:
        source: the source text.
        source_tokens: its tokens, the end mark included.
        alignment: `(tokens, source tokens)`: cross-attention along the beam's own ancestry.
        read_at: the decoder step, layer and head that `alignment` is of.
        axes: tokens and source tokens with their positions in the texts.
    """

    source: str
    source_tokens: tuple[str, ...] = ()
    alignment: NDArray[np.float32] = field(default_factory=lambda: np.zeros((0, 0), np.float32))
    read_at: AlignmentSettings = field(default_factory=AlignmentSettings)
    axes: tuple[Tokens, Tokens] | None = field(default=None, repr=False)

    def word_alignment(self) -> list[tuple[int, int]]:
        """Pairs `(source word, target word)` from 0: each target word's most attended source word.

        Words are what white space separates in `source` and in `text`, as the Pharaoh format counts
        them, whatever the model's tokens are. A word whose attention is all on the end mark has no pair.
        """
        if self.axes is None:
            return []
        target, source = (words_of_pieces(tokens.text, tokens.offsets) for tokens in self.axes)
        links = links_from_attention(merge_pieces(self.alignment, target, source))
        return sorted(links, key=itemgetter(1))


@dataclass(frozen=True, eq=False, kw_only=True)
class Summary(TextAnswer):
    """Summary of one text.

    Attributes:
        source: the source text.
        sentences: indices of the extracted sentences, from 0, whose summed log-probability is the
            score; empty for a model that writes.
    """

    source: str
    sentences: tuple[int, ...] = ()


@dataclass(frozen=True, eq=False, kw_only=True)
class Classification(Answer):
    """Labels of one text.

    Attributes:
        text: the text that was read.
        label: the most probable label; empty for an empty text.
        labels: all that apply, the most probable first; one, unless a text may have several.
        probabilities: of every label, by name, the most probable first.
    """

    text: str
    label: str = ""
    labels: tuple[str, ...] = ()
    probabilities: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, eq=False, kw_only=True)
class Continuation(TextAnswer):
    """Continuation of a prompt.

    Attributes:
        prompt: the given beginning; `text` is what was added.
    """

    prompt: str
