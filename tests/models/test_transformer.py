"""The Transformer encoder-decoder, beside what its contract says."""

from __future__ import annotations

import pytest
import torch

from regard.errors import InputError
from regard.models import build, configure


def test_learned_positions_end_with_an_error() -> None:
    settings = configure(
        "transformer", "tiny", positions="learned", source_size=13, target_size=13, max_length=4
    )
    model = build(settings)
    with pytest.raises(InputError, match="a sequence of 5 tokens"):
        model.encode(torch.randint(4, 13, (1, 5)), torch.tensor([5]))
