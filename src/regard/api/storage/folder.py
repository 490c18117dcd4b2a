"""A model's folder: its files, the right to write to it, its config."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Mapping, Sequence
from os import PathLike
from pathlib import Path
from typing import Any

from regard.api.storage.config_check import check_config
from regard.api.storage.format1 import from_format1
from regard.api.storage.seal import (
    FILES,
    IDENTITY,
    REMEDY,
    RESULTS,
    SEAL,
    THEIR_CONFIG,
    check_content,
    identity_of,
    seal,
    seals_of,
)
from regard.errors import InputError, ModelFolderError
from regard.files import atomic_write, file_sha256
from regard.integrations.pretrained.folder import weight_files
from regard.training.checkpoint import HISTORY_FILE, RUN_FILE, WEIGHTS_FILE
from regard.version import __version__

__all__ = [
    "CARD_FILE",
    "CONFIG",
    "FORMAT",
    "LOCK",
    "NEXT",
    "OUR_FILES",
    "RECORD",
    "RESULT_FILES",
    "SEALED",
    "acquire_folder",
    "clear",
    "parse_config",
    "parse_json",
    "read_config",
    "read_small_files",
    "record_in",
    "record_of",
    "seal_results",
    "sealed_config",
    "update_config",
    "weights_sha256",
    "weights_state",
    "write_config",
    "write_json",
    "write_record",
]

CONFIG = "config.json"
RECORD = "regard.json"
"""What `config.json` holds elsewhere, of a model whose `config.json` is that of transformers."""
CARD_FILE = "README.md"
SEALED = 3
"""First format with seals."""
FORMAT = 3
"""Version of the folder's content; grows when an earlier `regard` could no longer read it.

1: names of settings as in `format1`; 2: no seals. Both are read, and written only where a run of that format
goes on. 3: sealed (`seal`); an earlier version would write a `config.json` that does not match its seal.
"""

NEXT = ".next"
"""Folder, in that of a model, of the run that is to replace it."""

LOCK = ".lock"
"""File of the process that writes into a folder; of one that was killed it is left."""

_THEIRS = (
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "spiece.model",
    "sentencepiece.bpe.model",
    "source.spm",
    "target.spm",
    "target_vocab.json",
    "tokenizer.model",
    "chat_template.jinja",
    "generation_config.json",
)
"""Files that transformers writes beside a model and its `config.json`."""

_FIRST = ("source.json", "target.json", "tokenizer.json", *_THEIRS)
"""Files written before `config.json`; with `regard.json` all that a run killed at its beginning leaves."""

OUR_FILES = (
    WEIGHTS_FILE,
    *_FIRST,
    HISTORY_FILE,
    "history.png",
    CARD_FILE,
    "attention.png",  # the demo's
    "trust.json",
    RECORD,
    CONFIG,  # the last to go: a folder with it is known as a model's
)
RESULT_FILES = (HISTORY_FILE, "history.png", CARD_FILE)
"""Files that the end of a run writes; no answer depends on them."""

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
    begun = (NEXT, LOCK, RECORD, *_FIRST)  # of which a killed run leaves at least one
    # A launcher that restarts processes repeats one command, with which the run begins too.
    repeated = "TORCHELASTIC_RUN_ID" in os.environ
    if (
        resume
        and not has_run
        and not repeated
        and not any((folder / name).exists() for name in begun)
    ):
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
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # a read-only disk, links in a circle
        raise InputError(
            f"{folder}: no folder can be made ({error.strerror}); choose another --out"
        ) from error


def _foreign(folder: Path) -> list[str]:
    """Names of files that other programs put there."""
    found = folder.iterdir() if folder.is_dir() else ()
    first = (RECORD, *_FIRST)
    return sorted(f.name for f in found if f.name not in first and not f.name.startswith("."))


def read_small_files(folder: Path) -> dict[str, bytes]:
    """Contents of all files of a model by name, but for its weights."""
    paths = [folder / name for name in _own_files(folder) if name != WEIGHTS_FILE]
    return {path.name: path.read_bytes() for path in paths if path.is_file()}


def weights_sha256(folder: Path) -> str:
    """SHA-256 of the weights of a model; of several files (of transformers), that of their hashes in order."""
    paths = weight_files(folder)
    if len(paths) == 1:
        return file_sha256(paths[0])
    return hashlib.sha256("\n".join(map(file_sha256, paths)).encode()).hexdigest()


def weights_state(folder: Path) -> object:
    """What is different after any change to the weights of a model; `None` if there are none."""
    try:
        found = [path.stat() for path in weight_files(folder)]
    except (OSError, ModelFolderError):
        return None
    return [(s.st_dev, s.st_ino, s.st_size, s.st_mtime_ns) for s in found]


def clear(folder: Path) -> None:
    """Delete what `regard` writes; other people's files stay."""
    for name in _OUR_FOLDERS:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in _own_files(folder):
        (folder / name).unlink(missing_ok=True)


