"""Constraints on the next token: length, given prefix, repeated n-grams, UNK."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.decoding.settings import DecodingSettings
from regard.models import Batched
from regard.text import BOS, EOS, PAD, UNK

__all__ = ["Constraints", "repeated_ngrams"]


@dataclass(frozen=True)
class Constraints(Batched):
    """Constraints on the next token, one row per sequence.

    Attributes:
        max_length: `(rows)`, tokens before EOS at most.
        min_length: `(rows)`, tokens before EOS at least.
        prefix: `(rows, steps)`, tokens that the sequence must begin with, `PAD` where it is free.
        settings: blocked n-grams and UNK.
        last_dead_end: number of tokens from which on no sequence meets a dead end: the largest
            `min_length`, since a sequence of that length may end.
    """

    max_length: Tensor
    min_length: Tensor
    prefix: Tensor
    settings: DecodingSettings
    last_dead_end: int

    @classmethod
    def of(
        cls,
        settings: DecodingSettings,
        max_length: Tensor,
        *,
        min_length: Tensor,
        prefix: Sequence[Sequence[int]] | None,
    ) -> Constraints:
        """Make the constraints of a batch; `max_length` is raised to `min_length` and the prefix."""
        prefixes = [list(p) for p in prefix] if prefix else [[]] * len(max_length)
        width = max(map(len, prefixes))
        forced = max_length.new_tensor([p + [PAD] * (width - len(p)) for p in prefixes])
        given = max_length.new_tensor([len(p) for p in prefixes])
        max_length = torch.maximum(max_length, torch.maximum(given, min_length))
        return cls(
            max_length,
            min_length,
            forced.view(len(max_length), width),
            settings,
            int(min_length.max()),
        )

    def apply(self, scores: Tensor, ids: Tensor) -> Tensor:
        """Set the scores of forbidden tokens to -inf, in place.

        Args:
            scores: `(rows, vocab)`.
            ids: `(rows, steps)`, the tokens so far.
        """
        steps = ids.shape[1]
        forced = self._forced(steps)
        rows = forced.nonzero()[:, 0]
        # Saved before anything is forbidden: a forced token has its own score whatever else forbids it.
        kept = scores[rows, forced[rows]]
        scores[:, PAD] = scores[:, BOS] = -torch.inf
        if self.settings.block_unknown:
            scores[:, UNK] = -torch.inf
        if self.settings.block_ngrams:
            scores[repeated_ngrams(ids, self.settings.block_ngrams, scores.shape[1])] = -torch.inf
        scores[:, EOS].masked_fill_(steps < self.min_length, -torch.inf)
        if len(rows):
            scores[rows] = -torch.inf
            scores[rows, forced[rows]] = kept
        return scores

    def may_dead_end(self, ids: Tensor) -> bool:
        """Whether the constraints may have left some row of `ids` `(rows, steps)` no token, not even EOS."""
        return ids.shape[1] < self.last_dead_end

    def _forced(self, steps: int) -> Tensor:
        """`(rows)`: the only token that may follow `steps` tokens, `PAD` where there is a choice."""
        forced = torch.where(self.max_length <= steps, EOS, PAD)
        if steps < self.prefix.shape[1]:
            forced = torch.where(self.prefix[:, steps] != PAD, self.prefix[:, steps], forced)
        return forced


def repeated_ngrams(ids: Tensor, size: int, vocab: int) -> Tensor:
    """Find the tokens that would repeat an n-gram (Paulus et al. 2018).

    Args:
        ids: `(rows, steps)`, the tokens so far.
        size: n.
        vocab: size of the vocabulary.

    Returns:
        `(rows, vocab)` Boolean.
    """
    banned = torch.zeros(len(ids), vocab, dtype=torch.bool, device=ids.device)
    steps = ids.shape[1]
    if steps < size:
        return banned
    # An n-gram whose first n - 1 tokens are the latest ones forbids its last token.
    grams = ids.unfold(1, size, 1)
    latest = ids[:, None, steps - size + 1 :]
    row, start = (grams[..., :-1] == latest).all(-1).nonzero(as_tuple=True)
    banned[row, grams[row, start, -1]] = True
    return banned
