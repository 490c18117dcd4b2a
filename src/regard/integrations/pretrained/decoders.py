"""Networks of transformers that write: language models and encoder-decoders."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Self

import torch
from torch import Tensor

from regard.errors import ModelFolderError
from regard.integrations.pretrained.folder import Loaded
from regard.integrations.pretrained.networks import LazyMaps, PretrainedBase
from regard.integrations.pretrained.vocabulary import Vocabulary
from regard.integrations.steering import hidden_keys
from regard.layers.eval_mode import eval_mode
from regard.models import EncoderDecoder, LanguageModel, Memory, Output, State, Step
from regard.models.contracts import Maps
from regard.text import BOS

__all__ = ["PretrainedEncoderDecoder", "PretrainedLanguageModel"]


@dataclass(frozen=True)
class PastTokens:
    """Key-value cache of transformers that is never changed in place.

    Attributes:
        cache: a `Cache` of transformers.
    """

    cache: Any

    def fork(self) -> Any:
        """A cache that may be extended: its tensors are shared, and replaced when it grows."""
        return _forked(self.cache)

    def select(self, indices: Tensor) -> Self:
        """The rows at `indices`, in that order."""
        cache = _forked(self.cache)
        cache.reorder_cache(indices)
        return type(self)(cache)


def _forked(cache: Any) -> Any:
    twin = copy.copy(cache)
    if hasattr(cache, "cross_attention_cache"):
        twin.self_attention_cache = _forked(cache.self_attention_cache)
        twin.cross_attention_cache = _forked(cache.cross_attention_cache)
        twin.is_updated = dict(cache.is_updated)
        return twin
    # States of layers that are not attention are written in place, so they are copied.
    twin.layers = [
        copy.copy(layer)
        if hasattr(layer, "keys") and not hasattr(layer, "conv_states")
        else copy.deepcopy(layer)
        for layer in cache.layers
    ]
    return twin


@dataclass(frozen=True)
class PastState(State):
    """State of a decoder of transformers; `past` is `None` before the first token."""

    past: PastTokens | None


@dataclass(frozen=True)
class EncodedMemory(Memory):
    """Source as an encoder of transformers left it.

    Attributes:
        states: `(batch, keys, width)`.
    """

    states: Tensor


class PretrainedLanguageModel(PretrainedBase, LanguageModel):
    """A causal language model of transformers.

    Args:
        loaded: the model of transformers.
        vocabulary: its ids as ours.
        begins: whether its texts have BOS in front; else BOS is not fed to it.
    """

    prompts_of_one_length: bool = True

    def __init__(self, loaded: Loaded, vocabulary: Vocabulary, *, begins: bool) -> None:
        super().__init__(loaded, vocabulary)
        self.begins: bool = begins
        self.max_positions: int | None = loaded.positions

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """Run with teacher forcing: `logits[:, t]` are for the token after `ids[:, t]`."""
        inputs = self._inputs(ids, lengths)
        logits = self.model(**inputs, use_cache=False).logits
        return Output(self.vocabulary.logits(logits), LazyMaps(lambda: self.watched(inputs)))

    def maps_alone(self, ids: Tensor, lengths: Tensor) -> Maps:
        """Maps of one pass that gives no logits."""
        return self.watched(self._inputs(ids, lengths), headless=True)

    def _inputs(self, ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        inputs = {"input_ids": self.vocabulary.theirs(ids)}
        if int(lengths.min()) < ids.shape[1]:
            real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
            inputs["attention_mask"] = real.long()
        return inputs

    def start(self, batch: int) -> PastState:
        """Start without past tokens."""
        return PastState(None)

    def without_keys(self, positions: Sequence[int]) -> AbstractContextManager[object]:
        """Let no token attend to these positions of the text, by `regard.steer`."""
        return hidden_keys(self.model, positions) if positions else nullcontext()

    def step(self, token: Tensor, state: State) -> Step:
        """Feed one token per row; everything before it is in the cache."""
        return self.prefill(token[:, None], state)

    def prefill(self, ids: Tensor, state: State) -> Step:
        """Feed several tokens per row, `(batch, new)`, at once; return the step of the last one."""
        assert isinstance(state, PastState)
        if state.past is None and not self.begins:
            ids = ids[:, int(bool((ids[:, 0] == BOS).all())) :]
        nowhere = torch.empty(len(ids), 0, device=ids.device)
        if not ids.shape[1]:  # only the BOS that it does not read
            return Step(nowhere, state, nowhere)
        past = None if state.past is None else state.past.fork()
        output = self.model(
            input_ids=self.vocabulary.theirs(ids), past_key_values=past, use_cache=True
        )
        logits = self.vocabulary.logits(output.logits[:, -1].float())
        return Step(logits, PastState(PastTokens(output.past_key_values)), nowhere)


class PretrainedEncoderDecoder(PretrainedBase, EncoderDecoder):
    """An encoder-decoder of transformers.

    It runs in eager mode, the only one that returns the cross-attention of each step.

    Args:
        loaded: the model of transformers.
        vocabulary: its ids as ours.
        never: ids of theirs that its configuration forbids to write.
    """

    def __init__(self, loaded: Loaded, vocabulary: Vocabulary, never: Sequence[int] = ()) -> None:
        super().__init__(loaded, vocabulary)
        self.max_positions: int | None = loaded.positions
        self._never = list(never)
        self.model.set_attn_implementation("eager")

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Output:
        """Run with teacher forcing: `logits[:, t]` are for the token after `target[:, t]`."""
        inputs = self._inputs(source, source_lengths, target)
        logits = self.model(**inputs, use_cache=False).logits
        return Output(self.vocabulary.logits(logits), LazyMaps(lambda: self.watched(inputs)))

    def maps_alone(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Maps:
        """Maps of one pass that gives no logits."""
        return self.watched(self._inputs(source, source_lengths, target), headless=True)

    def _inputs(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> dict[str, Tensor]:
        real = torch.arange(source.shape[1], device=source.device) < source_lengths[:, None]
        return {
            "input_ids": self.vocabulary.theirs(source),
            "attention_mask": real.long(),
            "decoder_input_ids": self.vocabulary.theirs(target),
        }

    def encode(self, source: Tensor, source_lengths: Tensor) -> EncodedMemory:
        """Encode the source `(batch, keys)`, once for all steps."""
        real = torch.arange(source.shape[1], device=source.device) < source_lengths[:, None]
        encoder = self.model.get_encoder()
        states = encoder(
            input_ids=self.vocabulary.theirs(source), attention_mask=real.long()
        ).last_hidden_state
        return EncodedMemory(real, states)

    def start(self, memory: Memory) -> PastState:
        """Start without past tokens."""
        return PastState(None)

    def step(
        self, token: Tensor, state: State, memory: Memory, *, out: Tensor | None = None
    ) -> Step:
        """Feed one token per row; everything before it is in the cache, and so are the source's keys."""
        assert isinstance(state, PastState)
        assert isinstance(memory, EncodedMemory)
        from transformers.modeling_outputs import BaseModelOutput

        repeats = len(token) // memory.batch
        states, mask = (
            (part if repeats == 1 else part.repeat_interleave(repeats, 0))
            for part in (memory.states, memory.mask)
        )
        output = self.model(
            encoder_outputs=BaseModelOutput(last_hidden_state=states),
            attention_mask=mask.long(),
            decoder_input_ids=self.vocabulary.theirs(token[:, None]),
            past_key_values=None if state.past is None else state.past.fork(),
            use_cache=True,
            output_attentions=True,
        )
        logits = output.logits[:, -1].float()
        if self._never:
            logits[:, self._never] = -torch.inf
        weights = self._alignment_weights([layer[:, :, -1] for layer in output.cross_attentions])
        past = PastState(PastTokens(output.past_key_values))
        return Step(self.vocabulary.logits(logits), past, weights)

    def _alignment_weights(self, cross: Sequence[Tensor]) -> Tensor:
        """Weights `(rows, keys)` of the layer and head in `alignment`, or means over them."""
        layer, head = self.alignment.layer, self.alignment.head
        chosen = cross if layer is None else [cross[layer - 1]]
        by_layer = [w.mean(1) if head is None else w[:, head - 1] for w in chosen]
        return by_layer[0] if len(by_layer) == 1 else torch.stack(by_layer).mean(0)

    @property
    def cross_attention_shape(self) -> tuple[int, int]:
        """Decoder layers, and heads of each."""
        return self._found_shape

    @cached_property
    def _found_shape(self) -> tuple[int, int]:
        """`cross_attention_shape`, found by one step."""
        token = torch.full((1, 1), self.vocabulary.ends[0], device=next(self.parameters()).device)
        with torch.no_grad(), eval_mode(self):
            output = self.model(
                input_ids=token, decoder_input_ids=token, use_cache=False, output_attentions=True
            )
        if not output.cross_attentions:
            raise ModelFolderError(
                f"{type(self.model).__name__} returns no cross-attention, so it cannot be steered or shown "
                "while it writes"
            )
        return len(output.cross_attentions), min(w.shape[1] for w in output.cross_attentions)
