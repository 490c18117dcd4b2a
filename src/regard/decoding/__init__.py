"""A model and its memory to sequences: greedy, sampling, beam; batched and cached."""

from regard.decoding.hypothesis import Hypothesis
from regard.decoding.search import decode, generate, search
from regard.decoding.settings import DecodingSettings

__all__ = ["DecodingSettings", "Hypothesis", "decode", "generate", "search"]
