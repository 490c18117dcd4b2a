"""Inspection of a model's folder: what it is, and whether every file is as it was written."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import partial
from os import PathLike
from pathlib import Path
from typing import Any, Literal, TypeAlias

from regard.api.load import load_model
from regard.api.storage.card import weights_of_card
from regard.api.storage.folder import (
    CARD_FILE,
    CONFIG,
    LOCK,
    OUR_FILES,
    RESULT_FILES,
    SEALED,
    parse_json,
    read_config,
    record_of,
    sealed_config,
    weights_sha256,
    write_record,
)
from regard.api.storage.lock import locked
from regard.api.storage.replacing import finish_replacing, read_whole
from regard.api.storage.seal import FILES, IDENTITY, RESULTS, SEAL, THEIR_CONFIG, check_file
from regard.api.storage.verdict import TRUST_FILE as TRUST
from regard.api.storage.verdict import read_findings, write_verdict
from regard.errors import ModelFolderError, RegardError
from regard.files import atomic_write, file_sha256
from regard.integrations.pretrained.folder import is_pretrained
from regard.models import from_config
from regard.models.layout import state_layout
from regard.text import Tokenizer
from regard.training.checkpoint import (
    RUN_FILE,
    WEIGHTS_FILE,
    check_layout,
    check_owner,
    check_values,
    read_run,
)
from regard.training.tensors import read_layout, read_tensors, write_tensors

__all__ = ["FileState", "FolderState", "State", "inspect_folder", "seal_folder"]

State: TypeAlias = Literal["whole", "unsealed", "edited", "faulty", "other"]
"""State of a file: as it was written; readable, but nothing says what it was; changed, which does no harm;
cannot be used; not one of regard's, and not read."""

_TOKENIZERS = ("source.json", "target.json")


@dataclass(frozen=True)
class FileState:
    """One file of a folder.

    Attributes:
        name: relative to the folder.
        size: in bytes; `None` for a file that is missing.
        state: see `State`.
        note: what is wrong, or what else to know.
    """

    name: str
    size: int | None
    state: State
    note: str = ""


@dataclass(frozen=True)
class FolderState:
    """What a folder holds.

    Attributes:
        folder: its path.
        facts: task, kind, preset, version and sizes by name; empty where `config.json` cannot be read.
        files: in the order in which they are written.
    """

    folder: str
    facts: Mapping[str, Any]
    files: tuple[FileState, ...]

    @property
    def problems(self) -> tuple[str, ...]:
        """Why the folder cannot be used as it is; empty if it can."""
        return tuple(file.note for file in self.files if file.state == "faulty")

    def to_json(self) -> str:
        """JSON object for other programs."""
        return json.dumps(
            {**asdict(self), "usable": not self.problems}, ensure_ascii=False, indent=1
        )


def inspect_folder(folder: str | PathLike[str]) -> FolderState:
    """Verify every file of a folder; nothing is changed, run or unpickled.

    Args:
        folder: of a model.

    Raises:
        ModelFolderError: it holds no model at all.
    """
    folder = Path(folder)
    return read_whole(folder, lambda: _inspect(folder))


def _inspect(folder: Path) -> FolderState:
    if is_pretrained(folder):
        raise ModelFolderError(
            f"{folder} holds a model that transformers wrote, without checksums to compare it with; "
            "`regard look` and `regard.load` read it"
        )
    if not (folder / CONFIG).is_file():
        read_config(folder)  # raises, and says what the folder is instead
    config, fault = _config(folder)
    files: list[FileState] = []
    if config:
        files += _answering(folder, config)
        files += _beside(folder, config)
    if not any(file.state == "faulty" for file in files):
        fault = fault or _whole_fault(folder)
    record = record_of(folder).name
    files.insert(0, _state(folder, record, "faulty" if fault else _sealed(config), fault))
    if record != CONFIG and config:  # it holds the content of the other
        files.insert(1, _state(folder, CONFIG, "faulty" if fault else _sealed(config)))
    known = {file.name for file in files} | {*OUR_FILES, LOCK}
    files += [_state(folder, name, "other") for name in _names(folder) if name not in known]
    return FolderState(str(folder), _facts(folder, config), tuple(files))


def _config(folder: Path) -> tuple[dict[str, Any], str]:
    """Content of `config.json` as far as it can be used, and what is wrong with it."""
    try:
        return read_config(folder), ""
    except ModelFolderError as error:
        fault = str(error)
    try:
        return read_config(folder, seals=False), fault
    except ModelFolderError as error:
        return {}, str(error)


def _whole_fault(folder: Path) -> str:
    """What is wrong with files that are all right one by one."""
    try:
        load_model(folder)
    except RegardError as error:
        return str(error)
    return ""


def _sealed(config: Mapping[str, Any]) -> State:
    return "whole" if config.get("format", 0) >= SEALED else "unsealed"


def _state(folder: Path, name: str, state: State, note: str = "") -> FileState:
    path = folder / name
    return FileState(name, path.stat().st_size if path.is_file() else None, state, note)


def _answering(folder: Path, config: Mapping[str, Any]) -> Iterator[FileState]:
    """Files that answers depend on."""
    theirs = [name for name in config.get(FILES, {}) if THEIR_CONFIG in config]
    for name in theirs:
        yield _judged(folder, name, config, partial(check_file, folder, name, config))
    for name in _TOKENIZERS:
        if name in config.get(FILES, {}) or (folder / name).is_file():
            yield _judged(folder, name, config, partial(_check_tokenizer, folder, name, config))
    yield _judged(folder, WEIGHTS_FILE, config, partial(_check_weights, folder, config))
    if (folder / RUN_FILE).is_file():
        check = partial(read_run, folder, belongs_to=config.get(IDENTITY, ""))
        yield _judged(folder, str(RUN_FILE), config, check)