def _own_files(folder: Path) -> list[str]:
    """Names of the files of a model, `config.json` last; its record names those of an uncommon tokenizer."""
    try:
        named = json.loads((folder / RECORD).read_text(encoding="utf-8")).get(FILES, {})
        more = [name for name in named if name == Path(name).name and name not in OUR_FILES]
    except (OSError, ValueError, AttributeError, TypeError, RecursionError):
        more = []
    return [*more, *OUR_FILES]


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
        model: settings of the network, and what a task keeps beside them; under `"transformers"` the
            content of `config.json` where that is theirs.
    """
    head = {"regard": __version__, "format": FORMAT, "settings": settings}
    config = {**head, "derived": list(derived), "data": data, **model}
    write_record(folder, sealed_config(folder, config))


def write_record(folder: Path, config: Mapping[str, Any]) -> None:
    """Write what `regard` knows of a model: into `config.json`, or beside that of transformers."""
    if THEIR_CONFIG in config:
        write_json(folder / RECORD, config)
        write_json(folder / CONFIG, config[THEIR_CONFIG])
    else:
        write_json(folder / CONFIG, config)


def update_config(folder: Path, **facts: Any) -> None:
    """Add facts that are known only after training to `config.json`."""
    config = {**read_config(folder), **facts}
    sealed = config["format"] >= SEALED
    write_json(record_of(folder), seal(config) if sealed else {**config, "format": SEALED - 1})


def record_of(folder: Path) -> Path:
    """The file with what `regard` knows of a model: `regard.json` beside a `config.json` of transformers."""
    return folder / (RECORD if (folder / RECORD).is_file() else CONFIG)


def sealed_config(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    """Content of `config.json` with the hashes of the files in the folder, and its own."""
    names = dict.fromkeys([*_FIRST, *config.get(FILES, ())])
    known = {**config, "format": FORMAT, FILES: seals_of(folder, names)}
    if RESULTS in known:
        known[RESULTS] = seals_of(folder, known[RESULTS])
    return seal({**known, IDENTITY: identity_of(known)})


def seal_results(folder: Path) -> None:
    """Write the hashes of what a finished run leaves beside the model into `config.json`."""
    update_config(folder, **{RESULTS: seals_of(folder, RESULT_FILES)})


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Write a JSON file, whole or not at all."""
    with atomic_write(path) as unfinished:
        text = json.dumps(content, indent=1, ensure_ascii=False)
        unfinished.write_text(text + "\n", encoding="utf-8")


def record_in(files: Mapping[str, bytes]) -> str | None:
    """Name of that file among the files of a model; `None` if it is not there."""
    return next((name for name in (RECORD, CONFIG) if name in files), None)


def read_config(folder: str | PathLike[str], *, seals: bool = True) -> dict[str, Any]:
    """Read `config.json`, under today's names.

    Args:
        folder: of the model.
        seals: refuse a file that was changed after it was written.

    Raises:
        ModelFolderError: no model here, or a file that is damaged, changed or from a newer version.
    """
    folder = Path(folder)
    path = record_of(folder)
    if folder.is_file():
        raise ModelFolderError(f"{folder} is a file; give the folder it is in (of --out)")
    if not folder.is_dir():
        raise ModelFolderError(f"{folder}: no such folder; `regard train` makes one")
    if not path.is_file():
        raise ModelFolderError(f"{folder} holds no model (no {CONFIG}); give the folder of --out")
    try:
        content = path.read_bytes()
    except OSError as error:
        raise ModelFolderError(f"{path}: cannot be read ({error.strerror})") from error
    config = parse_config(content, path, seals=seals)
    if THEIR_CONFIG in config:
        theirs = _their_config(folder / CONFIG)
        if seals and theirs != config[THEIR_CONFIG]:
            raise ModelFolderError(f"{folder / CONFIG} was changed after regard wrote it; {REMEDY}")
        config[THEIR_CONFIG] = theirs
    return config


def _their_config(path: Path) -> dict[str, Any]:
    """Content of the `config.json` of transformers."""
    try:
        return parse_json(path.read_bytes(), path, REMEDY)
    except OSError as error:
        raise ModelFolderError(f"{path}: cannot be read ({error.strerror})") from error


def parse_config(content: bytes, path: Path, *, seals: bool = True) -> dict[str, Any]:
    """Content of a `config.json`, under today's names; `path` is for errors."""
    config = parse_json(content, path, "copy or train it again")
    if not isinstance(config.get("regard"), str):
        raise ModelFolderError(f"{path}: not written by regard; is this another program's model?")
    if not isinstance(config.get("format"), int) or config["format"] > FORMAT:
        raise ModelFolderError(
            f"{path}: format {config.get('format')!r}, written by regard {config['regard']}; "
            f"this is {__version__} and reads up to format {FORMAT}: pip install --upgrade regard"
        )
    if seals and (config["format"] >= SEALED or SEAL in config):
        check_content(config, path, REMEDY)
    try:
        config = _with_moved_settings(from_format1(config) if config["format"] == 1 else config)
    except (KeyError, TypeError, AttributeError) as error:
        raise ModelFolderError(f"{path}: damaged ({error!r}); train it again") from error
    check_config(config, path)
    return config


def parse_json(content: bytes, path: Path, remedy: str) -> dict[str, Any]:
    """Content of a JSON file that holds an object.

    Raises:
        ModelFolderError: it is damaged; says what to do.
    """
    try:
        parsed = json.loads(content.decode("utf-8"))
    except ValueError as error:
        raise ModelFolderError(f"{path}: damaged ({error}); {remedy}") from error
    except RecursionError as error:
        raise ModelFolderError(f"{path}: damaged (nested too deeply); {remedy}") from error
    if not isinstance(parsed, dict):
        raise ModelFolderError(f"{path}: not written by regard; is this another program's model?")
    return parsed


def _with_moved_settings(config: dict[str, Any]) -> dict[str, Any]:
    """The config with `replace_unknown` among the settings of decoding: it was one of the text."""
    run = config["settings"]
    if "replace_unknown" not in run.get("text", {}):
        return config
    text = dict(run["text"])
    decoding = {"replace_unknown": text.pop("replace_unknown"), **run.get("decoding", {})}
    return {**config, "settings": {**run, "text": text, "decoding": decoding}}
