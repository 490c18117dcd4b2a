"""Generation: a language model that continues a text."""

# pyright: reportIncompatibleVariableOverride=false
# The class narrows `network` to the contract of its task; nobody assigns another kind of network.

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, NamedTuple, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard.api.config.settings import RunSettings
from regard.api.tasks.answers import (
    Continuation,
    best_with_alternatives,
    check_no_reading,
    cut_note,
    empty_text_error,
    noted,
    shortfall,
    while_unchanged,
    without_reading,
)
from regard.api.tasks.model import (
    EncodedExamples,
    Evaluation,
    Model,
    build_untrained,
    device_of,
    in_chunks,
    network_from_config,
    pad_batch,
    read_tokenizer,
    train_tokenizer,
)
from regard.api.tasks.records import Maps, make_record
from regard.api.tasks.steering import OnTextDraft, Steering
from regard.api.tasks.tokens import input_tokens, output_tokens
from regard.choices import Task
from regard.data import Example
from regard.data.ragged import Ragged
from regard.decoding import DecodingSettings, Hypothesis, Reading, generate
from regard.engines import Each, Here
from regard.errors import InputError, SettingsError
from regard.evaluation import Score, bootstrap
from regard.models import LanguageModel, configure
from regard.text import BOS, EOS, PAD, UNK, Tokenizer
from regard.training import Batch, Loss, cross_entropy_loss
from regard.training.batch import text_batch
from regard.viewing import AttentionRecord, Tokens, Track

__all__ = ["Generator"]


class _Prompt(NamedTuple):
    """Prompt as the network reads it.

    Attributes:
        text: of the prompt.
        ids: of its end, as far as it is read.
        begun: ids that the continuation begins with.
        note: sentence that less than the text is read, if so.
    """

    text: str
    ids: list[int]
    begun: list[int]
    note: str


