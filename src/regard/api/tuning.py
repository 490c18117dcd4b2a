"""Fine-tuning: models of our tasks that begin with the weights of a pretrained one.

Their folder is that of any model of ours, and transformers opens it as well: `config.json` and the names of the
weights are its own, and what `regard` knows of the run is in `regard.json`.
"""

# pyright: reportIncompatibleVariableOverride=false
# The classes narrow `network` to what they are made of; nobody assigns another kind of network.

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

import torch
from torch import Tensor

from regard.api.config.settings import RunSettings
from regard.api.config.tuning import TuningSettings
from regard.api.pretrained import classifier_of, generator_of, text_to_text_of
from regard.api.storage.seal import THEIR_CONFIG
from regard.api.tasks.classification import Classifier
from regard.api.tasks.generation import Generator
from regard.api.tasks.labels import LabelledTexts, label_names
from regard.api.tasks.model import EncodedExamples, Model, device_of
from regard.api.tasks.summarization import AbstractiveSummarizer
from regard.api.tasks.translation import Translator
from regard.cancel import check_cancelled
from regard.choices import Task
from regard.data import Example
from regard.decoding import DecodingSettings
from regard.errors import InputError
from regard.evaluation.alignment.choice import AlignmentChoice
from regard.integrations.pretrained.adapters import add_adapters, remove_adapters
from regard.integrations.pretrained.classifier_head import (
    as_targets,
    choose_penalty,
    last_linear,
    reading,
    solve,
    stacked,
)
from regard.integrations.pretrained.folder import Loaded, load_head, load_pretrained, reopened
from regard.integrations.pretrained.hub import is_hub_name, local_folder
from regard.integrations.pretrained.networks import PretrainedClassifier
from regard.integrations.pretrained.pooling import add_mean_pooling

__all__ = [
    "TUNED",
    "FineTuned",
    "TunedClassifier",
    "TunedGenerator",
    "TunedSummarizer",
    "TunedTranslator",
    "base_folder",
]

FEATURE_TOKENS = 8192
"""Tokens, padding included, of a batch whose features are computed at once."""


def base_folder(base: str) -> Path:
    """The folder of a pretrained model that a user named, fetched from the Hub if it is there."""
    return local_folder(base) if is_hub_name(base) else Path(base)


