"""Token ids of a corpus, in memory or on the disk: nobody can tell which."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from regard.errors import TrainingError
from regard.training import Ragged, ragged

SEQUENCES = [[5, 6, 7], [], [8], [9, 10, 11, 12, 13], [14]]


@pytest.fixture(params=[2**26, 4, 0], ids=["memory", "disk", "disk at once"])
def room(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(ragged, "IN_MEMORY", request.param)
    return request.param


def test_every_sequence_comes_back(room: int) -> None:
    ids = Ragged(iter(SEQUENCES))
    assert len(ids) == 5
    assert ids.flat.dtype == np.int32
    assert [ids[i].tolist() for i in range(5)] == SEQUENCES
    assert (ids.flat.base is not None) == (room < 9)  # a view of the mapped file
    padded, lengths = ids.pad([3, 1, 0])
    expected = torch.tensor([[9, 10, 11, 12, 13], [0] * 5, [5, 6, 7, 0, 0]])
    torch.testing.assert_close(padded, expected)
    assert lengths.tolist() == [5, 0, 3]


def test_pairs_come_apart_in_one_pass(room: int) -> None:
    rows = ((sequence, [*sequence[::-1], 4]) for sequence in SEQUENCES)
    left, right = Ragged.pairs(rows)
    assert [left[i].tolist() for i in range(5)] == SEQUENCES
    assert [right[i].tolist() for i in range(5)] == [[*s[::-1], 4] for s in SEQUENCES]


def test_nothing_at_all(room: int) -> None:
    ids = Ragged([])
    assert len(ids) == 0
    assert ids.flat.size == 0


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ragged, "IN_MEMORY", 1)
    monkeypatch.setattr(ragged, "TemporaryFile", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*TMPDIR"):
        Ragged(SEQUENCES)