def _judged(
    folder: Path, name: str, config: Mapping[str, Any], check: Callable[[], object]
) -> FileState:
    try:
        check()
    except RegardError as error:
        return _state(folder, name, "faulty", str(error))
    return _state(folder, name, _sealed(config))


def _check_tokenizer(folder: Path, name: str, config: Mapping[str, Any]) -> None:
    check_file(folder, name, config)
    Tokenizer.load(folder / name)


def _check_weights(folder: Path, config: Mapping[str, Any]) -> None:
    path = folder / WEIGHTS_FILE
    stored = read_tensors(path)
    check_owner(stored, path, config.get(IDENTITY, ""))
    if THEIR_CONFIG not in config:  # else loading the whole tells
        model = from_config(config["model"])
        check_layout(state_layout(model, tensors=len(stored.tensors)), stored.tensors, path)
    check_values(stored.tensors, path)


def _beside(folder: Path, config: Mapping[str, Any]) -> Iterator[FileState]:
    """Files that no answer depends on."""
    for name in RESULT_FILES:
        if name not in config.get(RESULTS, {}):
            if (folder / name).is_file():
                note = _card_note(folder) if name == CARD_FILE else ""
                yield _state(folder, name, "unsealed", note or "a finished run seals it")
            continue
        try:
            check_file(folder, name, config, key=RESULTS)
            yield _state(folder, name, "whole", _card_note(folder) if name == CARD_FILE else "")
        except ModelFolderError as error:
            own = name == CARD_FILE and (folder / name).is_file()
            edited: tuple[State, str] = ("edited", _card_note(folder))
            yield _state(folder, name, *(edited if own else ("faulty", str(error))))
    if (folder / TRUST).is_file():
        try:
            content, weights = (folder / TRUST).read_bytes(), weights_sha256(folder)
            about_these = read_findings(content, weights=weights, path=folder / TRUST) is not None
            note = "" if about_these else "about other weights: it is not shown"
            yield _state(folder, TRUST, "whole", note)
        except (ModelFolderError, OSError) as error:
            yield _state(folder, TRUST, "faulty", str(error))


def _card_note(folder: Path) -> str:
    """What to know of the model card: that it, and so its scores, is about other weights; else nothing."""
    named = weights_of_card((folder / CARD_FILE).read_text(encoding="utf-8", errors="replace"))
    if named is None or not (folder / WEIGHTS_FILE).is_file():
        return ""
    found = file_sha256(folder / WEIGHTS_FILE)
    if named == found:
        return ""
    return f"about other weights: it names {named[:12]}..., {WEIGHTS_FILE} is {found[:12]}..."


def _names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.is_file())


def _facts(folder: Path, config: Mapping[str, Any]) -> dict[str, Any]:
    if not config:
        return {}
    settings, labels = config["settings"], config.get("labels")
    facts = {
        "task": settings.get("task"),
        "kind": settings.get("kind"),
        "preset": settings.get("preset"),
        "labels": None if labels is None else len(labels),
        "tensors": None,
        "values": None,
        "version": config["regard"],
        "format": config["format"],
    }
    with suppress(ModelFolderError):  # which is told beside the file
        tensors = read_layout(folder / WEIGHTS_FILE).tensors
        facts |= {
            "tensors": len(tensors),
            "values": sum(t.numel() for t in {id(t): t for t in tensors.values()}.values()),
        }
    return facts


def seal_folder(folder: str | PathLike[str]) -> None:
    """Take the files of a folder as they are, and write their checksums anew.

    For changes by hand, and for folders that were written without checksums.

    Raises:
        RegardError: they are no model that could be loaded; nothing is written then.
    """
    folder = Path(folder)
    read_config(folder, seals=False)  # tells what is no model's folder
    with locked(folder, "check"):
        finish_replacing(folder)
        _seal(folder)


def _seal(folder: Path) -> None:
    config = read_config(folder, seals=False)
    load_model(folder, seals=False)
    before, judged = file_sha256(folder / WEIGHTS_FILE), _verdict(folder)
    results = [name for name in RESULT_FILES if (folder / name).is_file()]
    config = sealed_config(folder, {**config, RESULTS: dict.fromkeys(results)})
    for path in (folder / WEIGHTS_FILE, folder / RUN_FILE):
        if path.is_file():
            stored = read_tensors(path, seals=False)
            write_tensors(stored.tensors, path, stored.texts, belongs_to=config[IDENTITY])
    after = file_sha256(folder / WEIGHTS_FILE)
    if (folder / CARD_FILE).is_file():
        card = (folder / CARD_FILE).read_bytes()
        if before.encode() in card:  # about these weights, whose file is another now
            with atomic_write(folder / CARD_FILE) as unfinished:
                unfinished.write_bytes(card.replace(before.encode(), after.encode()))
    write_record(folder, sealed_config(folder, config))
    if judged.get("weights") == before:
        own = ("format", "weights", SEAL)
        verdict = {name: value for name, value in judged.items() if name not in own}
        write_verdict(folder, verdict, weights=after)


def _verdict(folder: Path) -> dict[str, Any]:
    """Content of the saved verdict, if it can be read."""
    try:
        return parse_json((folder / TRUST).read_bytes(), folder / TRUST, "")
    except (OSError, ModelFolderError):
        return {}
