"""Folder of a run of `regard.fit`: who may write there, and what a resumed run must have in common."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from typing import Any

from regard.api.storage.folder import CONFIG
from regard.api.storage.lock import locked
from regard.api.storage.temporary import temporary_folder
from regard.errors import InputError, ModelFolderError, SettingsError
from regard.files import atomic_write
from regard.training import ProcessGroup
from regard.training.checkpoint import HISTORY_FILE, RUN_FILE, WEIGHTS_FILE
from regard.version import __version__

__all__ = ["SETTINGS_FILE", "open_run", "run_folder"]

SETTINGS_FILE = "fit.json"
"""Settings of the run, which a resumed run must have, too."""

_MAY_DIFFER = ("minutes", "save_seconds", "tensorboard")


@contextmanager
def run_folder(out: str | PathLike[str] | None, *, resume: bool, overwrite: bool) -> Iterator[Path]:
    """Context with the folder of the run, in which no other process writes."""
    if out is None:
        if resume:
            raise InputError("resume needs out=, the folder of the run to go on with")
        with temporary_folder("fit") as folder:
            yield folder
        return
    if resume and overwrite:
        raise InputError("resume goes on with a run, overwrite throws it away; choose one")
    folder = Path(out)
    if folder.is_file():
        raise InputError(f"{folder} is a file; give the name of a folder")
    if (folder / CONFIG).is_file():
        raise InputError(
            f"{folder} holds a model ({CONFIG}), whose weights a run of another module would replace; choose "
            "another out"
        )
    folder.mkdir(parents=True, exist_ok=True)
    if ProcessGroup().is_main:
        with locked(folder, "fit"):
            _make_room(folder, resume=resume, overwrite=overwrite)
            yield folder
    else:
        yield folder


def _make_room(folder: Path, *, resume: bool, overwrite: bool) -> None:
    """Delete the run in a folder if it is to be replaced.

    Raises:
        InputError: there is one, and nothing is said of it.
    """
    names = (WEIGHTS_FILE, HISTORY_FILE, SETTINGS_FILE, "history.png")
    held = [name for name in (*names, str(RUN_FILE)) if (folder / name).is_file()]
    if overwrite:
        for name in names:
            (folder / name).unlink(missing_ok=True)
        shutil.rmtree((folder / RUN_FILE).parent, ignore_errors=True)
    elif held and not resume:
        raise InputError(
            f"{folder} holds a run already ({held[0]}); resume=True goes on with it, overwrite=True replaces it"
        )


def open_run(folder: Path, facts: Mapping[str, Any], *, continues: bool) -> None:
    """Write what the run is begun with, or compare it with what a resumed run was begun with.

    Raises:
        SettingsError: a setting differs that changes the losses.
        InputError: the data has another number of batches.
    """
    path = folder / SETTINGS_FILE
    if not continues:
        with atomic_write(path) as unfinished:
            text = json.dumps({"regard": __version__, **facts}, indent=1)
            unfinished.write_text(text + "\n", encoding="utf-8")
        return
    try:
        before = json.loads(path.read_text(encoding="utf-8"))
        old, batches = dict(before["settings"]), int(before["batches"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ModelFolderError(
            f"{path}: not what a run is begun with ({error!r}); begin anew with overwrite=True"
        ) from error
    for name, value in facts["settings"].items():
        if old.get(name) != value and name not in _MAY_DIFFER:
            raise SettingsError(
                f"{folder} was begun with {name}={old.get(name)}, this is {name}={value}; go on with the same "
                "settings, or begin anew with overwrite=True"
            )
    if batches != facts["batches"]:
        raise InputError(
            f"{folder} was begun with {batches:,} batches in an epoch, these are {facts['batches']:,}; "
            "give the same data, or begin anew with overwrite=True"
        )
