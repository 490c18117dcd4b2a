"""Attention of a decoding step against `attend` on gathered keys."""

from __future__ import annotations

import torch
from torch import Tensor

from regard.attention import attend
from regard.attention.kernels.decoder_attention import attend_own, attend_source

HEADS, FEATURES, WIDTH = 3, 7, 21


def split(x: Tensor) -> Tensor:
    """`(rows, length, width)` to `(rows, heads, length, features)`."""
    return x.view(*x.shape[:2], HEADS, FEATURES).transpose(1, 2)


def test_self_attention_stores_and_attends() -> None:
    torch.manual_seed(0)
    memory = torch.randn(6, 9, 2 * WIDTH)
    projected, row_index = torch.randn(9, 3 * WIDTH), torch.randint(9, (9, 4))
    row_index[:, -1] = torch.arange(9)
    before = memory.clone()
    found = attend_own(projected, memory, row_index, HEADS, FEATURES**-0.5)
    assert torch.equal(memory[3], projected[:, WIDTH:])
    memory[3] = before[3]
    assert torch.equal(memory, before)
    memory[3] = projected[:, WIDTH:]
    gathered = memory[torch.arange(4), row_index]
    key, value = (split(x) for x in gathered.split(WIDTH, -1))
    expected, _ = attend(split(projected[:, None, :WIDTH]), key, value)
    torch.testing.assert_close(found, expected.transpose(1, 2).flatten(1))


def test_cross_attention_of_two_rows_an_example() -> None:
    torch.manual_seed(1)
    both, example = torch.randn(5, 18, 2 * WIDTH), torch.tensor([4, 0, 2])
    query, allowed = torch.randn(6, WIDTH), torch.rand(3, 18) > 0.4
    allowed[1] = False
    # What is masked may hold anything.
    both[example] = both[example].masked_fill(~allowed[..., None], torch.nan)
    key, value = (split(x) for x in both.split(WIDTH, -1))
    share, weights = torch.tensor([0.5, 0.0, 2.0]), torch.ones(6, 18)
    found = attend_source(query, key, value, example, allowed, share, weights, FEATURES**-0.5)
    rows = example.repeat_interleave(2)
    mask = allowed.repeat_interleave(2, 0)[:, None, None]
    expected, maps = attend(split(query[:, None]), key[rows], value[rows], mask=mask)
    torch.testing.assert_close(found, expected.transpose(1, 2).flatten(1))
    assert not found[2:4].any()
    summed = 1 + (maps.dense()[:, :, 0] * share[:, None]).sum(1)
    torch.testing.assert_close(weights, summed)


def test_a_nan_stays_in_its_row() -> None:
    projected, memory = torch.randn(3, 3 * WIDTH), torch.zeros(1, 3, 2 * WIDTH)
    projected[1, 0] = torch.nan
    found = attend_own(projected, memory, torch.arange(3)[:, None], HEADS, 1.0)
    assert found.isnan().view(3, HEADS, FEATURES).all(-1).tolist() == [
        [False] * 3,
        [True, False, False],
        [False] * 3,
    ]
