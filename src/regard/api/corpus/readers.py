"""The reader of a model, whatever kind it is."""

from __future__ import annotations

from os import PathLike
from typing import TypeAlias

from regard.api.corpus.attention import AttentionReader
from regard.api.corpus.own import (
    ClassifierReader,
    EncoderReader,
    GeneratorReader,
    TextToTextReader,
)
from regard.api.load import load
from regard.api.tasks.classification import Classifier
from regard.api.tasks.encoding import Encoder
from regard.api.tasks.generation import Generator
from regard.api.tasks.model import Model
from regard.api.tasks.text_to_text import TextToText
from regard.errors import InputError

__all__ = ["AnyModel", "reader_of_model"]

AnyModel: TypeAlias = Model | str | PathLike[str]
"""A model or its folder."""


def reader_of_model(model: AnyModel) -> AttentionReader:
    """Reader of a model.

    Raises:
        InputError: a model whose attention is not between tokens.
        ModelFolderError: no model in the folder.
    """
    if not isinstance(model, Model):
        model = load(model)
    if isinstance(model, Classifier):
        return ClassifierReader(model)
    if isinstance(model, Encoder):
        return EncoderReader(model)
    if isinstance(model, Generator):
        return GeneratorReader(model)
    if isinstance(model, TextToText):
        return TextToTextReader(model)
    raise InputError(
        f"{type(model).__name__} attends to sentences, and heads are measured between tokens; expected a "
        "classifier, a language model or a model that writes a text for a text"
    )
