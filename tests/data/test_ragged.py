"""Token ids of a corpus, in memory or on disk, behind one interface."""

from __future__ import annotations

import numpy as np
import pytest

from regard.data import ragged
from regard.data.ragged import Ragged
from regard.errors import TrainingError

SEQUENCES = [[5, 6, 7], [], [8], [9, 10, 11, 12, 13], [14]]


@pytest.fixture(params=[2**26, 4, 0], ids=["memory", "disk", "disk at once"])
def limit(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> int:
    monkeypatch.setattr(ragged, "MAX_IN_MEMORY", request.param)
    limit: int = request.param
    return limit


def test_every_sequence_comes_back(limit: int) -> None:
    ids = Ragged(iter(SEQUENCES))
    assert len(ids) == 5
    assert ids.flat.dtype == np.int32
    assert [ids[i].tolist() for i in range(5)] == SEQUENCES
    assert (ids.flat.base is not None) == (limit < 9)  # a view of the mapped file
    padded, lengths = ids.pad([3, 1, 0])
    assert padded.dtype == np.int64
    assert padded.tolist() == [[9, 10, 11, 12, 13], [0] * 5, [5, 6, 7, 0, 0]]
    assert lengths.tolist() == [5, 0, 3]


def test_pairs_come_apart_in_one_pass(limit: int) -> None:
    rows = ((sequence, [*sequence[::-1], 4]) for sequence in SEQUENCES)
    left, right = Ragged.pairs(rows)
    assert [left[i].tolist() for i in range(5)] == SEQUENCES
    assert [right[i].tolist() for i in range(5)] == [[*s[::-1], 4] for s in SEQUENCES]


def test_nothing_at_all(limit: int) -> None:
    ids = Ragged([])
    assert len(ids) == 0
    assert ids.flat.size == 0


def test_a_full_disk_is_an_error_with_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    def full(**_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(ragged, "MAX_IN_MEMORY", 1)
    monkeypatch.setattr(ragged, "TemporaryFile", full)
    with pytest.raises(TrainingError, match=r"No space left on device.*TMPDIR"):
        Ragged(SEQUENCES)