class FineTuned(Model):
    """What fine-tuned models of all tasks share."""

    network: Any

    @property
    def tuning(self) -> TuningSettings:
        """The pretrained model, and which of its weights are trained."""
        return TuningSettings(**self.settings.model)

    @classmethod
    def _around(cls, loaded: Loaded) -> Self:
        """Model around a network of transformers, with the settings that follow from it."""
        raise NotImplementedError

    @classmethod
    def _of(cls, loaded: Loaded, settings: RunSettings) -> Self:
        """Model around a network of transformers, with the settings of a run."""
        model = cls._around(loaded)
        model.settings = model.fitted_settings(settings)
        return model

    def fitted_settings(self, settings: RunSettings) -> RunSettings:
        """Settings of a run, with the pretrained model's tokenizer, lengths and ways to decode."""
        own = self.settings
        limit = min(settings.text.max_tokens, own.text.max_tokens)
        text = own.text.replace(max_tokens=limit)
        if settings.decoding != DecodingSettings():  # the user's
            return settings.replace(text=text)
        return settings.replace(text=text, decoding=own.decoding)

    @classmethod
    def from_examples(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """The pretrained model, as it is."""
        folder = base_folder(TuningSettings(**settings.model).base)
        return cls._of(_for_writing(load_pretrained(folder), settings.task), settings)

    @classmethod
    def from_folder(cls, folder: Path, settings: RunSettings, config: Mapping[str, Any]) -> Self:
        """Model of the `config.json` of transformers, and the tokenizer beside it."""
        model = cls._of(reopened(folder, config[THEIR_CONFIG]), settings)
        if "alignment" in config:  # else of another task, or of a run that is not finished
            model.network.alignment = AlignmentChoice.from_json(config["alignment"]).settings
        return model

    def save_tokenizers(self, folder: Path) -> dict[str, Any]:
        """Write the tokenizer as transformers does; return the content of its `config.json`, too."""
        self.network.save_tokenizer(folder)
        config = self.network.config()
        return {"model": {"class": config["architectures"][0]}, THEIR_CONFIG: config}

    def begin_training(self) -> None:
        """Freeze what is not trained, and put low-rank changes beside it if it is tuned by LoRA."""
        tuning = self.tuning
        if tuning.tune == "frozen":
            self.network.requires_grad_(False)
        elif tuning.tune == "lora":
            add_adapters(
                self.network.model,
                rank=tuning.rank,
                scaling=tuning.scaling,
                dropout=tuning.adapter_dropout,
                seed=self.settings.training.seed,
            )

    def end_training(self) -> None:
        """Take the low-rank changes away; the weights on disk contain them."""
        remove_adapters(self.network.model)


def _for_writing(loaded: Loaded, task: Task) -> Loaded:
    """A model that writes, with its weights in float32.

    Raises:
        InputError: it is not of the kind that the task needs.
    """
    wanted = "language" if task == "language" else "text-to-text"
    if loaded.use != wanted:
        needed = {
            "language": "a causal language model, such as a GPT-2 saved as ...LMHeadModel",
            "text-to-text": "an encoder-decoder that writes, such as a T5, BART or Marian saved as "
            "...ForConditionalGeneration",
        }[wanted]
        raise InputError(
            f"{loaded.folder} holds a {type(loaded.model).__name__}; {task} tunes {needed}"
        )
    loaded.model.float()
    return loaded


class TunedTranslator(FineTuned, Translator):
    """Fine-tuned encoder-decoder that translates."""

    @classmethod
    def _around(cls, loaded: Loaded) -> Self:
        return text_to_text_of(loaded, cls)


class TunedSummarizer(FineTuned, AbstractiveSummarizer):
    """Fine-tuned encoder-decoder that summarises."""

    @classmethod
    def _around(cls, loaded: Loaded) -> Self:
        return text_to_text_of(loaded, cls)


class TunedGenerator(FineTuned, Generator):
    """Fine-tuned causal language model."""

    @classmethod
    def _around(cls, loaded: Loaded) -> Self:
        return generator_of(loaded, cls)


class TunedClassifier(FineTuned, Classifier):
    """Fine-tuned encoder with a head that classifies.

    However it is tuned, the head is solved first, on features of the frozen body: where training begins with a
    head drawn at random, its first gradients spoil the body (Kumar et al. 2022).
    """

    network: PretrainedClassifier
    task: ClassVar[Task] = "classification"

    def __init__(self, *given: Any, **named: Any) -> None:
        super().__init__(*given, **named)
        self._features: dict[int, tuple[EncodedExamples, Tensor]] = {}
        self._penalty: float | None = None

    @classmethod
    def _around(cls, loaded: Loaded) -> Self:
        return classifier_of(loaded, cls)

    @classmethod
    def from_examples(cls, examples: Sequence[Example], settings: RunSettings) -> Self:
        """The pretrained model with a head for the labels of the training part."""
        labels, multilabel = label_names(examples)
        tuning = TuningSettings(**settings.model)
        folder = base_folder(tuning.base)
        loaded = load_head(
            folder,
            seed=settings.training.seed,
            num_labels=len(labels),
            id2label=dict(enumerate(labels)),
            label2id={name: index for index, name in enumerate(labels)},
            problem_type=f"{'multi' if multilabel else 'single'}_label_classification",
        )
        wanted = tuning.pooling == "mean" or (tuning.pooling == "auto" and not loaded.had_head)
        pools = wanted and add_mean_pooling(loaded.model)
        if tuning.pooling == "mean" and not pools:
            raise InputError(
                f"{type(loaded.model).__name__} cannot compute a mean of its states; use pooling=head"
            )
        return cls._of(loaded, settings)

    def save_tokenizers(self, folder: Path) -> dict[str, Any]:
        """Write the tokenizer; labels go to both configurations."""
        found = super().save_tokenizers(folder)
        found["model"]["labels"] = len(self.labels)
        return {**found, "labels": list(self.labels), "multilabel": self.multilabel}

    def fit_features(self, examples: EncodedExamples) -> str:
        """Solve the head on the features of the body, with a penalty chosen by cross-validation."""
        assert isinstance(examples, LabelledTexts)
        try:
            last_linear(self.network.model)
            start = time.monotonic()
            features = self._read(examples)
        except InputError:
            if self.tuning.tune == "frozen":
                raise
            return ""  # a head of another kind is trained from its random start
        seconds = time.monotonic() - start
        seed = self.settings.training.seed
        penalty, loss = choose_penalty(stacked([features]), as_targets(examples.targets), seed=seed)
        self._penalty = penalty
        self._solve([examples])
        return (
            f"solved the head on {features.shape[1]:,} features of {len(features):,} texts "
            f"({seconds:.0f} s); penalty {penalty:g} by cross-validation (loss {loss:.3f})"
        )

    def refit(self, parts: Sequence[EncodedExamples]) -> bool:
        """Solve the head of a frozen body once more, on all parts together."""
        if self.tuning.tune != "frozen":
            return False
        labelled = [part for part in parts if isinstance(part, LabelledTexts)]
        if self._penalty is None:  # of a run that goes on
            features = stacked([self._read(labelled[0])])
            targets = as_targets(labelled[0].targets)
            self._penalty, _ = choose_penalty(features, targets, seed=self.settings.training.seed)
        self._solve(labelled)
        return True

    def _solve(self, parts: Sequence[LabelledTexts]) -> None:
        assert self._penalty is not None
        features = stacked([self._read(part) for part in parts])
        targets = as_targets(torch.cat([part.targets for part in parts]))
        solve(features, targets, self._penalty).write(last_linear(self.network.model))

    @torch.inference_mode()
    def _read(self, examples: LabelledTexts) -> Tensor:
        """Features of each text, computed once for each part."""
        found = self._features.get(id(examples))
        if found is not None:
            return found[1]
        device, network = device_of(self.network), self.network.eval()
        rows: Tensor | None = None
        with reading(network.model) as layer:
            for batch in (batch.to(device) for batch in examples.one_pass(FEATURE_TOKENS)):
                check_cancelled()
                network.model(**network.inputs(batch.source, batch.source_lengths))
                read = layer.take().float().cpu()
                if rows is None:
                    rows = torch.empty(len(examples.lengths), read.shape[1])
                rows[list(batch.indices)] = read
        assert rows is not None
        self._features[id(examples)] = examples, rows
        return rows


TUNED: Mapping[str, type[FineTuned]] = {
    "classification": TunedClassifier,
    "translation": TunedTranslator,
    "summarization": TunedSummarizer,
    "language": TunedGenerator,
}
"""Class of a fine-tuned model by task."""
