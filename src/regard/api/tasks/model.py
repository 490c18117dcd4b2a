"""What the models of all tasks have in common."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from regard.api.config.presets import Task
from regard.api.config.settings import RunSettings
from regard.api.storage.verdict import kept_verdict
from regard.data import Example, pad, token_batches
from regard.decoding import DecodingSettings
from regard.errors import ModelFolderError
from regard.evaluation import Score, comparison
from regard.models import ModelSettings, build, from_config
from regard.text import Tokenizer
from regard.training import Batch, Epoch, Loss, TrainingSettings
from regard.viewing import AttentionRecord

__all__ = ["Evaluation", "Model", "Prepared", "answer_each", "chunks_of", "device_of"]

CHUNK = 8192

T = TypeVar("T")


def chunks_of(examples: Sequence[Example]) -> Iterator[list[Example]]:
    """A corpus in parts that fit into memory, whatever is made of each."""
    rest = iter(examples)
    while chunk := list(islice(rest, CHUNK)):
        yield chunk


@dataclass(frozen=True)
class Prepared:
    """Examples as ids, ready to be cut into batches.

    Args:
        lengths: `(examples,)` or `(examples, sides)`, for batches of equal cost.
        batch: makes a batch of the examples at some indices.
        skipped: how many examples were left out, and why.
    """

    lengths: np.ndarray[Any, np.dtype[np.int64]]
    batch: Callable[[Sequence[int]], Batch]
    skipped: Mapping[str, int]

    def epochs(self, settings: TrainingSettings) -> Callable[[int], Epoch]:
        """The batches of an epoch, in an order drawn for each."""

        def batches(epoch: int) -> Epoch:
            groups = token_batches(
                self.lengths,
                max_tokens=settings.batch_tokens,
                seed=settings.seed,
                epoch=epoch,
            )
            return Epoch(groups, self.batch)

        return batches

    def once(self, max_tokens: int = 8192) -> Epoch:
        """Every example once, in batches of like length."""
        return Epoch(token_batches(self.lengths, max_tokens=max_tokens), self.batch)


@dataclass(frozen=True)
class Evaluation:
    """A model's figures beside those of a baseline, on the same examples.

    Attributes:
        examples: how many.
        scores: of the model.
        baselines: by name; empty where there is none.
        note: why there is none, or what else to know.
        details: more, as a table.
    """

    examples: int
    scores: tuple[Score, ...]
    baselines: Mapping[str, tuple[Score, ...]] = field(default_factory=dict)
    note: str = ""
    details: str = ""

    @property
    def table(self) -> str:
        """Model and baselines side by side, in Markdown."""
        return comparison({"this model": self.scores, **self.baselines})

    def __str__(self) -> str:
        signatures = {score.signature for score in self.scores if score.signature}
        parts = [self.table, f"{self.examples:,} examples; 95 % intervals by the bootstrap"]
        return "\n\n".join(filter(None, [*parts, *sorted(signatures), self.note, self.details]))

    def to_json(self) -> str:
        """One object for other programs."""
        systems = {"model": self.scores, **self.baselines}
        figures = {name: {s.name: asdict(s) for s in scores} for name, scores in systems.items()}
        content = {"examples": self.examples, "scores": figures, "note": self.note}
        return json.dumps(content, ensure_ascii=False, indent=1)


class Model(ABC):
    """A network with everything between it and text; `regard.load` and `regard.train` make them.

    Attributes:
        settings: how it was trained.
        network: the torch module.
        folder: where it lives; `None` for one that was never saved.
        task: what it is for.
        verb: the command that uses it.
        measures: what a validation finds, and `metric` may name.
        fits_baseline: whether its baseline learns from the training part.
    """

    task: ClassVar[Task]
    verb: ClassVar[str]
    fits_baseline: ClassVar[bool] = False
    measures: ClassVar[tuple[str, ...]] = ("loss",)

    def __init__(self, settings: RunSettings, network: nn.Module) -> None:
        self.settings, self.network = settings, network
        self.folder: Path | None = None

    @classmethod
    @abstractmethod
    def learn(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """An untrained model with the vocabulary (and labels) of the training part."""

    @classmethod
    @abstractmethod
    def restore(cls, folder: Path, settings: RunSettings, config: Mapping[str, Any]) -> Self:
        """The model of a folder, without its weights."""

    @abstractmethod
    def save_text(self, folder: Path) -> dict[str, Any]:
        """Write what is between text and ids; return what belongs into `config.json` beside it."""

    @abstractmethod
    def prepare(self, examples: Sequence[Example], *, training: bool) -> Prepared:
        """Examples as ids; in training, examples that are too long are left out."""

    def refit(self, examples: Sequence[Example], held_out: Sequence[Example]) -> bool:
        """After training, learn from the examples that were held out what costs no epoch to learn.

        Returns whether that changed the network; most have nothing of the kind.
        """
        return False

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """The summed loss of a batch, as trained on."""

    @abstractmethod
    def validator(self, examples: Sequence[Example]) -> Callable[[nn.Module], dict[str, float]]:
        """What measures the network after each epoch."""

    @abstractmethod
    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        train: Sequence[Example] | None = None,
        settings: DecodingSettings | None = None,
        note: str = "",
    ) -> Evaluation:
        """Figures on some examples; a baseline that must be fitted is fitted on `train`."""

    @abstractmethod
    def look(self, text: str, target: str | None = None) -> AttentionRecord:
        """What the network attends to while it reads `text` (and writes `target`, if it writes)."""

    def decoding(self, values: Mapping[str, Any]) -> DecodingSettings:
        """How this model decodes, with some settings changed by name."""
        return DecodingSettings(**{**self.settings.decoding.model_dump(), **values})

    @property
    def verdict(self) -> str:
        """How far to trust its attention as an explanation: what `regard trust` found, if asked."""
        return kept_verdict(self.folder)

    @property
    def parameters(self) -> int:
        """How many numbers were learned."""
        return sum(p.numel() for p in self.network.parameters())

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.settings.kind}, {self.parameters:,} parameters)"


def new_network(settings: RunSettings, model: ModelSettings) -> nn.Module:
    """A network with first weights that follow from the seed alone."""
    torch.manual_seed(settings.training.seed)
    network: nn.Module = build(model)
    return network


def network_of(config: Mapping[str, Any]) -> nn.Module:
    """A network as `config.json` describes it; its weights come later."""
    network: nn.Module = build(from_config(config["model"]))
    return network.eval()


def train_tokenizer(texts: Iterable[str], settings: RunSettings) -> Tokenizer:
    """A tokenizer learned from the training part."""
    text = settings.text
    return Tokenizer.train(
        texts,
        kind=text.tokenizer,
        size=text.vocabulary,
        lowercase=text.lowercase,
        min_count=text.min_count,
    )


def read_tokenizer(folder: Path, name: str, rows: int) -> Tokenizer:
    """The tokenizer of a folder, whose ids must be the `rows` that the network has.

    Raises:
        ModelFolderError: it is of another size: the file belongs to another model.
    """
    tokenizer = Tokenizer.load(folder / name)
    if len(tokenizer) != rows:
        raise ModelFolderError(
            f"{folder / name}: {len(tokenizer):,} tokens, config.json has {rows:,}; "
            "the file belongs to another model"
        )
    return tokenizer


def device_of(network: nn.Module) -> torch.device:
    """Where a network computes."""
    return next(network.parameters()).device


def padded(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """`(ids, lengths)` of some sequences, on a device."""
    ids, lengths = pad(sequences)
    return torch.from_numpy(ids).to(device), torch.from_numpy(lengths).to(device)


def answer_each(
    texts: Sequence[str], answer: Callable[[list[str]], Sequence[T]], empty: Callable[[str], T]
) -> list[T]:
    """Answer together all texts that hold something; `empty` answers the others in their place."""
    filled = [index for index, text in enumerate(texts) if text.strip()]
    answers = [empty(text) for text in texts]
    for index, found in zip(
        filled, answer([texts[i] for i in filled]) if filled else [], strict=True
    ):
        answers[index] = found
    return answers
