"""The two steps at which cross-attention is read."""

from __future__ import annotations

import pytest

from regard.errors import InputError
from regard.models import READINGS, Reading, describe_reading


def test_each_reading_has_its_own_words() -> None:
    assert [describe_reading(reading).split()[-1] for reading in READINGS] == [*READINGS]


def test_the_step_that_writes_a_token_is_the_default() -> None:
    assert READINGS[0] == "output"


def test_another_reading_is_refused() -> None:
    step: Reading = "outputs"  # type: ignore[assignment]
    with pytest.raises(InputError, match="reading 'outputs'; expected 'output'"):
        describe_reading(step)
