"""Dropout with cheap random numbers on a processor."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn

__all__ = ["Dropout"]

LEVELS = 2**16
"""Number of distinguishable rates: 16 random bits decide about each element."""


class Dropout(nn.Dropout):
    """`nn.Dropout` (Srivastava et al. 2014), ten times faster on a processor.

    On a processor torch draws one Mersenne-Twister number for each element, which takes a fifth of a
    small Transformer's training. This module draws 16 bits for each element from SFC64, seeded by torch's
    generator, so `torch.manual_seed` makes it reproducible. `p` is rounded to the nearest 1/65536, and
    the elements kept are scaled by `1 / (1 - p)` of the rounded `p`.
    """

    def forward(self, input: Tensor) -> Tensor:
        """`input`; in training, each element is zeroed with probability `p`, and the others scaled up."""
        if not self.training:
            return input
        dropped = round(self.p * LEVELS)
        if not 0 < dropped < LEVELS or input.device.type != "cpu":
            return super().forward(input)
        seed = int(torch.randint(2**63 - 1, ()))
        words = np.random.SFC64(seed).random_raw(-(-input.numel() // 4))
        bits = np.asarray(words).view(np.uint16)[: input.numel()]
        kept = torch.from_numpy(bits >= dropped).view(input.shape)
        return input * kept.to(input.dtype).mul_(LEVELS / (LEVELS - dropped))
