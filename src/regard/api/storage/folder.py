"""A model's folder: its files, the right to write to it, its config."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from regard.api.storage.format1 import from_format1
from regard.errors import InputError, ModelFolderError
from regard.files import atomic_write
from regard.training.checkpoint import RUN_FILE, WEIGHTS_FILE
from regard.version import __version__

__all__ = [
    "CONFIG",
    "FORMAT",
    "acquire_folder",
    "clear",
    "read_config",
    "read_small_files",
    "update_config",
    "write_config",
    "write_json",
]

CONFIG = "config.json"
FORMAT = 2
"""Version of the folder's content; grows when an earlier `regard` could no longer read it.

1: names of settings as in `format1`; read, no longer written. 2: today's.
"""

_FIRST = ("source.json", "target.json")
"""Files written before `config.json`: all that a run killed at its very beginning leaves."""

_OURS = (
    WEIGHTS_FILE,
    *_FIRST,
    "tokenizer.json",
    "history.jsonl",
    "history.png",
    "README.md",
    "attention.png",  # the demo's
    "trust.json",
    CONFIG,  # the last to go: a folder with it is known as a model's
)
_OUR_FOLDERS = (RUN_FILE.parent.name, "tensorboard")


def acquire_folder(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Make a folder for a run, or make sure that the run may use it; its files stay until `clear`.

    Args:
        folder: of the run.
        resume: go on with the run that is in it.
        overwrite: replace the model that is in it.

    Raises:
        InputError: it is in use, or holds things that are not a model's.
        ModelFolderError: there is nothing to resume.
    """
    if resume and overwrite:
        raise InputError("resume goes on with a run, overwrite throws it away; choose one")
    if folder.is_file():
        raise InputError(f"{folder} is a file; give the name of a folder")
    has_run = (folder / CONFIG).is_file()
    if resume and not has_run:
        raise ModelFolderError(f"{folder} holds no run to go on with; train without resume")
    if not has_run and _foreign(folder):
        raise InputError(
            f"{folder} holds no model but other files ({_foreign(folder)[0]}, ...); "
            "choose another folder"
        )
    if has_run and not (resume or overwrite):
        raise InputError(
            f"{folder} already holds a model; --resume goes on with it, --overwrite replaces it, "
            "or choose another --out"
        )
    folder.mkdir(parents=True, exist_ok=True)


def _foreign(folder: Path) -> list[str]:
    """Names of files that other programs put there."""
    found = folder.iterdir() if folder.is_dir() else ()
    return sorted(f.name for f in found if f.name not in _FIRST and not f.name.startswith("."))


def read_small_files(folder: Path) -> dict[str, bytes]:
    """Contents of all files of a model by name, but for its weights."""
    paths = [folder / name for name in _OURS if name != WEIGHTS_FILE]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def clear(folder: Path) -> None:
    """Delete what `regard` writes; other people's files stay."""
    for name in _OUR_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in _OURS:
        (folder / name).unlink(missing_ok=True)


def write_config(
    folder: Path,
    *,
    settings: dict[str, Any],
    derived: Sequence[str],
    data: dict[str, Any],
    model: dict[str, Any],
) -> None:
    """Write `config.json`, after which the folder counts as a model's.

    Args:
        folder: of the model.
        settings: of the run.
        derived: names of the training settings that follow from the data.
        data: facts about the training and validation part.
        model: settings of the network, and what a task keeps beside them.
    """
    head = {"regard": __version__, "format": FORMAT, "settings": settings}
    write_json(folder / CONFIG, {**head, "derived": list(derived), "data": data, **model})


def update_config(folder: Path, **facts: Any) -> None:
    """Add facts that are known only after training to `config.json`."""
    write_json(folder / CONFIG, {**read_config(folder), "format": FORMAT, **facts})


def write_json(path: Path, content: dict[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic_write(path) as unfinished:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        unfinished.write_text(text + "\n", encoding="utf-8")


def read_config(folder: str | PathLike[str]) -> dict[str, Any]:
    """Read `config.json`, under today's names.

    Raises:
        ModelFolderError: no model here, a damaged file, or one from a newer version.
    """
    folder = Path(folder)
    path = folder / CONFIG
    if folder.is_file():
        raise ModelFolderError(f"{folder} is a file; give the folder it is in (of --out)")
    if not folder.is_dir():
        raise ModelFolderError(f"{folder}: no such folder; `regard train` makes one")
    if not path.is_file():
        raise ModelFolderError(f"{folder} holds no model (no {CONFIG}); give the folder of --out")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ModelFolderError(f"{path}: damaged ({error}); copy or train it again") from error
    if not isinstance(config, dict) or not isinstance(config.get("regard"), str):
        raise ModelFolderError(f"{path}: not written by regard; is this another program's model?")
    if not isinstance(config.get("format"), int) or config["format"] > FORMAT:
        raise ModelFolderError(
            f"{path}: format {config.get('format')!r}, written by regard {config['regard']}; "
            f"this is {__version__} and reads up to format {FORMAT}: pip install --upgrade regard"
        )
    try:
        return _with_moved_settings(from_format1(config) if config["format"] == 1 else config)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelFolderError(f"{path}: damaged ({error!r}); train it again") from error


def _with_moved_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The config with `replace_unknown` among the settings of decoding: it was one of the text."""
    run = config["settings"]
    if "replace_unknown" not in run.get("text", {}):
        return config
    text = dict(run["text"])
    decoding = {"replace_unknown": text.pop("replace_unknown"), **run.get("decoding", {})}
    return {**config, "settings": {**run, "text": text, "decoding": decoding}}
