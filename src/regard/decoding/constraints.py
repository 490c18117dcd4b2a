"""What a sequence may say next."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.decoding.settings import DecodingSettings
from regard.models import Rows
from regard.text import BOS, EOS, PAD, UNK

__all__ = ["Rules", "repeated_ngrams"]


@dataclass(frozen=True)
class Rules(Rows):
    """Constraints on the next token, one row per sequence.

    Attributes:
        limit: `(rows)`, how many tokens may precede EOS.
        least: `(rows)`, how many must.
        prefix: `(rows, steps)`, tokens that must begin the sequence, `PAD` where it is free.
        settings: blocked n-grams and UNK.
    """

    limit: Tensor
    least: Tensor
    prefix: Tensor
    settings: DecodingSettings

    @classmethod
    def of(
        cls,
        settings: DecodingSettings,
        limit: Tensor,
        *,
        least: Tensor,
        prefix: Sequence[Sequence[int]] | None,
    ) -> Rules:
        """The rules of a batch; a sequence may always be as long as it must."""
        beginnings = [list(p) for p in prefix] if prefix else [[]] * len(limit)
        width = max(map(len, beginnings))
        forced = limit.new_tensor([p + [PAD] * (width - len(p)) for p in beginnings])
        given = limit.new_tensor([len(p) for p in beginnings])
        limit = torch.maximum(limit, torch.maximum(given, least))
        return cls(limit, least, forced.view(len(limit), width), settings)

    def apply(self, scores: Tensor, ids: Tensor) -> Tensor:
        """`scores` `(rows, vocab)` with -inf at what may not follow `ids` `(rows, steps)`; in place."""
        steps = ids.shape[1]
        forced = self._forced(steps)
        rows = forced.nonzero()[:, 0]
        kept = scores[rows, forced[rows]]
        scores[:, PAD] = scores[:, BOS] = -torch.inf
        if self.settings.block_unknown:
            scores[:, UNK] = -torch.inf
        if self.settings.block_ngrams:
            scores[repeated_ngrams(ids, self.settings.block_ngrams, scores.shape[1])] = -torch.inf
        scores[:, EOS].masked_fill_(steps < self.least, -torch.inf)
        if len(rows):
            scores[rows] = -torch.inf
            scores[rows, forced[rows]] = kept
        return scores

    def _forced(self, steps: int) -> Tensor:
        """`(rows)`: the one token that may follow `steps` tokens, `PAD` where there is a choice."""
        forced = torch.where(self.limit <= steps, EOS, PAD)
        if steps < self.prefix.shape[1]:
            forced = torch.where(self.prefix[:, steps] != PAD, self.prefix[:, steps], forced)
        return forced


def repeated_ngrams(ids: Tensor, size: int, vocab: int) -> Tensor:
    """`(rows, vocab)` Boolean: the tokens that would repeat an n-gram of `ids` (Paulus et al. 2018)."""
    banned = torch.zeros(len(ids), vocab, dtype=torch.bool, device=ids.device)
    steps = ids.shape[1]
    if steps < size:
        return banned
    grams = ids.unfold(1, size, 1)
    latest = ids[:, None, steps - size + 1 :]
    row, place = (grams[..., :-1] == latest).all(-1).nonzero(as_tuple=True)
    banned[row, grams[row, place, -1]] = True
    return banned
