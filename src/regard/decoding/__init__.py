"""A model and its memory to sequences: greedy, sampling, beam; batched and cached."""

from regard.decoding.hypothesis import Hypothesis, length_penalty
from regard.decoding.search import decode, generate, search
from regard.decoding.settings import DecodingSettings
from regard.decoding.unknown import replace_unknown

__all__ = [
    "DecodingSettings",
    "Hypothesis",
    "decode",
    "generate",
    "length_penalty",
    "replace_unknown",
    "search",
]
