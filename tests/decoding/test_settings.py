"""Settings of decoding that cannot be used."""

from __future__ import annotations

from typing import Any

import pytest

from regard.decoding import DecodingSettings
from regard.errors import SettingsError


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"bem": 4}, "decoding has no setting 'bem'; did you mean 'beam'"),
        ({"beam": 0}, "^decoding setting beam=0: expected at least 1$"),
        ({"beam": 2, "n_best": 3}, "n_best=3 of beam=2; try beam=3"),
        ({"method": "greedy", "n_best": 2}, "greedy decoding has one answer"),
        ({"min_length": 5, "max_length": 4}, "min_length=5 exceeds max_length=4"),
        ({"top_p": 0.0}, "decoding setting top_p=0.0"),
    ],
)
def test_impossible_settings_are_refused_with_advice(values: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=message):
        DecodingSettings(**values)
