"""Contracts of the models, so that training, decoding and viewing need to know no model by name.

What a decoder must remember is passed in and returned (`Memory`, `State`); nothing is left on the
module. Both are `Batched`: one row per example, which `select` reorders, repeats or drops.
"""

from __future__ import annotations

import copy
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, fields, replace
from typing import Any, NamedTuple, Self, TypeAlias

from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.errors import InputError, SettingsError
from regard.models.explaining import Explainable
from regard.models.reading import AlignmentSettings
from regard.models.settings import ModelSettings

__all__ = [
    "Batched",
    "Classifier",
    "EncoderDecoder",
    "LanguageModel",
    "Maps",
    "Memory",
    "Output",
    "State",
    "Step",
]

Maps: TypeAlias = Mapping[str, Sequence[AttentionMap]]
"""Attention maps by site, one map for each layer (and member of an ensemble)."""


class Output(NamedTuple):
    """Result of a forward pass.

    Attributes:
        logits: scores before the softmax. Encoder-decoders and language models: `(batch, targets,
            vocab)`; classifiers: `(batch, labels)`.
        maps: attention by site: `"encoder"`, `"decoder"`, `"cross"`, `"pooling"`, `"words"` or
            `"sentences"`. A map costs nothing until it is used. Those of an ensemble are member after
            member, each with its `member`.
        penalty: term that the model adds to its loss, a scalar per target token (coverage), or `None`.
        ensemble_logits: `(members, batch, labels)`, the logits of each member of an ensemble; the loss is
            the mean of theirs. `None` where `logits` are trained directly.
    """

    logits: Tensor
    maps: Maps
    penalty: Tensor | None = None
    ensemble_logits: Tensor | None = None


@dataclass(frozen=True)
class Batched:
    """Tensors with one row per example in the first dimension, in any nesting of tuples."""

    def select(self, indices: Tensor) -> Self:
        """Take the rows at `indices` (int64), in that order: reorders, repeats or drops examples."""
        return replace(
            self, **{f.name: _select(getattr(self, f.name), indices) for f in fields(self)}
        )


def _select(value: Any, indices: Tensor) -> Any:
    if isinstance(value, Tensor):
        return value.index_select(0, indices)
    if isinstance(value, tuple):
        return tuple(_select(item, indices) for item in value)
    if hasattr(value, "select"):
        return value.select(indices)
    return value


@dataclass(frozen=True)
class Memory(Batched):
    """Encoded source, as the decoder attends to it; read-only while decoding.

    Attributes:
        mask: `(batch, keys)` Boolean, `True` where the decoder may attend. Clearing an entry knocks a
            source token out.
    """

    mask: Tensor

    @property
    def batch(self) -> int:
        """Number of examples."""
        return self.mask.shape[0]

    def mask_out(self, positions: Tensor) -> Self:
        """A copy without attention to `positions`, Boolean `(batch, keys)`."""
        return replace(self, mask=self.mask & ~positions)


@dataclass(frozen=True)
class State(Batched):
    """State of a decoder between two tokens."""


class Step(NamedTuple):
    """Result of one decoding step.

    Attributes:
        logits: `(batch, vocab)`, for the next token.
        state: to be passed to the next step.
        weights: `(batch, keys)`, cross-attention of this step, of the layer and head in `alignment`.
    """

    logits: Tensor
    state: State
    weights: Tensor


