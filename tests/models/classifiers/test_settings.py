"""Settings of the classifiers that do not go together."""

from __future__ import annotations

import pytest

from regard.errors import SettingsError
from regard.models import configure


def test_impossible_settings_are_refused() -> None:
    with pytest.raises(SettingsError, match="self_attention_heads=3"):
        configure("transformer-classifier", size=9, labels=2, self_attention_heads=3)
    with pytest.raises(SettingsError, match="does not divide by self_attention_heads=4"):
        configure("cnn", size=9, labels=2, width=33, windows=(1,), self_attention_heads=4)
    with pytest.raises(SettingsError, match="labels"):
        configure("bigru", size=9, labels=1)
