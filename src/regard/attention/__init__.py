"""Attention over arrays: every mechanism behind one function. Knows no text and no training.

>>> output, weights = attend(query, key, value, mask=causal())
"""

from regard.attention import masks, normalizers, positions, scores
from regard.attention.attend import attend
from regard.attention.map import AttentionMap
from regard.attention.masks import causal, documents, padding, window
from regard.attention.rollout import rollout
from regard.attention.worked import worked

__all__ = [
    "AttentionMap",
    "attend",
    "causal",
    "documents",
    "masks",
    "normalizers",
    "padding",
    "positions",
    "rollout",
    "scores",
    "window",
    "worked",
]
