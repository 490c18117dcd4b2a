"""Default settings of each task, kind of model and size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any

__all__ = ["PRESETS", "PRETRAINED", "TUNING", "Defaults", "defaults_of"]

Group = Mapping[str, Any]

_NO_GROUPS: Mapping[str, Group] = MappingProxyType({})


@dataclass(frozen=True)
class Defaults:
    """Kinds of models of a task, and their default settings.

    Args:
        kind: the kind taken when none is named.
        kinds: all kinds.
        updates: updates that the settings of each kind are made for; fewer than these, and some
            settings are fitted to the data (`derived`).
        base: settings by group.
        of_kind: settings that override them for one kind, by group.
        of_preset: settings that override both for one size, by group.
    """

    kind: str
    kinds: tuple[str, ...]
    updates: Mapping[str, int]
    base: Mapping[str, Group]
    of_kind: Mapping[str, Mapping[str, Group]] = field(default_factory=dict)
    of_preset: Mapping[str, Mapping[str, Group]] = field(default_factory=dict)

    def groups(self, kind: str, preset: str) -> dict[str, Group]:
        """Settings of one kind and size by group: `{"training": ..., "text": ..., ...}`."""
        layers = (
            self.base,
            self.of_kind.get(kind, _NO_GROUPS),
            self.of_preset.get(preset, _NO_GROUPS),
        )
        names = ("training", "text", "model", "decoding")
        return {
            name: {key: value for layer in layers for key, value in layer.get(name, {}).items()}
            for name in names
        }


PRETRAINED = "pretrained"
"""Kind of every model that was trained elsewhere and is fine-tuned here."""

PRESETS: Mapping[str, Defaults] = {
    "translation": Defaults(
        kind="transformer",
        kinds=("transformer", "rnn"),
        updates={"transformer": 700, "rnn": 700},
        base={
            "training": {
                "epochs": 30,
                "learning_rate": 1e-3,
                "warmup": 1000,
                "label_smoothing": 0.1,
                "ema": 0.999,
                "metric": "bleu",
                "patience": 6,
            },
            "text": {"max_tokens": 256},
            "model": {"joint": True, "dropout": 0.3},
        },
        of_kind={
            "rnn": {
                "training": {"schedule": "cosine", "warmup": 400},
                "model": {"joint": False, "dropout": 0.3},
            }
        },
        of_preset={
            "tiny": {"model": {"dropout": 0.1}},
            "base": {"training": {"learning_rate": 5e-4}},
        },
    ),
    "classification": Defaults(
        kind="wide",
        kinds=("wide", "feedforward", "bigru", "cnn", "transformer-classifier", "hierarchical"),
        updates={
            "wide": 150,
            "feedforward": 300,
            "bigru": 300,
            "cnn": 300,
            "transformer-classifier": 300,
            "hierarchical": 300,
        },
        base={
            "training": {
                "epochs": 10,
                "batch_tokens": 1024,
                "learning_rate": 2e-3,
                "schedule": "linear",
                "warmup": 50,
                "label_smoothing": 0.1,
                "ema": 0.98,
                "metric": "accuracy",
            },
            "text": {"tokenizer": "word", "vocabulary": 30000, "lowercase": True},
        },
        of_kind={
            # Pieces spell unknown words too, and the wide part reads their characters.
            "wide": {"training": {"epochs": 6}, "text": {"tokenizer": "bpe", "vocabulary": 16000}},
            # Held-out accuracy of a few hundred texts is noise; the loss says when three networks are done.
            "cnn": {"training": {"learning_rate": 3e-3, "metric": "loss"}},
            "bigru": {"training": {"learning_rate": 3e-3, "metric": "loss"}},
            "hierarchical": {
                "training": {"epochs": 5, "batch_tokens": 8192, "metric": "loss"},
                "text": {"max_tokens": 4096},
            },
        },
    ),
    "summarization": Defaults(
        kind="extractive",
        kinds=("extractive", "pointer"),
        updates={"extractive": 400, "pointer": 600},
        base={
            "training": {
                "epochs": 20,
                "learning_rate": 1e-3,
                "schedule": "linear",
                "warmup": 100,
                "ema": 0.995,
                "metric": "rouge1",
                "patience": 5,
            },
            "text": {"tokenizer": "word", "vocabulary": 20000, "lowercase": True, "min_count": 2},
        },
        of_kind={
            # On two thousand abstracts it is best after two epochs, and learns them by heart after five.
            "extractive": {"training": {"epochs": 5}, "model": {"dropout": 0.5}},
            "pointer": {
                "text": {"max_tokens": 400},
                "decoding": {"block_ngrams": 3, "block_unknown": True, "max_length": 60},
            },
        },
    ),
    "language": Defaults(
        kind="lm",
        kinds=("lm", "masked"),
        updates={"lm": 350, "masked": 1000},
        base={
            "training": {
                "epochs": 10,
                "learning_rate": 1e-3,
                "schedule": "cosine",
                "warmup": 200,
                "metric": "loss",
                "patience": 3,
            },
            "decoding": {"method": "sample", "top_p": 0.95, "max_length": 100},
        },
        # One word in seven is a target, so the same text is worth more passes, each with other masks.
        of_kind={"masked": {"training": {"epochs": 30}}},
    ),
}


def _tuning(metric: str, *, epochs: int, patience: int = 3, batch_tokens: int = 2048) -> Defaults:
    return Defaults(
        kind=PRETRAINED,
        kinds=(PRETRAINED,),
        updates={PRETRAINED: 1},
        base={
            "training": {
                "epochs": epochs,
                "batch_tokens": batch_tokens,
                "learning_rate": 5e-5,
                "schedule": "linear",
                "warmup": 100,
                "metric": metric,
                "patience": patience,
            },
        },
        of_preset={
            "frozen": {"training": {"epochs": 1, "warmup": 0}},
            "lora": {"training": {"learning_rate": 5e-4}},
        },
    )


TUNING: Mapping[str, Defaults] = {
    "classification": _tuning("accuracy", epochs=3, batch_tokens=512),
    "translation": _tuning("bleu", epochs=5),
    "summarization": _tuning("rouge1", epochs=5),
    "language": _tuning("loss", epochs=3, patience=2),
}
"""Defaults of fine-tuning by task; its sizes are the ways to tune (`Tune`)."""


def defaults_of(task: str, kind: str) -> Defaults:
    """Defaults of a task for a kind of model."""
    return (TUNING if kind == PRETRAINED else PRESETS)[task]
