"""Temporary folders of runs that keep nothing, and those that killed runs have left."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from regard.api.storage.folder import LOCK
from regard.api.storage.lock import locked
from regard.errors import RegardError

__all__ = ["temporary_folder"]

_PREFIXES = {"train": "regard-model-", "fit": "regard-fit-"}


@contextmanager
def temporary_folder(doing: str) -> Iterator[Path]:
    """Context with an empty folder that is deleted at its end.

    A process that is killed leaves its folder; whoever makes the next one deletes it, since its lock is stale.

    Args:
        doing: verb that writes there, `"train"` or `"fit"`.
    """
    _remove_abandoned()
    # Another run, which ends its search for abandoned folders as this one ends, may still look into it.
    temporary = tempfile.TemporaryDirectory(prefix=_PREFIXES[doing], ignore_cleanup_errors=True)
    with temporary as folder, locked(Path(folder), doing):
        place = Path(folder) / "model"
        place.mkdir()
        yield place


def _remove_abandoned() -> None:
    """Delete the folders of runs whose processes were killed."""
    for doing, prefix in _PREFIXES.items():
        for folder in Path(tempfile.gettempdir()).glob(f"{prefix}*"):
            with suppress(RegardError, OSError):  # it is in use, or somebody else's
                # Without a holder's name in it, the lock is about to be taken: the folder is being made.
                if (folder / LOCK).stat().st_size:
                    with locked(folder, doing):
                        shutil.rmtree(folder, ignore_errors=True)
