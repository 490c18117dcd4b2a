"""Batches, and their parts for several processes."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from regard.training import Batch, Epoch


def batch_of(*values: float) -> Batch:
    ones = torch.ones(len(values), dtype=torch.int64)
    return Batch(torch.tensor(values), ones, None, ones)


def test_parts_of_a_batch_are_all_of_it() -> None:
    whole = batch_of(1.0, 2.0, 3.0, 4.0, 5.0)
    parts = [whole.part(rank, 3) for rank in range(3)]
    assert [part and part.source.tolist() for part in parts] == [[1.0, 4.0], [2.0, 5.0], [3.0]]
    assert batch_of(1.0).part(1, 2) is None


def test_an_epoch_makes_its_batches_when_they_are_indexed() -> None:
    made: list[list[int]] = []

    def make(indices: Sequence[int]) -> Batch:
        made.append([*indices])
        return batch_of(*map(float, indices))

    epoch = Epoch([[0, 1], [2], [3, 4]], make)
    assert (len(epoch), made) == (3, [])
    assert epoch[1].source.tolist() == [2.0]
    assert [batch.source.tolist() for batch in epoch[1:]] == [[2.0], [3.0, 4.0]]
    assert made == [[2], [2], [3, 4]]
