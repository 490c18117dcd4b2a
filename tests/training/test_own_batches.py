"""Batches of any data: in parts for several processes, and from the middle of an epoch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import pytest
import torch
from torch import Tensor

from regard.errors import InputError
from regard.training.own_batches import OwnBatch, epochs_of, rows_of


class Pair(NamedTuple):
    x: Tensor
    names: list[str]


CONTENT = {"pair": Pair(torch.arange(10).view(5, 2), ["a"]), "scale": torch.tensor(2.0)}


def test_parts_hold_every_row_once() -> None:
    parts = [OwnBatch(CONTENT).part(rank, 3) for rank in range(3)]
    rows = [part.content["pair"].x[:, 0].tolist() for part in parts if part is not None]
    assert rows == [[0, 6], [2, 8], [4]]
    assert OwnBatch(CONTENT).part(5, 6) is None
    assert parts[0] is not None
    assert isinstance(parts[0].content["pair"], Pair)
    assert parts[0].content["scale"] == 2.0


def test_an_epoch_is_the_same_from_any_batch_on() -> None:
    data = torch.arange(20)[:, None], torch.arange(20)
    epochs = epochs_of(data, batch_size=3, seed=1, shuffled=True)
    whole = [batch.content[1].tolist() for batch in epochs(2)]
    assert len(whole) == len(epochs(2)) == 7
    assert sorted(row for batch in whole for row in batch) == list(range(20))
    assert [batch.content[1].tolist() for batch in epochs(2)[4:6]] == whole[4:6]
    assert [batch.content[1].tolist() for batch in epochs(3)] != whole


def test_data_that_shrinks_is_told() -> None:
    batches = [(torch.ones(2, 1), torch.ones(2))] * 3
    epoch = epochs_of(batches, batch_size=1, seed=1, shuffled=True)(0)
    assert rows_of(epoch[0].content) == 2
    batches.pop()
    with pytest.raises(InputError, match=r"gave 2 batches in this epoch, and 3 when"):
        epoch[2]


@dataclass(frozen=True)
class Texts:
    ids: Tensor
    name: str


def test_batches_that_are_dataclasses_move_to_a_device() -> None:
    batch = OwnBatch((Texts(torch.zeros(3, 2), "a"), {"labels": torch.zeros(3)}))
    texts, labels = batch.to(torch.device("meta")).content
    assert texts.ids.is_meta
    assert labels["labels"].is_meta
    assert texts.name == "a"
    assert rows_of(Texts(torch.zeros(3, 2), "a")) == 3
