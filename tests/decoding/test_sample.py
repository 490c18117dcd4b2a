"""Truncation of distributions, by hand."""

from __future__ import annotations

import torch

from regard.decoding.sample import truncated


def test_top_k_and_nucleus_by_hand() -> None:
    scores = torch.tensor([[0.1, 0.4, 0.3, 0.2]]).log()

    def kept(top_k: int, top_p: float) -> list[bool]:
        return truncated(scores, top_k, top_p)[0].isfinite().tolist()

    assert kept(0, 1.0) == [True, True, True, True]
    assert kept(2, 1.0) == [False, True, True, False]
    assert kept(9, 1.0) == [True, True, True, True]
    assert kept(0, 0.39) == [False, True, False, False]
    assert kept(0, 0.65) == [False, True, True, False]
    assert kept(0, 0.75) == [False, True, True, True]
    assert kept(1, 0.75) == [False, True, False, False]
