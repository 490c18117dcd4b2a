"""Keras 3 layers of every attention here, on the torch, JAX and TensorFlow backends.

They take what Keras's own layers take and return what those return: change `keras.layers.` to `regard.keras.`
and a program runs on. Where they differ, `docs/keras.md` says so.
"""

from regard.keras import installed as installed  # first: it says what is missing
from regard.keras.attention import AdditiveAttention, Attention, ScoreMode
from regard.keras.luong import Local, LuongAttention, LuongScore
from regard.keras.multi_head import GroupedQueryAttention, MultiHeadAttention
from regard.keras.pooling import AttentionPooling
from regard.keras.record import Words, record

__all__ = [
    "AdditiveAttention",
    "Attention",
    "AttentionPooling",
    "GroupedQueryAttention",
    "Local",
    "LuongAttention",
    "LuongScore",
    "MultiHeadAttention",
    "ScoreMode",
    "Words",
    "record",
]
