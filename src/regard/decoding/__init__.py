"""Decoding of models into sequences: greedy, sampling and beam search, batched and cached."""

from regard.decoding.hypothesis import Hypothesis, OnDraft, Reading, length_penalty
from regard.decoding.search import decode, generate, next_log_probs, search
from regard.decoding.settings import DecodingSettings
from regard.decoding.unknown import replace_unknown

__all__ = [
    "DecodingSettings",
    "Hypothesis",
    "OnDraft",
    "Reading",
    "decode",
    "generate",
    "length_penalty",
    "next_log_probs",
    "replace_unknown",
    "search",
]
