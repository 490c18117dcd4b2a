"""Attention over arrays: every mechanism behind one function, `attend`.

This package imports nothing of text, models, training or pictures.

>>> import numpy as np
>>> from regard.attention import attend, causal
>>> query, key, value = np.random.default_rng(0).standard_normal((3, 5, 8))
>>> output, weights = attend(query, key, value, mask=causal())
>>> output.shape, weights.shape
((5, 8), (5, 5))
"""

from regard.attention import masks, normalizers, positions, scores, statistics
from regard.attention.attend import attend
from regard.attention.check_report import CheckReport, Finding
from regard.attention.map import AttentionMap
from regard.attention.masks import causal, documents, padding, window
from regard.attention.rollout import rollout
from regard.attention.worked import worked

__all__ = [
    "AttentionMap",
    "CheckReport",
    "Finding",
    "attend",
    "causal",
    "documents",
    "masks",
    "normalizers",
    "padding",
    "positions",
    "rollout",
    "scores",
    "statistics",
    "window",
    "worked",
]
