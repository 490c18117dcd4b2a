"""Folders of models as they are when a server starts, kept in memory.

A server answers by one state of its models, also where a folder is damaged, replaced or deleted while it runs,
and where a worker is started again hours later. Small files are kept as bytes. Weights are copied once into
sealed files in memory (`memfd_create`), which all processes of the server map: they share its pages, nobody can
change or shorten it, and the system takes it back with the last process that has it open, however that ends.
"""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from os import PathLike
from pathlib import Path
from tempfile import TemporaryDirectory

from regard.api.load import load_mapped
from regard.api.storage.folder import read_config
from regard.api.storage.replacing import read_whole
from regard.api.tasks.model import Model
from regard.choices import Precision
from regard.errors import InputError, ModelFolderError
from regard.integrations.pretrained.folder import check_loadable, is_pretrained, weight_files
from regard.integrations.pretrained.hub import is_hub_name, local_folder
from regard.training.checkpoint import WEIGHTS_FILE

__all__ = ["Snapshot", "load_from", "snapshots_of"]

_LARGEST = 64 * 2**20
"""Bytes of the largest file beside the weights that is kept: a tokenizer has up to 20 MB."""

_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class Snapshot:
    """Files of one model, as they were at one time.

    Args:
        name: of the model, by which clients ask for it.
        source: folder that they were read from.

    Raises:
        ModelFolderError: no model there.

    Attributes:
        small: content of the files beside the weights.
        weights: open descriptors of the sealed files with the weights, by name.
    """

    def __init__(self, name: str, source: Path) -> None:
        self.name: str = name
        self.source: Path = source
        self.small: Mapping[str, bytes] = {}
        self.weights: Mapping[str, int] = {}
        read_whole(source, self._read)

    def _read(self) -> None:
        self.close()  # of an attempt in which the folder changed
        if is_pretrained(self.source):
            check_loadable(self.source)
            paths = weight_files(self.source)
        else:
            read_config(self.source)
            paths = [self.source / WEIGHTS_FILE]
        for path in filter(Path.is_file, paths):  # where one is missing, loading says so
            self.weights = {**self.weights, path.name: _sealed_copy(path, self.name)}
        self.small = {
            path.name: path.read_bytes()
            for path in self.source.iterdir()
            if path.is_file() and path.suffix != ".safetensors" and path.stat().st_size <= _LARGEST
        }

    @contextmanager
    def folder(self) -> Iterator[Path]:
        """Context with a folder of these files, in which the weights are links to the descriptors.

        A process that loads from it needs the descriptors under the same numbers.
        """
        with TemporaryDirectory(prefix="regard-serve-") as place:
            for name, content in self.small.items():
                Path(place, name).write_bytes(content)
            for name, descriptor in self.weights.items():
                Path(place, name).symlink_to(f"/proc/self/fd/{descriptor}")
            yield Path(place)

    def close(self) -> None:
        """Close the descriptors; what has been mapped stays."""
        for descriptor in self.weights.values():
            with suppress(OSError):
                os.close(descriptor)
        self.weights = {}


def snapshots_of(folders: Sequence[str | PathLike[str]]) -> list[Snapshot]:
    """Snapshots of model folders; the last part of the path, or of a name of the Hub, names a model.

    Raises:
        InputError: two of the same name.
        ModelFolderError: a folder without a model.
    """
    paths = [Path(f) if is_hub_name(f) else Path(f).resolve() for f in folders]
    names = [path.name for path in paths]
    twice = {name for name in names if names.count(name) > 1}
    if twice:
        raise InputError(f"two folders are called {min(twice)!r}; rename one")
    taken: list[Snapshot] = []
    try:
        for folder, path in zip(folders, paths, strict=True):
            place = local_folder(folder) if is_hub_name(folder) else path
            taken.append(Snapshot(path.name, place))
    except BaseException:
        for snapshot in taken:
            snapshot.close()
        raise
    return taken


def load_from(place: Path, source: Path, *, precision: Precision = "float32") -> Model:
    """Load a model from the folder of a snapshot.

    Args:
        place: the folder, from `Snapshot.folder`.
        source: that the snapshot was taken of; errors and the model name it.
        precision: of the matrix products with which it answers.

    Raises:
        ModelFolderError: the model is damaged.
        SettingsError: the model cannot answer in this precision.
    """
    try:
        model = load_mapped(place)
    except ModelFolderError as error:
        raise ModelFolderError(str(error).replace(str(place), str(source))) from error
    model.folder = source
    model.answer_in(precision)
    return model


def _sealed_copy(path: Path, name: str) -> int:
    """Descriptor of a sealed copy of a file in memory; its name is shown among the mappings of a process."""
    shown = f"{name}/{path.name}".encode()[-200:].decode(errors="ignore")
    descriptor = os.memfd_create(shown, os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    try:
        with open(path, "rb") as content, open(descriptor, "wb", closefd=False) as copy:
            shutil.copyfileobj(content, copy, 2**20)
        fcntl.fcntl(descriptor, fcntl.F_ADD_SEALS, _SEALS)
    except BaseException:
        os.close(descriptor)
        raise
    return descriptor