class Generator(Model):
    """Model that continues a text."""

    task: ClassVar[Task] = "language"
    verb: ClassVar[str] = "generate"
    writes: ClassVar[bool] = True
    metrics: ClassVar[tuple[str, ...]] = ("loss", "perplexity")
    fits_baseline: ClassVar[bool] = True
    network: LanguageModel

    def __init__(self, settings: RunSettings, network: nn.Module, tokenizer: Tokenizer) -> None:
        super().__init__(settings, network)
        self.tokenizer = tokenizer

    @classmethod
    def from_examples(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """Learn the vocabulary from the training part."""
        tokenizer = train_tokenizer((example.text for example in examples), settings)
        values = {**settings.model, "size": len(tokenizer)}
        network = build_untrained(settings, configure(settings.kind, settings.preset, **values))
        return cls(settings, network, tokenizer)

    @classmethod
    def from_folder(cls, folder: Path, settings: RunSettings, config: Mapping[str, Any]) -> Self:
        """Read the tokenizer."""
        tokenizer = read_tokenizer(folder, "source.json", config["model"]["size"])
        return cls(settings, network_from_config(config), tokenizer)

    def save_tokenizers(self, folder: Path) -> dict[str, Any]:
        """Write the tokenizer."""
        self.tokenizer.save(folder / "source.json")
        return {"model": self.network.settings.model_dump()}

    def encode_examples(self, examples: Sequence[Example], *, training: bool) -> EncodedExamples:
        """Each line runs from BOS to EOS; one longer than `max_tokens` continues in the next row."""
        limit = self.settings.text.max_tokens

        def rows() -> Iterator[list[int]]:
            for chunk in in_chunks(examples):
                for encoding in self.tokenizer.encode_batch([example.text for example in chunk]):
                    ids = [*self._begin, *encoding.ids, EOS]
                    # Rows share a token: the last target of one is the first input of the next.
                    for start in range(0, len(ids) - 1, limit):
                        yield ids[start : start + limit + 1]

        texts = Ragged(rows())
        return EncodedExamples(texts.lengths, lambda indices: text_batch(texts, indices), {})

    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Label-smoothed cross entropy over every token but the first."""
        smoothing = self.settings.training.label_smoothing
        logits = network(batch.source[:, :-1], batch.source_lengths - 1).logits
        count = int(batch.target_lengths.sum())
        return cross_entropy_loss(logits, batch.source[:, 1:], count, smoothing=smoothing)

    def validator(
        self, examples: Sequence[Example], encoded: EncodedExamples
    ) -> Callable[[nn.Module], dict[str, float]]:
        """Loss and perplexity per token."""
        batches = list(encoded.one_pass())

        def validate(network: nn.Module) -> dict[str, float]:
            sums = np.concatenate([self._nats(network, batch) for batch in batches]).sum(0)
            loss = float(sums[0] / sums[1])
            return {"loss": loss, "perplexity": float(np.exp(loss))}

        return validate

    def nats(self, batch: Batch) -> NDArray[np.float64]:
        """Summed negative log-likelihood in nats, and number of tokens, of each row: `(rows, 2)`."""
        return self._nats(self.network, batch)

    @torch.no_grad()
    def _nats(self, network: nn.Module, batch: Batch) -> NDArray[np.float64]:
        """Summed negative log-likelihood in nats, and number of tokens, of each row: `(rows, 2)`."""
        batch = batch.to(device_of(network))
        logits = network(batch.source[:, :-1], batch.source_lengths - 1).logits
        wanted = batch.source[:, 1:]
        each: Tensor = -logits.float().log_softmax(-1).gather(-1, wanted[..., None])[..., 0]
        # Selected, not multiplied: padding may have no probability at all.
        nats = torch.where(wanted == PAD, 0.0, each).sum(1).double().cpu().numpy()
        return np.stack([nats, batch.target_lengths.numpy().astype(float)], axis=1)

    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        train: Sequence[Example] | None = None,
        settings: DecodingSettings | None = None,
        note: str = "",
        each: Each | None = None,
    ) -> Evaluation:
        """Perplexity per token, beside that of the token frequencies of the training part."""
        batches = list(self.encode_examples(examples, training=False).one_pass())
        model = np.concatenate([*(each or Here(self))(Generator.nats, batches)])
        baselines = {}
        if train is not None:
            baselines["word frequencies"] = (self._unigram(train, batches),)
        return Evaluation(len(examples), (_perplexity(model),), baselines, note=note)

    def _unigram(self, train: Sequence[Example], batches: Sequence[Batch]) -> Score:
        counts: Counter[int] = Counter()
        for encoding in self.tokenizer.encode_batch([example.text for example in train]):
            counts.update([*encoding.ids, EOS])
        size = len(self.tokenizer)
        seen = np.array([counts[index] + 1 for index in range(size)], dtype=float)
        nats = -np.log(seen / seen.sum())
        nats[0] = 0.0  # padding
        rows = [nats[batch.source[:, 1:].numpy()].sum(1) for batch in batches]
        tokens = [batch.target_lengths.numpy() for batch in batches]
        return _perplexity(np.stack([np.concatenate(rows), np.concatenate(tokens)], axis=1))

    def generate(
        self,
        prompts: str | Sequence[str] = "",
        *,
        settings: DecodingSettings | None = None,
        prefix: Sequence[str] | None = None,
        masked_out: Sequence[Sequence[int]] | None = None,
        on_draft: OnTextDraft | None = None,
    ) -> list[Continuation]:
        """Continue some prompts; an empty prompt is one, too.

        Args:
            prompts: one or several texts. Of one longer than `max_tokens` the end is continued, and
                `note` says so.
            settings: how to decode; `None` for the settings the model was trained with.
            prefix: for each prompt, the words that its continuation must begin with.
            masked_out: for each prompt, the positions of its tokens (`input_tokens`) that no token may
                attend to; of pretrained models.
            on_draft: called with the index of a prompt and the draft of its continuation after every step.

        Raises:
            InputError: not one prefix, or one list of positions, for each prompt; positions for a model that
                cannot hide them.
        """
        prompts = [prompts] if isinstance(prompts, str) else list(prompts)
        settings = settings or self.settings.decoding
        Steering(prefix, masked_out).of_nonempty(prompts)  # one for each
        read = self._read_prompts(prompts, prefix or [""] * len(prompts), settings)

        def on_draft_ids(row: int, ids: list[int]) -> None:
            assert on_draft is not None
            on_draft(row, self._written(read[row].ids, ids[len(read[row].ids) :]))

        def decoded(rows: Sequence[int], hidden: Sequence[int]) -> list[list[Hypothesis]]:
            draft = None if on_draft is None else lambda row, ids: on_draft_ids(rows[row], ids)
            shifted = self.read_positions(hidden)
            with self.network.without_keys(shifted) if hidden else nullcontext():
                begun = [[*read[row].ids, *read[row].begun] for row in rows]
                return generate(self.network, begun, settings, on_draft=draft)

        hidden = masked_out or [()] * len(prompts)
        if any(hidden):
            found = [decoded([row], hidden[row])[0] for row in range(len(prompts))]
        else:
            found = decoded(range(len(prompts)), ())
        return [
            best_with_alternatives(
                noted(self._continuation(prompt, positions, h), prompt.note, shortfall(h, settings))
                for h in hypotheses
            )
            for prompt, positions, hypotheses in zip(read, hidden, found, strict=True)
        ]

    def _read_prompts(
        self, prompts: Sequence[str], prefix: Sequence[str], settings: DecodingSettings
    ) -> list[_Prompt]:
        """Prompts as ids; of long ones the end, since what was said last decides how a text goes on."""
        limit = self._longest_prompt(settings)
        encodings = self.tokenizer.encode_batch(prompts)
        begun = self.tokenizer.encode_batch(
            [f"{text} {start}".strip() for text, start in zip(prompts, prefix, strict=True)]
        )
        read = []
        for text, start, alone, whole in zip(prompts, prefix, encodings, begun, strict=True):
            joined = (
                whole.ids[: len(alone)] == alone.ids
            )  # else the prefix changed how the prompt is cut
            first = whole.ids[len(alone) :] if joined else self.tokenizer.encode(start).ids
            note = cut_note(min(limit, len(alone)), len(alone), end="last")
            ids = alone.ids[-limit:] or list(self.tokenizer.first_ids)
            read.append(_Prompt(text, ids, first if start.strip() else [], note))
        return read

    def input_tokens(self, text: str) -> Tokens:
        """Tokens of a prompt as the network reads them; `masked_out` counts them."""
        settings = self.settings.decoding
        return self._tokens(self._read_prompts([text], [""], settings)[0].ids)

    def next_words(
        self, text: str, begin: str = "", *, masked_out: Sequence[int] = (), count: int = 5
    ) -> list[tuple[str, float]]:
        """Most probable ways in which `text` may go on after `begin`.

        Args:
            text: the prompt.
            begin: the continuation so far, whole words.
            masked_out: positions of tokens of the prompt that no token may attend to.
            count: largest number of ways.

        Returns:
            Continuations one token longer than `begin`, each with the probability of that token, the most
            probable first.
        """
        prompt = self._read_prompts([text], [begin], self.settings.decoding)[0]
        ids, lengths = pad_batch(
            [[*self._begin, *prompt.ids, *prompt.begun]], device_of(self.network)
        )
        hidden = (
            self.network.without_keys(self.read_positions(masked_out))
            if masked_out
            else nullcontext()
        )
        with torch.no_grad(), hidden:
            log_probs = self.network(ids, lengths).logits[0, -1].float().log_softmax(-1)
        log_probs[[PAD, UNK, BOS, EOS]] = -torch.inf
        best = log_probs.topk(min(count, len(log_probs) - 4))
        return [
            (self._written(prompt.ids, [*prompt.begun, token]).strip(), math.exp(log_prob))
            for token, log_prob in zip(best.indices.tolist(), best.values.tolist(), strict=True)
        ]

    @property
    def _begin(self) -> list[int]:
        return [BOS] * self.network.begins

    def _longest_prompt(self, settings: DecodingSettings) -> int:
        """Tokens of a prompt that leave room for what is to be written.

        Raises:
            SettingsError: there is no room.
        """
        limit, positions = self.settings.text.max_tokens, self.network.max_positions
        if positions is None:
            return limit
        new = max(settings.max_length or 20, settings.min_length)
        if new >= positions - 1:
            raise SettingsError(
                f"max_length={new} leaves no room for a beginning: the model has {positions:,} positions; "
                f"try max_length={positions // 2}"
            )
        return min(limit, positions - 1 - new)

    def _written(self, prompt_ids: Sequence[int], ids: Sequence[int]) -> str:
        """What ids add to the text of a prompt."""
        whole = self.tokenizer.decode([*prompt_ids, *ids])
        return whole.removeprefix(self.tokenizer.decode(prompt_ids))

    def _continuation(
        self, prompt: _Prompt, hidden: Sequence[int], found: Hypothesis
    ) -> Continuation:
        names, ids = self.tokenizer.vocabulary, [*prompt.begun, *found.ids]
        whole = self.tokenizer.decode([*prompt.ids, *ids])
        return Continuation(
            prompt=prompt.text,
            text=self._written(prompt.ids, ids),
            score=found.score,
            tokens=tuple(names[index] for index in ids),
            view=without_reading(while_unchanged(self.network, lambda: self._view(whole))),
            alignment_view=without_reading(
                while_unchanged(self.network, lambda: self._alignment_view(prompt, ids, hidden))
            ),
        )

    def _tokens(self, ids: Sequence[int]) -> Tokens:
        names = self.tokenizer.vocabulary
        return output_tokens(self.tokenizer, [names[index] for index in ids])

    def read_positions(self, positions: Sequence[int]) -> list[int]:
        """Positions of a prompt's tokens among all that the network reads."""
        return [position + len(self._begin) for position in positions]

    @torch.no_grad()
    def _alignment_view(
        self, prompt: _Prompt, ids: Sequence[int], hidden: Sequence[int]
    ) -> AttentionRecord:
        """One map: what each written token attended to in the prompt, by the step that wrote it."""
        if not ids:
            raise InputError("the model wrote nothing, so there is nothing to look at")
        first = len(self._begin)
        batch, lengths = pad_batch(
            [[*self._begin, *prompt.ids, *ids][:-1]], device_of(self.network)
        )
        start = first + len(prompt.ids)
        rows = list(range(start - 1, start - 1 + len(ids)))
        with self.network.without_keys(self.read_positions(hidden)) if hidden else nullcontext():
            layers = [maps[:, :, rows] for maps in self.network(batch, lengths).maps["decoder"]]
        mean = torch.stack([torch.as_tensor(layer).float().mean((0, 1)) for layer in layers]).mean(
            0
        )
        track = Track("prompt", "cross", "target", "source", mean[:, first:start].numpy(force=True))
        return AttentionRecord(
            {"source": self._tokens(prompt.ids), "target": self._tokens(ids)},
            (replace(track, layer=None),),
            prompt.text,
            "at the step that wrote the token, mean of layers and heads; the rest of its weight is on what "
            "was written before",
        )

    def look(
        self, text: str, target: str | None = None, *, reading: Reading | None = None
    ) -> AttentionRecord:
        """Record of what each token of `text` (and of `target` after it) attends to."""
        check_no_reading(reading)
        return self._view(text if target is None else f"{text} {target}")[1]

    @torch.no_grad()
    def _view(self, text: str) -> tuple[Maps, AttentionRecord]:
        encoding = self.tokenizer.encode(text)
        begin = self._begin
        if self.network.max_positions is not None:
            encoding = encoding.first(self.network.max_positions - len(begin))
        if not (begin or encoding.ids):
            raise empty_text_error()
        ids, lengths = pad_batch([[*begin, *encoding.ids]], device_of(self.network))
        maps = self.network(ids, lengths).maps
        tokens = {"text": input_tokens(encoding, begin=bool(begin), end=False)}
        return maps, make_record(maps, tokens, title=text)


def _perplexity(rows: NDArray[np.float64]) -> Score:
    """Perplexity of `(rows, 2)` nats and numbers of tokens."""
    total = rows.sum(0)
    interval = bootstrap(rows, lambda sums: np.exp(sums[:, 0] / sums[:, 1]))
    return Score("perplexity", float(np.exp(total[0] / total[1])), interval)
