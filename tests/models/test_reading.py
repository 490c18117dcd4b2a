"""The two steps at which cross-attention is read."""

from __future__ import annotations

from regard.models import READINGS, describe_reading


def test_each_reading_has_its_own_words() -> None:
    assert [describe_reading(reading).split()[-1] for reading in READINGS] == [*READINGS]
