"""A model as the workers of an engine get it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from regard.api.corpus.fingerprint import hash_of_network
from regard.api.load import load
from regard.api.tasks.model import Model
from regard.choices import Precision, Task
from regard.errors import InputError, RegardError
from regard.training.checkpoint import RUN_FILE

__all__ = ["ModelCopy"]

PROCESS_MEMORY = 700 * 2**20
"""Bytes of a worker without any model: Python, torch and what they bring along."""


@dataclass(frozen=True)
class ModelCopy:
    """A model by the name of its folder, or by its files where workers may not see that folder.

    Attributes:
        folder: where it was loaded from.
        task: what it was loaded for.
        fingerprint: hash of its weights; a worker takes no others.
        size: bytes of its files.
        precision: of the matrix products with which it answers.
        files: their content by name, empty if the folder is enough.
    """

    folder: str
    task: Task
    fingerprint: str
    size: int
    precision: Precision
    files: Mapping[str, bytes] = field(default_factory=dict, repr=False)

    @classmethod
    def of(cls, model: Model, *, files: bool) -> ModelCopy:
        """Copy of a loaded model.

        Args:
            model: as it was loaded or saved.
            files: whether its files must travel.

        Raises:
            InputError: it was never saved, so that a worker could not load it.
        """
        if model.folder is None:
            raise InputError(
                "this model was never saved, and workers load it from its folder; save it first: "
                "model.save(folder)"
            )
        found = dict(_files_of(model.folder))
        return cls(
            str(model.folder.resolve()),
            model.task,
            hash_of_network(model.network),
            sum(path.stat().st_size for path in found.values()),
            model.precision,
            {name: path.read_bytes() for name, path in found.items()} if files else {},
        )

    @property
    def memory(self) -> int:
        """Bytes that a worker with this model needs: its weights, once more while they are read."""
        return PROCESS_MEMORY + 2 * self.size

    def load(self) -> Model:
        """The model, in a worker.

        Raises:
            RegardError: the folder holds other weights by now.
        """
        if not self.files:
            return self._checked(load(self.folder, task=self.task))
        with TemporaryDirectory() as place:
            folder = Path(place) / Path(self.folder).name  # reports name a model by its folder
            for name, content in self.files.items():
                (folder / name).parent.mkdir(parents=True, exist_ok=True)
                (folder / name).write_bytes(content)
            return self._checked(load(folder, task=self.task))

    def _checked(self, model: Model) -> Model:
        if hash_of_network(model.network) != self.fingerprint:
            raise RegardError(
                f"{self.folder}: a worker loads other weights than this process has; save the model that is "
                "changed in memory (model.save), or wait until nobody writes to its folder"
            )
        model.answer_in(self.precision)
        return model


def _files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """Files of a model's folder, without the state of its training."""
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder)
        if path.is_file() and name != RUN_FILE:
            yield name.as_posix(), path
