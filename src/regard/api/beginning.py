"""Classifiers that begin with the encoder of a masked language model that `regard train` wrote."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any

from regard.api.load import load
from regard.api.storage.folder import CONFIG, read_config, weights_sha256
from regard.api.tasks.classification import Classifier
from regard.api.tasks.labels import label_names
from regard.api.tasks.masked import MaskedLanguage
from regard.api.tasks.model import build_untrained
from regard.data import Example
from regard.errors import InputError, SettingsError
from regard.integrations.pretrained.folder import holds_transformers
from regard.models import KINDS, configure
from regard.models.classifiers.ensemble import EnsembleClassifier
from regard.models.masked_language_model import SHARED_SETTINGS

__all__ = ["KIND", "Beginning", "beginning_of"]

KIND = "transformer-classifier"
"""Kind of classifier that begins so."""

_OF_THE_ENCODER = frozenset({*SHARED_SETTINGS, "marks"})
_OF_THE_TOKENIZER = frozenset({"tokenizer", "vocabulary", "lowercase", "min_count"})


@dataclass(frozen=True)
class Beginning:
    """A masked language model whose encoder a classifier begins with.

    Args:
        folder: of the model.
        config: its `config.json`.
    """

    folder: Path
    config: Mapping[str, Any]

    def values(
        self,
        given: Mapping[str, Any],
        *,
        preset: str,
        tune: str | None,
        out: str | PathLike[str] | None,
    ) -> dict[str, Any]:
        """Settings of the classifier: those of the encoder and its tokenizer, and the user's.

        Args:
            given: single settings of the user.
            preset: the user's, which must be the default: the encoder has a size of its own.
            tune: the user's; only all weights are trained.
            out: folder of the classifier, another than the encoder's.

        Raises:
            SettingsError: the user gives one that the encoder decides.
            InputError: one folder for both.
        """
        if preset != "small":
            raise SettingsError(
                f"preset={preset!r}: {self.folder} has a size of its own; leave the preset out"
            )
        if tune not in (None, "full"):
            raise SettingsError(
                f"tune={tune!r}: a classifier that begins with a model of ours is trained in full; leave it out"
            )
        if out is not None and Path(out).resolve() == self.folder.resolve():
            raise InputError(f"{out} holds the masked language model; choose another folder")
        plain = {name.rpartition(".")[2]: name for name in given}
        for name in sorted(plain.keys() & (_OF_THE_ENCODER | _OF_THE_TOKENIZER)):
            raise SettingsError(
                f"{plain[name]}={given[plain[name]]}: the encoder of {self.folder} and its tokenizer decide "
                f"{name}; leave it out"
            )
        model, text = self.config["model"], self.config["settings"]["text"]
        return {
            **{name: model[name] for name in SHARED_SETTINGS},
            **{name: text[name] for name in (*sorted(_OF_THE_TOKENIZER), "max_tokens")},
            "marks": True,
            "head": "first",
            "dropout": model["dropout"],
            "word_dropout": 0.0,
            "learning_rate": 5e-4,  # of weights that know something already
            **given,
        }

    def model_of(self, examples: Sequence[Example], settings: Any) -> Classifier:
        """Classifier with the encoder's weights and a new head."""
        pretrained = load(self.folder)
        assert isinstance(pretrained, MaskedLanguage)
        labels, multilabel = label_names(examples)
        tokenizer = pretrained.tokenizer
        values = {**settings.model, "size": len(tokenizer), "labels": len(labels)}
        network = build_untrained(settings, configure(settings.kind, settings.preset, **values))
        assert isinstance(network, EnsembleClassifier)
        state = pretrained.network.encoder_state()
        for encoder in network.readers:  # a pooling head is new
            missing = encoder.load_state_dict(dict(state), strict=False).missing_keys
            assert all(name.startswith("pooling.") for name in missing), missing
        return Classifier(settings, network, tokenizer, labels, multilabel=multilabel)

    def facts(self) -> dict[str, str]:
        """What `config.json` says of it."""
        return {"folder": str(self.folder), "weights": weights_sha256(self.folder)}


def beginning_of(task: str, model: str | PathLike[str] | None) -> Beginning | None:
    """The masked language model that `model` names, if it is a folder that `regard train` wrote.

    Raises:
        InputError: a folder with another model of ours, or a task that cannot begin with it.
        ModelFolderError: a folder that cannot be read.
    """
    folder = None if model is None or str(model) in KINDS else Path(model)
    if folder is None or not (folder / CONFIG).is_file() or holds_transformers(folder):
        return None
    config = read_config(folder)
    kind = config["settings"].get("kind")
    if kind != "masked":
        raise InputError(
            f"{folder} holds a model of kind {kind}; a classifier can begin with a masked language model, "
            "which `regard train language --model masked` makes"
        )
    if task != "classification":
        raise InputError(
            f"{folder} holds a masked language model, and {task} cannot begin with one; classification can"
        )
    return Beginning(folder, config)
