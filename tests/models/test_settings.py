"""Settings: presets, errors that name the nearest, a round trip through JSON."""

from __future__ import annotations

import json
from typing import Any

import pytest

from regard.errors import SettingsError
from regard.models import KINDS, build, configure, from_config

SIZES: dict[str, dict[str, int]] = {
    "transformer": {"source_size": 11, "target_size": 13},
    "rnn": {"source_size": 11, "target_size": 13},
    "pointer": {"size": 11},
    "extractive": {"size": 11},
    "lm": {"size": 11},
}


@pytest.mark.parametrize("preset", ["tiny", "small", "base"])
@pytest.mark.parametrize("kind", SIZES)
def test_presets_survive_config_json(kind: str, preset: str) -> None:
    settings = configure(kind, preset, **SIZES[kind])
    again = from_config(json.loads(settings.model_dump_json()))
    assert again == settings
    assert KINDS[kind][0] is type(again)


@pytest.mark.parametrize("kind", SIZES)
def test_a_size_is_larger_than_the_one_before(kind: str) -> None:
    counts = [
        sum(p.numel() for p in build(configure(kind, preset, **SIZES[kind])).parameters())
        for preset in ("tiny", "small", "base")
    ]
    assert counts == sorted(set(counts))


@pytest.mark.parametrize(
    ("kind", "preset", "values", "message"),
    [
        ("transfomer", "tiny", {}, "no model kind 'transfomer'; did you mean 'transformer'"),
        ("rnn", "tinny", {}, "no preset 'tinny' for rnn; did you mean 'tiny'"),
        ("rnn", "tiny", {"droput": 0.1}, "rnn has no setting 'droput'; did you mean 'dropout'"),
        ("rnn", "tiny", {"dropout": 1.5}, "rnn setting dropout=1.5: .* less than 1"),
        ("rnn", "tiny", {"score": "addictive"}, "rnn setting score='addictive': .*'additive'"),
        (
            "transformer",
            "tiny",
            {"heads": 3},
            "width=128 does not divide by heads=3; try width=129",
        ),
        (
            "transformer",
            "tiny",
            {"joint": True},
            "source vocabulary has 11 rows and the target's 13",
        ),
        ("lm", "tiny", {"key_heads": 3}, "heads=4 does not divide by key_heads=3"),
    ],
)
def test_impossible_settings_are_refused_with_advice(
    kind: str, preset: str, values: dict[str, Any], message: str
) -> None:
    with pytest.raises(SettingsError, match=message):
        configure(kind, preset, **{**SIZES.get(kind, {}), **values})


def test_a_missing_size_is_named() -> None:
    with pytest.raises(SettingsError, match="lm needs the setting 'size'"):
        configure("lm")


def test_text_from_a_command_line_is_converted() -> None:
    settings = configure("rnn", "small", **SIZES["rnn"], width="64", input_feeding="false")
    assert (settings.width, settings.input_feeding) == (64, False)  # type: ignore[attr-defined]


def test_settings_are_frozen() -> None:
    settings = configure("lm", size=11)
    with pytest.raises(SettingsError, match="lm settings are frozen"):
        settings.size = 12  # type: ignore[attr-defined]
