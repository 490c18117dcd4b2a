"""Networks of transformers that read: what all of them share, and classifiers."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.errors import InputError
from regard.integrations.captured import Keep
from regard.integrations.pretrained.adapters import merged_state
from regard.integrations.pretrained.folder import Loaded
from regard.integrations.pretrained.segments import PairLayout
from regard.integrations.pretrained.tokenizer import PretrainedTokenizer
from regard.integrations.pretrained.vocabulary import Vocabulary
from regard.integrations.watching import watch
from regard.layers.eval_mode import eval_mode
from regard.models import Classifier, Output
from regard.models.contracts import Maps
from regard.models.explaining import recorded_lookups
from regard.models.settings import ModelSettings

__all__ = [
    "LazyMaps",
    "PretrainedBase",
    "PretrainedClassifier",
    "PretrainedEncoder",
    "PretrainedSettings",
]

_MAPS = Keep(pool=0, topk=0, entropy=False, received=False, dense_limit=0, maps=True)


class PretrainedSettings(ModelSettings):
    """Settings of a pretrained network: its class in transformers, which has settings of its own."""

    kind: str = "pretrained"


class LazyMaps(Mapping[str, Sequence[AttentionMap]]):
    """Maps by site that are made by a forward pass of their own, when the first of them is used.

    Args:
        make: runs the pass.
    """

    def __init__(self, make: Callable[[], Maps]) -> None:
        self._make = make

    @cached_property
    def _made(self) -> Maps:
        return self._make()

    def __getitem__(self, site: str) -> Sequence[AttentionMap]:
        return self._made[site]

    def __iter__(self) -> Iterator[str]:
        return iter(self._made)

    def __len__(self) -> int:
        return len(self._made)


class PretrainedBase(nn.Module):
    """What the networks of all tasks share.

    Args:
        loaded: the model of transformers; run as `self.model`.
        vocabulary: its ids as ours.
    """

    def __init__(self, loaded: Loaded, vocabulary: Vocabulary) -> None:
        super().__init__()
        self.settings: ModelSettings = PretrainedSettings(kind=type(loaded.model).__name__)
        self.model: Any = loaded.model
        self._tokenizer: Any = loaded.tokenizer
        self.vocabulary: Vocabulary = vocabulary

    def watched(self, inputs: Mapping[str, Tensor], *, headless: bool = False) -> Maps:
        """Exact maps of a pass over these inputs, by site and layer.

        Args:
            inputs: as the model of transformers takes them.
            headless: run the model without its head, whose logits of a whole vocabulary may take more memory
                than all else.
        """
        model = self.model.base_model if headless else self.model
        with torch.no_grad(), eval_mode(model), watch(model, keep=_MAPS) as seen:
            model(**inputs, use_cache=False) if self.caches else model(**inputs)
        return {site: [layer.map for layer in seen[site]] for site in seen.sites}

    @property
    def tokenizer_backend(self) -> Any:
        """The tokenizer of transformers, fast or slow."""
        return self._tokenizer

    @property
    def caches(self) -> bool:
        """Whether the model keeps keys and values of past tokens unless told not to."""
        return bool(getattr(self.model.config.get_text_config(), "use_cache", False))

    @property
    def stored(self) -> nn.Module:
        """Module whose weights a file holds, under the names that transformers gives them."""
        found: nn.Module = self.model
        return found

    def stored_state(self) -> Mapping[str, Tensor]:
        """Its state dict; low-rank changes are part of the weights."""
        return merged_state(self.model)

    def save_tokenizer(self, folder: Path) -> None:
        """Write the tokenizer, and how the model decodes, as transformers does."""
        self._tokenizer.save_pretrained(folder)
        if self.model.can_generate():
            self.model.generation_config.save_pretrained(folder)

    def config(self) -> dict[str, Any]:
        """Content of its `config.json`, as transformers writes it."""
        self.model.config.architectures = [type(self.model).__name__]
        with TemporaryDirectory() as place:
            self.model.config.save_pretrained(place)
            content = (Path(place) / "config.json").read_text(encoding="utf-8")
        found: dict[str, Any] = json.loads(content)
        return {**found, "dtype": str(self.model.dtype).removeprefix("torch.")}

    def save(self, folder: Path) -> None:
        """Write the model and its tokenizer as transformers does, so that both open them."""
        self.model.save_pretrained(folder)
        self._tokenizer.save_pretrained(folder)


class PretrainedEncoder(PretrainedBase):
    """A network that reads a text, without a head that our tasks use."""

    def inputs(self, ids: Tensor, lengths: Tensor) -> dict[str, Tensor]:
        """Arguments of the model of transformers for our ids `(batch, length)`."""
        real = torch.arange(ids.shape[1], device=ids.device) < lengths[:, None]
        inputs = {"input_ids": self.vocabulary.theirs(ids), "attention_mask": real.long()}
        types = self._pair_layout.types(ids, lengths) if self.takes_types else None
        return inputs if types is None else {**inputs, "token_type_ids": types}

    @cached_property
    def _pair_layout(self) -> PairLayout:
        return PairLayout.of(self._tokenizer)

    @cached_property
    def takes_types(self) -> bool:
        """Whether it is told which text of a pair each token belongs to, and its tokenizer says so.

        A GPT-2 adds the vector of a type as that of a token, and its tokenizer has no types.
        """
        taken = "token_type_ids" in inspect.signature(self.model.forward).parameters
        return taken and self._pair_layout.single is not None

    def maps_alone(self, ids: Tensor, lengths: Tensor) -> Maps:
        """Maps of one pass that gives no logits."""
        return self.watched(self.inputs(ids, lengths), headless=True)

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """Run over `ids` `(batch, length)`; `logits` are the first of the model's outputs."""
        inputs = self.inputs(ids, lengths)
        return Output(self.model(**inputs)[0], LazyMaps(lambda: self.watched(inputs)))


