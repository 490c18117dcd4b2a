"""Batches of a user's own: of a DataLoader, a dataset, or any iterable, in an order that can be repeated."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, is_dataclass, replace
from typing import Any, Self, TypeAlias, overload

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, IterableDataset, TensorDataset

from regard.errors import InputError
from regard.layers.nested import tensors_in

__all__ = ["OwnBatch", "OwnBatches", "OwnEpoch", "epochs_of", "rows_of"]

OwnBatches: TypeAlias = (
    DataLoader[Any]
    | Dataset[Any]
    | tuple[Tensor, ...]
    | Iterable[Any]
    | Callable[[int], Iterable[Any]]
)
"""Data to train on; see `epochs_of`."""


@dataclass(frozen=True, slots=True)
class OwnBatch:
    """A batch as the user's data gave it.

    Args:
        content: tensors in tuples, lists and mappings, and whatever else.
    """

    content: Any

    def part(self, rank: int, count: int) -> Self | None:
        """Take every `count`-th row of every tensor from `rank` on; `None` if there is none."""
        if count == 1:
            return self
        if rank >= rows_of(self.content):
            return None
        return type(self)(_mapped(self.content, lambda tensor: tensor[rank::count]))

    def to(self, device: torch.device) -> Self:
        """Move every tensor to a device."""
        return type(self)(
            _mapped(self.content, lambda tensor: tensor.to(device, non_blocking=True))
        )


def rows_of(content: Any) -> int:
    """Number of examples in a batch: the length of its first tensor.

    Raises:
        InputError: it holds no tensor with an axis.
    """
    for tensor in tensors_in(content):
        if tensor.ndim:
            return len(tensor)
    raise InputError(
        f"a batch of type {type(content).__name__} holds no tensor; expected tensors in tuples, lists or "
        "dictionaries, the first axis being the examples"
    )


class OwnEpoch(Sequence[OwnBatch]):
    """The batches of one epoch, read once from front to back as they are asked for.

    Before each batch is read, the random numbers of torch, NumPy and Python are seeded by its position, so
    that a run that goes on in the middle of an epoch reads what it would have read.

    Args:
        source: makes an iterator over the batches.
        length: number of batches.
        seed: of the epoch.
    """

    def __init__(self, source: Callable[[], Iterator[Any]], length: int, seed: str) -> None:
        self._source, self._length, self._seed = source, length, seed
        self._rest: Iterator[Any] | None = None
        self._next = 0

    def __len__(self) -> int:
        return self._length

    @overload
    def __getitem__(self, index: int) -> OwnBatch: ...
    @overload
    def __getitem__(self, index: slice) -> list[OwnBatch]: ...
    def __getitem__(self, index: int | slice) -> OwnBatch | list[OwnBatch]:
        if isinstance(index, slice):
            return [self._read(number) for number in range(self._length)[index]]
        return self._read(range(self._length)[index])

    def _read(self, number: int) -> OwnBatch:
        if self._rest is None or number < self._next:
            with _seeded(self._seed):
                self._rest = self._source()
            self._next = 0
        while True:
            with _seeded(f"{self._seed} {self._next}"):
                try:
                    content = next(self._rest)
                except StopIteration:
                    raise InputError(
                        f"the data gave {self._next} batches in this epoch, and {self._length} when they were "
                        "counted; it must give as many each time"
                    ) from None
            self._next += 1
            if self._next == number + 1:
                return OwnBatch(content)


def epochs_of(
    data: OwnBatches, *, batch_size: int, seed: int, shuffled: bool
) -> Callable[[int], OwnEpoch]:
    """Batches of any data by epoch, equal for equal epochs.

    Args:
        data: a `DataLoader`, whose order is drawn by its own sampler, seeded for each epoch; a `Dataset` with a
            length, or a tuple of tensors with one row per example; an iterable of batches that can be read
            again; or a function from the number of the epoch, from 0, to one.
        batch_size: examples in a batch of a dataset or of tensors.
        seed: of the order.
        shuffled: whether a dataset or tensors are shuffled for each epoch.

    Raises:
        InputError: a generator, which can be read only once; no batches; another type.
    """
    if isinstance(data, tuple) and data and all(isinstance(each, Tensor) for each in data):
        data = TensorDataset(*data)
    if isinstance(data, Dataset) and not isinstance(data, IterableDataset):
        data = DataLoader(data, batch_size=batch_size, shuffle=shuffled)
    if isinstance(data, Iterator):
        raise InputError(
            f"a {type(data).__name__} can be read only once, and every epoch reads the data anew; give a list, "
            "a DataLoader, or a function that makes it from the number of the epoch"
        )
    if not callable(data) and not isinstance(data, Iterable):
        raise InputError(
            f"cannot train on a {type(data).__name__}; expected a DataLoader, a Dataset, a tuple of tensors, "
            "an iterable of batches, or a function from the number of an epoch to one"
        )
    counted: dict[int, int] = {}

    def epoch(number: int) -> OwnEpoch:
        place = number if callable(data) else 0
        name = f"{seed} {number}"

        def source() -> Iterator[Any]:
            if isinstance(data, DataLoader) and isinstance(data.generator, torch.Generator):
                data.generator.manual_seed(_number(name))
            found = data(number) if callable(data) else data
            if not isinstance(found, Iterable):
                raise InputError(
                    f"the function of the epoch returned a {type(found).__name__}; expected batches"
                )
            return iter(found)

        if place not in counted:
            counted[place] = _count(data, source, name)
        return OwnEpoch(source, counted[place], name)

    return epoch


def _count(data: Any, source: Callable[[], Iterator[Any]], name: str) -> int:
    """Number of batches; those of data without a length are read once to be counted."""
    try:
        count = len(data)
    except TypeError:
        with _seeded(name):
            count = sum(1 for _ in source())
    if not count:
        raise InputError(f"there are no batches in this {type(data).__name__}")
    return count


@contextmanager
def _seeded(name: str) -> Iterator[None]:
    """Context with random numbers of its own; those of NumPy and Python go on afterwards as if it had not been.

    Those of torch are seeded anew by each update anyhow.
    """
    number = _number(name)
    python, numpy = random.getstate(), np.random.get_state()
    random.seed(number)
    np.random.seed(number)
    torch.manual_seed(number)
    try:
        yield
    finally:
        random.setstate(python)
        np.random.set_state(numpy)


def _number(name: str) -> int:
    return zlib.crc32(name.encode())


def _mapped(value: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The value with every tensor with an axis changed."""
    if isinstance(value, Tensor):
        return change(value) if value.ndim else value
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return type(value)(*(_mapped(item, change) for item in value))
    if isinstance(value, list | tuple):
        return type(value)(_mapped(item, change) for item in value)
    if isinstance(value, Mapping):
        changed = {name: _mapped(item, change) for name, item in value.items()}
        rebuild: Any = type(value)
        return rebuild(changed)
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value,
            **{item.name: _mapped(getattr(value, item.name), change) for item in fields(value)},
        )
    return value
