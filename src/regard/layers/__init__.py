"""torch modules that hold parameters around `regard.attend`."""

from regard.layers.bahdanau import BahdanauAttention
from regard.layers.cache import Cache
from regard.layers.dropout import Dropout
from regard.layers.luong import AttentionalVector, LocalM, LocalP, LuongAttention, LuongScore
from regard.layers.multihead import MultiHeadAttention
from regard.layers.pointer import PointerAttention, copy_distribution
from regard.layers.pooling import AttentionPooling
from regard.layers.positions import (
    ALiBiPositions,
    LearnedPositions,
    Positions,
    RelativePositions,
    RotaryPositions,
    SinusoidalPositions,
)
from regard.layers.single_head import SingleHeadAttention

__all__ = [
    "ALiBiPositions",
    "AttentionPooling",
    "AttentionalVector",
    "BahdanauAttention",
    "Cache",
    "Dropout",
    "LearnedPositions",
    "LocalM",
    "LocalP",
    "LuongAttention",
    "LuongScore",
    "MultiHeadAttention",
    "PointerAttention",
    "Positions",
    "RelativePositions",
    "RotaryPositions",
    "SingleHeadAttention",
    "SinusoidalPositions",
    "copy_distribution",
]