class PretrainedClassifier(PretrainedEncoder, Classifier):
    """A network that classifies a sequence.

    Args:
        loaded: the model of transformers.
        vocabulary: its ids as ours.
        tokenizer: of its texts, which knows its special tokens.
    """

    def __init__(
        self, loaded: Loaded, vocabulary: Vocabulary, tokenizer: PretrainedTokenizer
    ) -> None:
        super().__init__(loaded, vocabulary)
        self.mask_id: int = tokenizer.mask_id
        self.special_ids: frozenset[int] = tokenizer.special_ids
        self._probe = tokenizer.encode("one two three").ids
        if self.model.config.get_text_config().pad_token_id is None:
            # Decoders find the last token by its id; padding is masked, so the end mark will do.
            self.model.config.get_text_config().pad_token_id = (vocabulary.ends or (0,))[0]

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """Classify `ids` `(batch, length)`; `logits` are `(batch, labels)`."""
        inputs = self.inputs(ids, lengths)
        logits = self.model(**inputs).logits
        return Output(logits, LazyMaps(lambda: self.watched(inputs)))

    compares_rivals: bool = True

    def embedding_lookups(
        self, ids: Tensor, *, at: Tensor | None = None
    ) -> AbstractContextManager[list[tuple[Tensor, Tensor]]]:
        """Record the lookups of `ids` in the model's table of tokens.

        Raises:
            InputError: an encoder-decoder, which reads the text twice, once shifted.
        """
        if self.model.config.is_encoder_decoder:
            raise InputError(
                f"{type(self.model).__name__} reads a text twice, in its encoder and its decoder, so no "
                "gradient is that of one token; regard look shows its attention"
            )
        real = ids != 0
        theirs = self.vocabulary.theirs(ids)
        return recorded_lookups([self.model.get_input_embeddings()], theirs, lambda _: real, at=at)

    @cached_property
    def _reader(self) -> str:
        """Which states of the last layer the head reads: the `"first"`, the `"last"` or `"all"`."""
        return _read_states(self, self._probe)

    def token_attention(
        self, maps: Mapping[str, Sequence[AttentionMap]], lengths: Tensor
    ) -> Tensor:
        """Weight of each token in the last layer, by the tokens whose states the head reads.

        Other states of the last layer have no way to the answer: of a BERT, all but that of `[CLS]`.

        Returns:
            `(batch, heads, length)`.
        """
        last = (maps.get("decoder") or maps["encoder"])[-1]
        rows = last.shape[-2]
        position = torch.arange(rows, device=lengths.device)
        read = {
            "first": position == 0,
            "last": position == lengths[:, None] - 1,
            "all": position < lengths[:, None],
        }[self._reader]
        read = read.expand(len(lengths), rows).double()
        marks = (read / read.sum(1, keepdim=True))[:, None, :, None].float()
        weights: Tensor = last.rmatmul(marks)[..., 0]
        return weights


def _read_states(network: PretrainedClassifier, text: Sequence[int]) -> str:
    """Find which states of its last layer a head reads, by the gradients of a short text."""
    states: list[Tensor] = []

    def keep(module: nn.Module, args: Any, output: Any) -> None:
        states.append(output[0])

    device, count = next(network.parameters()).device, len(text)
    ids = torch.tensor([list(text)], device=device)
    hook = network.model.base_model.register_forward_hook(keep)
    try:
        with torch.inference_mode(False), torch.enable_grad(), eval_mode(network):
            logits = network(ids, torch.tensor([count], device=device)).logits
            gradient = torch.autograd.grad(logits.sum(), states[-1:])[0]
    finally:
        hook.remove()
    read = gradient[0].abs().sum(-1).nonzero()[:, 0].tolist()
    return {(0,): "first", (count - 1,): "last"}.get(tuple(read), "all")
