"""What `config.json` must hold, so that a file that was edited or damaged is told in one message."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from regard.api.config.presets import PRESETS, PRETRAINED
from regard.api.storage.seal import FILES, IDENTITY, RESULTS, SEAL, THEIR_CONFIG
from regard.errors import ModelFolderError

__all__ = ["check_config"]

_REQUIRED: Mapping[str, type] = {"settings": dict, "data": dict, "model": dict}
_OPTIONAL: Mapping[str, type] = {
    "regard": str,
    "format": int,
    "derived": list,
    "alignment": dict,
    FILES: dict,
    RESULTS: dict,
    IDENTITY: str,
    SEAL: str,
}
_OF_CLASSIFIERS: Mapping[str, type] = {"labels": list, "multilabel": bool}
_OF_EXTRACTIVE: Mapping[str, type] = {"sentences": int}
"""Keys, with the type of their value."""


def check_config(config: Mapping[str, Any], path: Path) -> None:
    """Check keys, types and labels; settings check their values themselves.

    Args:
        config: content of the file under today's names.
        path: of the file, for the error.

    Raises:
        ModelFolderError: with every fault.
    """
    faults = [*_faults_of_keys(config), *_faults_of_labels(config)]
    if faults:
        raise ModelFolderError(f"{path}: damaged ({'; '.join(faults)}); copy or train it again")


def _faults_of_keys(config: Mapping[str, Any]) -> Iterator[str]:
    settings = config.get("settings")
    kind = settings.get("kind") if isinstance(settings, dict) else None
    required = {**_REQUIRED}
    classifies = isinstance(settings, dict) and settings.get("task") == "classification"
    if kind in PRESETS["classification"].kinds or (kind == PRETRAINED and classifies):
        required |= _OF_CLASSIFIERS
    if kind == "extractive":
        required |= _OF_EXTRACTIVE
    if kind == PRETRAINED:
        required |= {THEIR_CONFIG: dict}
    known = {**required, **_OPTIONAL}
    missing = [name for name in required if name not in config]
    if missing:
        yield f"lacks {', '.join(missing)}"
    foreign = sorted(config.keys() - known.keys())
    if foreign:
        yield f"holds {', '.join(map(repr, foreign[:5]))}, which nothing reads"
    for name, wanted in known.items():
        if name in config and type(config[name]) is not wanted:
            yield f"{name}={config[name]!r:.40}: expected {_WORDS[wanted]}"


_WORDS = {dict: "an object", list: "a list", str: "a string", int: "an integer", bool: "a Boolean"}


def _faults_of_labels(config: Mapping[str, Any]) -> Iterator[str]:
    labels, model = config.get("labels"), config.get("model")
    if not isinstance(labels, list) or not isinstance(model, dict):
        return
    odd = [label for label in labels if not isinstance(label, str)]
    if odd:
        yield f"the label {odd[0]!r:.40} is not a string"
        return
    twice = [label for label, count in Counter(labels).items() if count > 1]
    if twice:
        yield f"the label {twice[0]!r:.40} stands there {labels.count(twice[0])} times"
    if model.get("labels") != len(labels):
        yield f"{len(labels)} labels, the model has {model.get('labels')!r:.40}"
