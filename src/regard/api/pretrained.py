"""Models of our tasks from folders that `save_pretrained` of transformers wrote."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TypeVar

from pydantic import model_validator

from regard.api.config.settings import RunSettings, TextSettings
from regard.api.tasks.classification import Classifier
from regard.api.tasks.encoding import Encoder
from regard.api.tasks.generation import Generator
from regard.api.tasks.model import Model
from regard.api.tasks.summarization import AbstractiveSummarizer
from regard.api.tasks.text_to_text import TextToText
from regard.api.tasks.translation import Translator
from regard.choices import Task
from regard.decoding import DecodingSettings
from regard.errors import InputError, ModelFolderError
from regard.integrations.pretrained.decoders import (
    PretrainedEncoderDecoder,
    PretrainedLanguageModel,
)
from regard.integrations.pretrained.folder import Loaded, load_pretrained
from regard.integrations.pretrained.generation import (
    decoding_values,
    end_ids,
    forbidden_ids,
    forced_first,
)
from regard.integrations.pretrained.networks import PretrainedClassifier, PretrainedEncoder
from regard.integrations.pretrained.segments import PairLayout, known_text
from regard.integrations.pretrained.tokenizer import PretrainedTokenizer
from regard.integrations.pretrained.vocabulary import Vocabulary

__all__ = ["classifier_of", "generator_of", "model_of", "text_to_text_of"]


C = TypeVar("C", bound=Classifier)
G = TypeVar("G", bound=Generator)
W = TypeVar("W", bound=TextToText[Any])


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
    model = _model_of(loaded, task)
    model.folder = folder
    return model


def _model_of(loaded: Loaded, task: Task | None) -> Model:
    if loaded.use == "classification":
        return classifier_of(loaded, Classifier)
    if loaded.use == "language":
        return generator_of(loaded, Generator)
    if loaded.use == "reading":
        return _encoder(loaded)
    return text_to_text_of(loaded, AbstractiveSummarizer if task == "summarization" else Translator)


def classifier_of(loaded: Loaded, kind: type[C]) -> C:
    """Model of a `...ForSequenceClassification`."""
    vocabulary = vocabulary_of(loaded)
    tokenizer = PretrainedTokenizer(loaded.tokenizer, vocabulary)
    config = loaded.model.config
    names = [str(config.id2label[index]) for index in range(config.num_labels)]
    if len(set(names)) < len(names):
        raise InputError(
            f"{loaded.folder}: two labels of id2label have one name: {', '.join(names)}"
        )
    return kind(
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


def generator_of(loaded: Loaded, kind: type[G]) -> G:
    """Model of a causal language model; its tokenizer says whether BOS is in front of a text."""
    backend, ends = loaded.tokenizer, end_ids(loaded)
    read = list(backend(known_text(backend))["input_ids"])
    begin = backend.bos_token_id
    begins = begin is not None and read[:1] == [begin]
    vocabulary = Vocabulary(
        _embeddings(loaded.model), backend.pad_token_id, backend.unk_token_id, begin, ends
    )
    # A model that does not read BOS begins an empty text with its mark all the same: it must read something.
    first = () if begins else (begin if begin is not None else (ends or (0,))[0],)
    tokenizer = PretrainedTokenizer(backend, vocabulary, role="prompt", first=first)
    network = PretrainedLanguageModel(loaded, vocabulary, begins=begins)
    decoding = DecodingSettings(**decoding_values(loaded))
    return kind(_settings(loaded, "language", decoding=decoding), network, tokenizer)


def text_to_text_of(loaded: Loaded, kind: type[W]) -> W:
    """Model of an encoder-decoder."""
    backend, model, ends = loaded.tokenizer, loaded.model, end_ids(loaded)
    if not ends or backend(known_text(backend))["input_ids"][-1] not in ends:
        raise ModelFolderError(
            f"{loaded.folder}: its tokenizer does not end a source with the end token (eos_token_id "
            f"{list(ends)}), which regard's encoder-decoders read; set it in the tokenizer"
        )
    start = model.generation_config.decoder_start_token_id
    if start is None:
        start = model.config.decoder_start_token_id
    if start is None:
        raise ModelFolderError(
            f"{loaded.folder}: names no decoder_start_token_id, so there is nothing to begin an answer "
            "with; set it in generation_config.json"
        )
    vocabulary = Vocabulary(
        _embeddings(model), backend.pad_token_id, backend.unk_token_id, int(start), ends
    )
    source = PretrainedTokenizer(backend, vocabulary, role="source")
    target = PretrainedTokenizer(backend, vocabulary, role="target", first=forced_first(loaded))
    network = PretrainedEncoderDecoder(loaded, vocabulary, forbidden_ids(loaded))
    decoding = DecodingSettings(**decoding_values(loaded))
    return kind(_settings(loaded, kind.task, decoding=decoding), network, source, target)


def vocabulary_of(loaded: Loaded) -> Vocabulary:
    """The vocabulary of a model that reads: BOS is the mark between the texts of a pair."""
    tokenizer = loaded.tokenizer
    return Vocabulary(
        size=_embeddings(loaded.model),
        pad=tokenizer.pad_token_id,
        unknown=tokenizer.unk_token_id,
        begin=PairLayout.of(tokenizer).mark,
    )


def _embeddings(model: Any) -> int:
    return int(model.get_input_embeddings().num_embeddings)


def _settings(loaded: Loaded, task: Task, **groups: Any) -> RunSettings:
    longest = loaded.longest or TextSettings.model_fields["max_tokens"].default
    size = max(5, _embeddings(loaded.model))
    text = TextSettings(vocabulary=size, max_tokens=longest)
    kind = type(loaded.model).__name__
    return PretrainedRunSettings(task=task, kind=kind, text=text, **groups)
