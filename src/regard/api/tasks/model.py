"""The model of a task: what the models of all tasks share."""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import islice
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, ClassVar, Self, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from regard.api.config.settings import RunSettings
from regard.api.storage.folder import (
    OUR_FILES,
    parse_config,
    read_small_files,
    record_in,
    weights_sha256,
    weights_state,
)
from regard.api.storage.front_matter import merged
from regard.api.storage.saving import save_foreign, save_model
from regard.api.storage.seal import HISTORY, check_history
from regard.api.storage.verdict import TRUST_FILE, Findings, read_findings
from regard.api.summary import summarize_network
from regard.choices import Precision, Task
from regard.data import Example, pad, token_batches
from regard.decoding import DecodingSettings, Reading
from regard.engines import Each
from regard.errors import ModelFolderError, SettingsError
from regard.evaluation import Score, comparison
from regard.evaluation.alignment.choice import AlignmentChoice
from regard.integrations.pretrained.folder import is_pretrained
from regard.integrations.pretrained.upload import upload_folder
from regard.layers.reduced import reduce_precision
from regard.models import AlignmentSettings, ModelSettings, build, from_config
from regard.models.summary import ModelSummary
from regard.text import Tokenizer
from regard.training import Batch, Epoch, History, Loss, TrainingSettings
from regard.viewing import AttentionRecord

__all__ = [
    "EncodedExamples",
    "Evaluation",
    "Model",
    "answer_nonempty",
    "build_untrained",
    "device_of",
    "in_chunks",
    "network_from_config",
    "pad_batch",
    "read_tokenizer",
    "train_tokenizer",
]

EXAMPLES_PER_CHUNK = 8192
"""Examples that are held as Python objects at a time while a corpus is turned into ids."""

T = TypeVar("T")


def in_chunks(examples: Sequence[Example]) -> Iterator[list[Example]]:
    """Lists of successive examples, each small enough for memory even where the corpus is not."""
    rest = iter(examples)
    while chunk := list(islice(rest, EXAMPLES_PER_CHUNK)):
        yield chunk


@dataclass(frozen=True)
class EncodedExamples:
    """Examples as token ids, ready to be cut into batches.

    Args:
        lengths: `(examples,)` or `(examples, sides)`, for batches of equal cost.
        batch: makes a batch of the examples at some indices.
        skipped: number of examples left out, by reason.
        cut: number of texts of which only the beginning is read.
    """

    lengths: np.ndarray[Any, np.dtype[np.int64]]
    batch: Callable[[Sequence[int]], Batch]
    skipped: Mapping[str, int]
    cut: int = field(default=0, kw_only=True)

    def epochs(self, settings: TrainingSettings) -> Callable[[int], Epoch]:
        """Batches by epoch, in an order drawn for each epoch."""

        def batches(epoch: int) -> Epoch:
            groups = token_batches(
                self.lengths,
                max_tokens=settings.batch_tokens,
                seed=settings.seed,
                epoch=epoch,
            )
            return Epoch(groups, self.batch)

        return batches

    def one_pass(self, max_tokens: int = 8192) -> Epoch:
        """Batches of every example once, in batches of similar length."""
        return Epoch(token_batches(self.lengths, max_tokens=max_tokens), self.batch)


