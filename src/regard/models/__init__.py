"""Models: encoder-decoders, language models and classifiers, built from frozen settings.

>>> from regard.models import build, configure
>>> model = build(configure("rnn", preset="tiny", source_size=80, target_size=80))
>>> model.settings.width
128
"""

from __future__ import annotations

import importlib
from typing import Any

from torch import nn

from regard.models.classifiers import settings as _classifiers  # noqa: F401  # registers its kinds
from regard.models.contracts import (
    Batched,
    Classifier,
    EncoderDecoder,
    LanguageModel,
    Memory,
    Output,
    State,
    Step,
)
from regard.models.explaining import Explainable, token_attention
from regard.models.reading import (
    DECODER_INPUT,
    READINGS,
    AlignmentSettings,
    Reading,
    check_reading,
    describe_reading,
)
from regard.models.settings import (
    FROM_DATA,
    KINDS,
    ModelSettings,
    configure,
    from_config,
    register,
)

__all__ = [
    "DECODER_INPUT",
    "FROM_DATA",
    "KINDS",
    "READINGS",
    "AlignmentSettings",
    "Batched",
    "Classifier",
    "EncoderDecoder",
    "Explainable",
    "LanguageModel",
    "Memory",
    "ModelSettings",
    "Output",
    "Reading",
    "State",
    "Step",
    "build",
    "check_reading",
    "configure",
    "describe_reading",
    "from_config",
    "register",
    "token_attention",
]


def build(settings: ModelSettings) -> Any:
    """Make the model that `settings.kind` names, freshly initialised.

    Args:
        settings: from `configure` or `from_config`.

    Returns:
        An `EncoderDecoder`, `Classifier` or `LanguageModel`, in training mode.
    """
    module, _, name = KINDS[settings.kind][1].partition(":")
    model = getattr(importlib.import_module(module), name)(settings)
    assert isinstance(model, nn.Module)
    return model
