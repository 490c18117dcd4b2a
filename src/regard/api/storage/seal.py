"""Seals: what `config.json` says of itself and of the files beside it, so that no change passes unseen.

Each file is checked where it is used: `config.json` by the hash of its own content, tokenizers by their hashes
in it, tensors by those in their own header, which also names the `config.json` they were written for. No file
holds the hash of one that is written later, so a run can be killed between any two.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from regard.errors import ModelFolderError
from regard.files import content_sha256, file_sha256
from regard.training.history import CLOCK

__all__ = [
    "FILES",
    "HISTORY",
    "IDENTITY",
    "REMEDY",
    "RESULTS",
    "SEAL",
    "THEIR_CONFIG",
    "check_content",
    "check_file",
    "check_history",
    "identity_of",
    "seal",
    "seals_of",
]

FILES = "files"
"""Key of `config.json`: SHA-256 of files beside it, by name."""

IDENTITY = "identity"
"""Key of `config.json`: hash of all that the weights depend on; they carry it, too."""

RESULTS = "results"
"""Key of `config.json`: SHA-256 of what a finished run left beside the model, by name."""

HISTORY = "history.jsonl"

SEAL = "seal"
"""Key of the hash of a JSON file's own content."""

THEIR_CONFIG = "transformers"
"""Key of `regard.json`: content of the `config.json` beside it."""

_IDENTIFYING = ("settings", "model", "labels", "multilabel", "sentences", THEIR_CONFIG, FILES)


def seal(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a JSON file with the hash of it."""
    rest = {name: value for name, value in content.items() if name != SEAL}
    return {**rest, SEAL: content_sha256(rest)}


def check_content(content: Mapping[str, Any], path: Path, remedy: str) -> None:
    """Compare the content of a JSON file with the hash in it.

    Raises:
        ModelFolderError: it was changed after it was written, or has no hash.
    """
    if seal(content)[SEAL] != content.get(SEAL):
        raise ModelFolderError(f"{path} was changed after regard wrote it; {remedy}")


def identity_of(config: Mapping[str, Any]) -> str:
    """Hash of all in `config.json` that weights depend on: not of commands, paths and what is found later."""
    data = config["data"]
    known = {name: config[name] for name in _IDENTIFYING if name in config}
    return content_sha256([known, data.get("fingerprint"), data.get("examples")])


def seals_of(folder: Path, names: Iterable[str]) -> dict[str, str]:
    """SHA-256 of the files among `names` that are in the folder."""
    return {name: _sha256(folder / name) for name in names if (folder / name).is_file()}


def _sha256(path: Path) -> str:
    return _history_sha256(path.read_bytes(), path) if path.name == HISTORY else file_sha256(path)


def _history_sha256(content: bytes, path: Path) -> str:
    """Hash of a history without its times, so that equal runs have equal hashes."""
    try:
        records = [json.loads(line) for line in content.decode("utf-8").splitlines()]
        return content_sha256([{k: v for k, v in r.items() if k != CLOCK} for r in records])
    except (ValueError, AttributeError, RecursionError) as error:
        raise ModelFolderError(f"{path}: damaged ({error}); {REMEDY}") from error


def check_history(content: bytes, path: Path, config: Mapping[str, Any]) -> None:
    """Compare the content of a history with its hash in `config.json`, as `check_file` does.

    Raises:
        ModelFolderError: it was changed after it was written.
    """
    wanted = config.get(RESULTS, {}).get(HISTORY)
    if wanted is not None and _history_sha256(content, path) != wanted:
        raise _changed(path)


def check_file(folder: Path, name: str, config: Mapping[str, Any], *, key: str = FILES) -> None:
    """Compare a file with its hash in `config.json`; where there is none, nothing is known of it.

    Raises:
        ModelFolderError: it is missing, or was changed after it was written.
    """
    wanted = config.get(key, {}).get(name)
    if wanted is None:
        return
    path = folder / name
    try:
        found = _sha256(path)
    except OSError as error:
        raise ModelFolderError(f"{path}: cannot be read ({error.strerror})") from error
    if found != wanted:
        raise _changed(path)


def _changed(path: Path) -> ModelFolderError:
    return ModelFolderError(f"{path} was changed after training, or is of another run; {REMEDY}")


REMEDY = (
    "copy the file from where it is whole, or train again; if the change is yours, "
    "`regard check FOLDER --seal` takes it as it is"
)
