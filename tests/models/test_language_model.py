"""The language model: cached steps, and causality."""

from __future__ import annotations

import pytest
import torch

from regard.models import build, configure


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(1)


@pytest.mark.parametrize("key_heads", [None, 1])
def test_steps_and_prefill_against_one_pass(key_heads: int | None) -> None:
    settings = configure("lm", "tiny", size=13, width=16, heads=4, key_heads=key_heads)
    model = build(settings).double().eval()
    ids = torch.randint(4, 13, (3, 7))
    logits = model(ids, torch.tensor([7, 7, 7])).logits
    state = model.start(3)
    for t in range(3):
        found, state, weights = model.step(ids[:, t], state)
        torch.testing.assert_close(found, logits[:, t])
        assert weights.shape == (3, t + 1)
    torch.testing.assert_close(model.prefill(ids[:, 3:6], state).logits, logits[:, 5])


def test_neither_padding_nor_the_future_is_attended_to() -> None:
    model = build(configure("lm", "tiny", size=13)).eval()
    ids = torch.randint(4, 13, (2, 6))
    changed = ids.clone()
    changed[1, 4:] = 0
    lengths = torch.tensor([6, 4])
    before, after = model(ids, lengths).logits, model(changed, lengths).logits
    torch.testing.assert_close(before[0], after[0])
    torch.testing.assert_close(before[1, :4], after[1, :4])
