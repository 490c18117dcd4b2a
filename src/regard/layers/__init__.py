"""torch modules that hold parameters around `regard.attend`."""

from regard.layers.multihead import Cache, MultiHeadAttention
from regard.layers.positions import (
    ALiBiPositions,
    LearnedPositions,
    Positions,
    RelativePositions,
    RotaryPositions,
    SinusoidalPositions,
)

__all__ = [
    "ALiBiPositions",
    "Cache",
    "LearnedPositions",
    "MultiHeadAttention",
    "Positions",
    "RelativePositions",
    "RotaryPositions",
    "SinusoidalPositions",
]
