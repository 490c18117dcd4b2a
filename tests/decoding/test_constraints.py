"""Constraints on the next token."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from regard.decoding.constraints import repeated_ngrams


@given(st.lists(st.integers(4, 6), max_size=9), st.integers(1, 4))
def test_repeated_ngrams_are_those_already_there(ids: list[int], size: int) -> None:
    banned = repeated_ngrams(torch.tensor([ids], dtype=torch.int64).view(1, -1), size, 7)[0]
    grams = {tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)}
    tail = ids[len(ids) - size + 1 :] if size > 1 else []
    for token in range(7):
        would = len(ids) >= size - 1 and (*tail, token) in grams
        assert bool(banned[token]) == would