class EncoderDecoder(nn.Module, ABC):
    """Source ids to target ids: `rnn`, `transformer`, `pointer`.

    Sources are padded on the right, targets start with BOS; both are int64.
    """

    settings: ModelSettings
    #: Which of its cross-attention says where a word looked: `Step.weights`, and how answers read them.
    alignment: AlignmentSettings = AlignmentSettings()
    #: Whether ids past the vocabulary stand for unknown words of the source, which it copies.
    copies: bool = False
    #: Longest source and target that the model has positions for, BOS or EOS included; `None`: any.
    max_positions: int | None = None

    @property
    def cross_attention_shape(self) -> tuple[int, int]:
        """Layers with cross-attention, and heads of each."""
        return 1, 1

    def with_alignment(self, alignment: AlignmentSettings) -> Self:
        """The same model, parameters shared, with another choice of layer, head and step.

        Raises:
            SettingsError: a layer or head that the model does not have.
        """
        for name, count in zip(("layer", "head"), self.cross_attention_shape, strict=True):
            chosen = getattr(alignment, name)
            if chosen is not None and chosen > count:
                raise SettingsError(
                    f"no {name} {chosen} of cross-attention; this model has {count}, counted from 1"
                )
        model = copy.copy(self)
        model.alignment = alignment
        return model

    @abstractmethod
    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Output:
        """Run with teacher forcing: `logits[:, t]` are for the token after `target[:, t]`.

        Args:
            source: `(batch, keys)`.
            source_lengths: `(batch,)`.
            target: `(batch, targets)`.
        """

    @abstractmethod
    def encode(self, source: Tensor, source_lengths: Tensor) -> Memory:
        """Encode the source `(batch, keys)`, once for all steps."""

    @abstractmethod
    def start(self, memory: Memory) -> State:
        """Make the state before the first token (BOS), one row per row of `memory`."""

    @abstractmethod
    def step(
        self, token: Tensor, state: State, memory: Memory, *, out: Tensor | None = None
    ) -> Step:
        """Feed one token per row.

        Args:
            token: `(rows,)`.
            state: may have `n` times the rows of `memory` (a beam of `n`): rows `i * n ... i * n + n - 1`
                then share row `i` of the memory, which is neither copied nor projected again.
            memory: from `encode`.
            out: `(rows, vocab)`, where the logits may be written; see `layers.linear.Linear.into`.
        """


class LanguageModel(nn.Module, ABC):
    """Ids to the next id: `lm`."""

    settings: ModelSettings
    #: Whether BOS is in front of what it reads, so that it can begin with nothing.
    begins: bool = True
    #: Whether the prompts of a batch must have one length, so that all of their tokens are fed at once.
    prompts_of_one_length: bool = False
    #: Most tokens that the model has positions for, BOS included; `None`: any.
    max_positions: int | None = None

    @abstractmethod
    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """Run with teacher forcing: `logits[:, t]` are for the token after `ids[:, t]`."""

    @abstractmethod
    def start(self, batch: int) -> State:
        """Make the state before the first token."""

    @abstractmethod
    def step(self, token: Tensor, state: State) -> Step:
        """Feed one token `(batch,)` per row; `weights` are over the tokens so far."""

    def without_keys(self, positions: Sequence[int]) -> AbstractContextManager[object]:
        """Let no token attend to these positions of the text, inside the block.

        Raises:
            InputError: the model has no such knock-out.
        """
        raise InputError(
            f"a {self.settings.kind} of regard cannot hide words of a beginning; pretrained models can"
        )

    @abstractmethod
    def prefill(self, ids: Tensor, state: State) -> Step:
        """Feed several tokens `(batch, new)` per row at once; return the step of the last one."""


class Classifier(Explainable, ABC):
    """Token ids to one score per label: `wide`, `feedforward`, `bigru`, `cnn`, ..., `hierarchical`."""

    settings: ModelSettings

    def fit_features(
        self, surfaces: Sequence[str], texts: Sequence[Sequence[int]], targets: Tensor
    ) -> None:
        """Compute what depends on the training examples as a whole, before the first update.

        Most models have nothing to compute. May replace `self.settings`; the new ones are written to
        `config.json`.

        Args:
            surfaces: what each id adds to a text; their concatenation is the text.
            texts: ids, one sequence a text.
            targets: `(texts,)` labels, or `(texts, labels)` of 0 and 1 where a text may have several.
        """

    def refit(self, texts: Sequence[Sequence[int]], targets: Tensor) -> bool:
        """Refit what is solved rather than trained (the n-gram weights), with more examples.

        Called after training, when no held-out example is needed any more to choose the best epoch.
        Must keep the shapes in the state dict.

        Args:
            texts: ids, one sequence a text: training and held-out examples together.
            targets: as in `fit_features`.

        Returns:
            Whether anything changed.
        """
        return False

    @abstractmethod
    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """Classify `ids` `(batch, length)`; `logits` are `(batch, labels)`."""
