"""A model and its memory to sequences: greedy, sampling, beam; batched and cached."""

from regard.decoding.hypothesis import Hypothesis, Listener, Reading, length_penalty
from regard.decoding.search import decode, generate, likeliest_next, search
from regard.decoding.settings import DecodingSettings
from regard.decoding.unknown import replace_unknown

__all__ = [
    "DecodingSettings",
    "Hypothesis",
    "Listener",
    "Reading",
    "decode",
    "generate",
    "length_penalty",
    "likeliest_next",
    "replace_unknown",
    "search",
]