@dataclass(frozen=True)
class Evaluation:
    """Scores of a model beside those of a baseline, on the same examples.

    Attributes:
        examples: number of examples.
        scores: of the model.
        baselines: scores by name of the baseline; empty where there is none.
        note: why there is no baseline, or what else to know.
        details: a table of more figures.
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
        """JSON object for other programs."""
        systems = {"model": self.scores, **self.baselines}
        figures = {name: {s.name: asdict(s) for s in scores} for name, scores in systems.items()}
        content = {"examples": self.examples, "scores": figures, "note": self.note}
        return json.dumps(content, ensure_ascii=False, indent=1)


class Model(ABC):
    """A network with everything between it and text; `regard.load` and `regard.train` make them.

    Attributes:
        settings: settings of the run that trained it.
        network: the torch module.
        folder: the folder it was read from or written to; `None` for one that was never saved.
        precision: of the matrix products with which it answers.
        files: what its folder held beside the weights when it was loaded, trained or saved, or would hold.
        task: task it is for.
        verb: command that uses it, `regard VERB`.
        answers: whether it gives an answer to a text; an encoder without a head only reads.
        writes: whether its answer is a text that it writes token by token.
        metrics: names of the figures that a validation finds; `metric` may be any of them.
        ties: those that decide between validations with equal values of `metric`, in this order.
        keep_earliest: whether ties decide only while `metric` is at its floor.
        fits_baseline: whether its baseline learns from the training part.
        labels: labels it tells apart; none for a model that is no classifier.
    """

    task: ClassVar[Task]
    verb: ClassVar[str]
    answers: ClassVar[bool] = True
    writes: ClassVar[bool] = False
    metrics: ClassVar[tuple[str, ...]] = ("loss",)
    ties: ClassVar[tuple[str, ...]] = ("loss",)
    keep_earliest: ClassVar[bool] = False
    fits_baseline: ClassVar[bool] = False
    labels: tuple[str, ...] = ()

    def __init__(self, settings: RunSettings, network: nn.Module) -> None:
        self.settings: RunSettings = settings
        self.network: nn.Module = network
        self.precision: Precision = "float32"
        self.folder: Path | None = None
        self.files: dict[str, bytes] = {}
        self._weights: str | None = ""
        self._weights_of: tuple[Path, object] | None = None

    @classmethod
    @abstractmethod
    def from_examples(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """Untrained model with vocabulary (and labels) of the training part."""

    @classmethod
    @abstractmethod
    def from_folder(cls, folder: Path, settings: RunSettings, config: Mapping[str, Any]) -> Self:
        """Model of a folder, without its weights."""

    @abstractmethod
    def save_tokenizers(self, folder: Path) -> dict[str, Any]:
        """Write the tokenizers; return what `config.json` must hold beside the run's settings."""

    @abstractmethod
    def encode_examples(self, examples: Sequence[Example], *, training: bool) -> EncodedExamples:
        """Turn examples into ids; in training, examples that are too long may be left out."""

    def fit_features(self, examples: EncodedExamples) -> str:
        """Fit what depends on the training examples as a whole, before the first update.

        May change the settings of the network, so it comes before `config.json` is written. Most models
        have nothing to fit.

        Returns:
            A sentence for the user on what was fitted, or an empty text.
        """
        return ""

    def fitted_settings(self, settings: RunSettings) -> RunSettings:
        """Settings of a run, with those in their place that follow from a pretrained model."""
        return settings

    def begin_training(self) -> None:  # noqa: B027 - optional
        """Change the network for its training, of a new run and of one that goes on."""

    def end_training(self) -> None:  # noqa: B027 - optional
        """Undo `begin_training`, before the best weights are loaded."""

    def refit(self, parts: Sequence[EncodedExamples]) -> bool:
        """Refit parts that are solved, not trained, after training, on all these examples together.

        Args:
            parts: the training part, and the validation part if no user is to judge the model by it.

        Returns:
            Whether the network changed; most models have no such part.
        """
        return False

    @abstractmethod
    def loss(self, network: nn.Module, batch: Batch) -> Loss:
        """Summed training loss of a batch."""

    @abstractmethod
    def validator(
        self, examples: Sequence[Example], encoded: EncodedExamples
    ) -> Callable[[nn.Module], dict[str, float]]:
        """Function that measures a network on these examples: its `metrics` by name.

        Args:
            examples: the validation part.
            encoded: the same examples as ids (`encode_examples`).
        """

    def floors(self, examples: Sequence[Example]) -> Mapping[str, float]:
        """Values of metrics that a model reaches on these examples without having learned anything."""
        return {}

    def usable_metric(
        self, references: Sequence[Example], metric: str, *, given: bool
    ) -> tuple[str, str]:
        """Metric that can choose the weights on a validation part.

        Args:
            references: the validation part.
            metric: name of the metric of the settings.
            given: whether the user named it.

        Returns:
            The metric, or another one where it measures too little, and then the reason; else an
            empty text.
        """
        return metric, ""

    def decoding_note(self, examples: int) -> str:
        """Say how the final scores were decoded, if validations decode otherwise; else an empty text.

        Args:
            examples: size of the validation part.
        """
        return ""

    @abstractmethod
    def evaluate(
        self,
        examples: Sequence[Example],
        *,
        train: Sequence[Example] | None = None,
        settings: DecodingSettings | None = None,
        note: str = "",
        each: Each | None = None,
    ) -> Evaluation:
        """Scores on some examples; a baseline that must be fitted is fitted on `train`.

        Args:
            examples: the test part.
            train: the training part; `None` for no such baseline.
            settings: how to decode; `None` for the model's own settings.
            note: what else to know, for the evaluation.
            each: calls functions of this model for batch after batch; `None` does so in this process.
        """

    @abstractmethod
    def look(
        self, text: str, target: str | None = None, *, reading: Reading | None = None
    ) -> AttentionRecord:
        """Record of the attention while the network reads `text` (and writes `target`).

        Args:
            text: that the model reads.
            target: that it writes; `None` for its own answer.
            reading: the decoder step that gives a token its row of cross-attention: `"output"`, the
                step that writes the token, or `"input"`, the step that reads it; `None` takes the
                model's own.

        Raises:
            InputError: an empty text; a target or a reading for a model that has none.
        """

    @property
    def data_facts(self) -> Mapping[str, Any]:
        """Facts about the data that it was trained on, of `config.json`; empty where they are not known."""
        name = record_in(self.files)
        if name is None:
            return {}
        found: Mapping[str, Any] = parse_config(self.files[name], self._path(name))["data"]
        return found

    @property
    def history(self) -> History:
        """Training and validation records of the run that trained it; empty where none is left.

        Raises:
            ModelFolderError: the file was changed after the run had ended.
        """
        content, name = self.files.get(HISTORY), record_in(self.files)
        if content is None or name is None:
            return History()
        path = self._path(HISTORY)
        config = parse_config(self.files[name], self._path(name))
        check_history(content, path, config)
        return History.parse(content, path)

    def save(self, folder: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write this model to a folder, with its history and card, to be loaded by `regard.load`.

        A pretrained model is written as transformers writes it, so that both open it.

        Args:
            folder: new or empty.
            overwrite: replace the model that is in the folder; not of a pretrained one.

        Raises:
            InputError: the folder is in use.
        """
        self._write(Path(folder), overwrite=overwrite)
        if self.folder is None:
            self.folder = Path(folder)
            self.take_files_of(self.folder)

    def _write(self, folder: Path, *, overwrite: bool = False) -> None:
        if self.folder is not None and is_pretrained(self.folder):
            save: Callable[[Path], None] = getattr(self.network, "save")  # noqa: B009 - theirs alone have it
            save_foreign(save, folder)
        else:
            save_model(self.files, self.network, folder, overwrite=overwrite)

    def push_to_hub(self, repo: str, *, private: bool = False, token: str | None = None) -> str:
        """Give this model to the Hugging Face Hub, where `regard.load("hf:OWNER/NAME")` finds it.

        What is pushed is what `save` writes. Facts in the front matter of a card that is there already
        (`license`, `datasets`, `language`, ...) stay; regard's own are replaced.

        Args:
            repo: `OWNER/NAME`; made where there is none.
            private: whether only its owner may see it, where it is made.
            token: that may write; `None` takes `HF_TOKEN`, or that of `hf auth login`.

        Returns:
            Address of the commit.

        Raises:
            InputError: not such a name, or one that is not yours to write to.
            RegardError: the Hub cannot be reached, or refuses.
            MissingExtraError: `huggingface_hub` is not installed.
        """
        with TemporaryDirectory() as place:
            folder = Path(place) / (repo.rpartition("/")[2] or "model")
            self._write(folder)
            own = () if record_in(self.files) is None else OUR_FILES
            return upload_folder(
                folder, repo, private=private, token=token, replaces=own, merge_cards=merged
            )

    def take_files_of(self, folder: Path) -> None:
        """Remember what a folder holds beside the weights: later it may hold another model's."""
        held = read_small_files(folder)
        if is_pretrained(folder):  # only the verdict is of our kind
            held = {name: held[name] for name in (TRUST_FILE,) if name in held}
        self.files, self._weights = held, None
        self._weights_of = folder, weights_state(folder)
        if TRUST_FILE in held:
            self.weights  # noqa: B018 - while the file is there for sure

    @property
    def weights(self) -> str:
        """SHA-256 of the file of its weights; empty if it has none, or that file is another by now."""
        if (
            self._weights is None
        ):  # to read it takes 0.2 s for 100 MB, and most models are never asked
            assert self._weights_of is not None
            folder, state = self._weights_of
            unchanged = state is not None and weights_state(folder) == state
            self._weights = weights_sha256(folder) if unchanged else ""
        return self._weights

    def _path(self, name: str) -> Path:
        return (self.folder or Path()) / name

    def decoding_settings(self, values: Mapping[str, Any]) -> DecodingSettings:
        """Decoding settings of this model, with some values changed by name."""
        return self.settings.decoding.replace(**values)

    def choose_alignment(
        self, valid: Sequence[Example], train: Sequence[Example]
    ) -> AlignmentChoice | None:
        """Choose the cross-attention that says where a word looked, after training, and use it.

        Args:
            valid: the validation part, whose word links choose.
            train: the training part, which helps to find the links.

        Returns:
            The choice; `None` for a model that does not translate.
        """
        return None

    def alignment_at(
        self, reading: Reading | None, *, head: int | None = None
    ) -> AlignmentSettings | None:
        """The cross-attention that its default view shows; `None` for a model without any.

        Args:
            reading: the decoder step; `None` for the model's own.
            head: whether a head is chosen apart, so that the view must hold all of them.
        """
        return None

    @property
    def verdict(self) -> str:
        """Sentence of `regard trust` on its attention as an explanation; empty if never judged."""
        findings = self.findings
        return "" if findings is None else findings.sentence

    @property
    def findings(self) -> Findings | None:
        """What `regard trust` found about these weights; `None` if they were never judged."""
        content = self.files.get(TRUST_FILE)
        return read_findings(content, weights=self.weights, path=self._path(TRUST_FILE))

    def answer_in(self, precision: Precision) -> None:
        """Compute the matrix products of its answers in a precision, of which it is told once.

        Raises:
            SettingsError: it answers in another one already, or has no linear layer large enough.
        """
        if self.precision not in ("float32", precision):
            raise SettingsError(
                f"this model answers in {self.precision} already; load it again for {precision}"
            )
        if precision != self.precision:
            reduce_precision(self.network, precision)
            self.precision = precision

    @property
    def num_parameters(self) -> int:
        """Number of learned parameters."""
        return sum(p.numel() for p in self.network.parameters())

    def summary(self) -> ModelSummary:
        """Layers in order with output shapes, parameters, what each reads and how it attends.

        Printed as a table, as Keras prints it. The network runs twice, on a few ids of its own, so that sizes
        that follow from the input have their names: `(batch, length, 128)`.
        """
        return summarize_network(self.network, repr(self))

    def __repr__(self) -> str:
        precision = "" if self.precision == "float32" else f", answers in {self.precision}"
        size = f"{self.num_parameters:,} parameters"
        return f"{type(self).__name__}({self.settings.kind}, {size}{precision})"


def build_untrained(settings: RunSettings, model: ModelSettings) -> nn.Module:
    """Network whose initial weights follow from the seed alone."""
    torch.manual_seed(settings.training.seed)
    network: nn.Module = build(model)
    return network


def network_from_config(config: Mapping[str, Any]) -> nn.Module:
    """Network as `config.json` describes it, in evaluation mode; its weights are loaded later."""
    network: nn.Module = build(from_config(config["model"]))
    return network.eval()


def train_tokenizer(texts: Iterable[str], settings: RunSettings) -> Tokenizer:
    """Tokenizer learned from the texts of the training part."""
    text = settings.text
    return Tokenizer.train(
        texts,
        kind=text.tokenizer,
        size=text.vocabulary,
        lowercase=text.lowercase,
        min_count=text.min_count,
    )


def read_tokenizer(folder: Path, name: str, rows: int) -> Tokenizer:
    """Tokenizer of a folder, with as many ids as the network has embedding rows.

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
    """Device of a network's parameters."""
    # Every answer asks, and `network.parameters()`, which finds shared ones, takes five times as long.
    first = _first_parameter(network)
    return next(network.parameters()).device if first is None else first.device


def _first_parameter(module: nn.Module) -> nn.Parameter | None:
    for parameter in module._parameters.values():
        if parameter is not None:
            return parameter
    for part in module._modules.values():
        if part is not None and (found := _first_parameter(part)) is not None:
            return found
    return None


def pad_batch(sequences: Sequence[Sequence[int]], device: torch.device) -> tuple[Tensor, Tensor]:
    """Ids `(batch, length)`, padded on the right, and lengths `(batch,)`, on a device."""
    ids, lengths = pad(sequences)
    return torch.from_numpy(ids).to(device), torch.from_numpy(lengths).to(device)


def answer_nonempty(
    texts: Sequence[str], answer: Callable[[list[str]], Sequence[T]], empty: Callable[[str], T]
) -> list[T]:
    """Answers in the order of the texts: blank ones by `empty`, all others in one call of `answer`."""
    filled = [index for index, text in enumerate(texts) if text.strip()]
    answers = [empty(text) for text in texts]
    for index, found in zip(
        filled, answer([texts[i] for i in filled]) if filled else [], strict=True
    ):
        answers[index] = found
    return answers
