"""Names of model settings in `config.json` of format 1, where they differ from today's."""

from __future__ import annotations

from collections.abc import Mapping

__all__ = ["OLD_SETTING_NAMES"]

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
