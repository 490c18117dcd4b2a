"""Models of our tasks from folders that `save_pretrained` of transformers wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from pydantic import model_validator

from regard.api.config.settings import RunSettings, TextSettings
from regard.api.tasks.classification import Classifier
from regard.api.tasks.encoding import Encoder
from regard.api.tasks.model import Model
from regard.choices import Task
from regard.errors import InputError
from regard.integrations.pretrained.folder import Loaded, load_pretrained
from regard.integrations.pretrained.networks import PretrainedClassifier, PretrainedEncoder
from regard.integrations.pretrained.tokenizer import PretrainedTokenizer
from regard.integrations.pretrained.vocabulary import Vocabulary

__all__ = ["model_of"]


class PretrainedRunSettings(RunSettings):
    """Settings of a model that was trained elsewhere: `kind` is its class in transformers."""

    @model_validator(mode="after")
    def _model_can_be_made(self) -> PretrainedRunSettings:
        return self  # transformers made it


def model_of(folder: Path, task: Task | None = None) -> Model:
    """Load a folder of transformers as the model of a task.

    Args:
        folder: with `config.json`, safetensors and a tokenizer.
        task: which of its tasks, where it has several: an encoder-decoder translates unless it is to
            summarise.

    Raises:
        ModelFolderError: see `load_pretrained`.
    """
    loaded = load_pretrained(folder)
    make = {"classification": _classifier, "reading": _encoder}[loaded.use]
    model = make(loaded)
    model.folder = folder
    return model


def _classifier(loaded: Loaded) -> Classifier:
    vocabulary = vocabulary_of(loaded)
    tokenizer = PretrainedTokenizer(loaded.tokenizer, vocabulary)
    config = loaded.model.config
    names = [str(config.id2label[index]) for index in range(config.num_labels)]
    if len(set(names)) < len(names):
        raise InputError(
            f"{loaded.folder}: two labels of id2label have one name: {', '.join(names)}"
        )
    return Classifier(
        _settings(loaded, "classification"),
        PretrainedClassifier(loaded, vocabulary, tokenizer),
        tokenizer,
        names,
        multilabel=config.problem_type == "multi_label_classification",
    )


def _encoder(loaded: Loaded) -> Encoder:
    vocabulary = vocabulary_of(loaded)
    tokenizer = PretrainedTokenizer(loaded.tokenizer, vocabulary)
    return Encoder(_settings(loaded, "language"), PretrainedEncoder(loaded, vocabulary), tokenizer)


def vocabulary_of(loaded: Loaded) -> Vocabulary:
    """The vocabulary of a model that reads: BOS is the mark between the texts of a pair."""
    tokenizer = loaded.tokenizer
    return Vocabulary(
        size=_embeddings(loaded.model),
        pad=tokenizer.pad_token_id,
        unknown=tokenizer.unk_token_id,
        begin=tokenizer.sep_token_id,
    )


def _embeddings(model: Any) -> int:
    return int(model.get_input_embeddings().num_embeddings)


def _settings(loaded: Loaded, task: Task, **groups: Any) -> RunSettings:
    longest = loaded.longest or TextSettings.model_fields["max_tokens"].default
    size = max(5, _embeddings(loaded.model))
    text = TextSettings(vocabulary=size, max_tokens=longest)
    kind = type(loaded.model).__name__
    return PretrainedRunSettings(task=task, kind=kind, text=text, **groups)
