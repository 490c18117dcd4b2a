"""Folders with a folder for each label and a file for each text."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from regard.data.lines import decode_all
from regard.data.streams import opened
from regard.errors import DataError

__all__ = ["documents_in"]

_UNLABELLED = ("unsup", "unlabeled", "unlabelled")
"""Folders whose texts have no label, as in the IMDb reviews of Maas et al. (2011)."""


def documents_in(
    path: str, *, encoding: str, labelled: bool
) -> Iterator[tuple[str, str | None, str]]:
    """Yield `(file, label, text)` of every file in a folder, in the order of their names.

    Args:
        path: the folder.
        encoding: of the files.
        labelled: whether every file must lie in the folder of its label.

    Raises:
        DataError: folders inside those of the labels, or files beside them where labels are needed.
    """
    entries = [entry for entry in sorted(Path(path).iterdir()) if not entry.name.startswith(".")]
    folders = [entry for entry in entries if entry.is_dir()]
    if not entries:
        raise DataError("an empty folder", path=path)
    if labelled and not folders:
        raise DataError(
            "a folder of files, expected a folder for each label with its texts in it",
            path=path,
            remedy="name the files themselves, or sort them into folders",
        )
    loose = [] if labelled else [entry for entry in entries if entry.is_file()]
    for file in loose:
        yield str(file), None, _text(file, encoding)
    for folder in folders:
        files = [f for f in sorted(folder.iterdir()) if not f.name.startswith(".")]
        inner = next((file for file in files if file.is_dir()), None)
        if inner is not None:
            raise DataError(
                f"folders inside folders ({inner.relative_to(path)}), expected a folder for each label",
                path=path,
                remedy=f"name the folder that holds them, for instance {folder}",
            )
        label = None if folder.name in _UNLABELLED else folder.name
        for file in files:
            yield str(file), label, _text(file, encoding)


def _text(path: Path, encoding: str) -> str:
    """The whole text of a file."""
    with opened(path) as file:
        return decode_all(file, encoding).strip()
