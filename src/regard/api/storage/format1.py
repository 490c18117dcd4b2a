"""Reading of `config.json` of format 1, which earlier versions wrote: today's names for its settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["OLD_SETTING_NAMES", "from_format1"]

OLD_SETTING_NAMES: Mapping[str, Mapping[str, str]] = {
    "cnn": {"looks": "self_attention_heads", "peaks": "max_pooling"},
    "extractive": {"places": "max_positions"},
    "hierarchical": {"longest": "max_sentence_length"},
    "transformer-classifier": {"looks": "self_attention_heads"},
    "wide": {
        "leads": "lead_pairs",
        "letters": "alphabet_size",
        "margin": "loss",
        "most_ngrams": "max_ngrams",
        "share": "deep_weight",
        "skips": "skip_bigrams",
    },
}
"""By kind of model: the old name and the new one."""

_OLD_NAMES = {"several": "multilabel"}
"""Names at the top of the file that have changed."""


_OLD_DATA_NAMES = {"reading": "read_options"}
"""Names of facts about the data that have changed."""


def from_format1(config: Mapping[str, Any]) -> dict[str, Any]:
    """Content of a `config.json` of format 1 under today's names.

    Raises:
        KeyError: the content has no settings.
    """
    run = config["settings"]
    names = OLD_SETTING_NAMES.get(run["kind"], {})
    return {
        **_renamed(config, _OLD_NAMES),
        "data": _renamed(config["data"], _OLD_DATA_NAMES),
        "settings": {**run, "model": _renamed(run["model"], names)},
        "model": _renamed(config["model"], names),
    }


def _renamed(values: Mapping[str, Any], names: Mapping[str, str]) -> dict[str, Any]:
    return {names.get(name, name): value for name, value in values.items()}
