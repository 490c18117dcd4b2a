"""Ids of a pretrained vocabulary behind our four special ones.

Everything of ours that knows ids (padding, decoding, erasure of tokens) counts on PAD, UNK, BOS and EOS being 0
to 3. Pretrained vocabularies have them anywhere, twice or not at all, so their id `i` is our `4 + i`, and
our four stand for theirs. The network translates back.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from regard.text import BOS, EOS, PAD, SPECIALS, UNK

__all__ = ["Vocabulary"]

SHIFT = len(SPECIALS)


@dataclass(frozen=True)
class Vocabulary:
    """What a model of transformers calls our four special ids.

    Attributes:
        size: number of its ids, as many as the model has embeddings or logits.
        pad: its padding; `None` where it has none, since padding is masked and any id will do.
        unknown: its unknown token; `None` where every text can be spelled.
        begin: what stands for BOS: the token a decoder starts from; of a model that reads, the mark
            between the two texts of a pair.
        ends: ids that end a text; the first stands for EOS.

    >>> words = Vocabulary(size=9, pad=0, unknown=None, begin=1, ends=(2,))
    >>> words.ours([7, 2]), words.theirs(torch.tensor([2, 11, 3, 0])).tolist()
    ([11, 3], [1, 7, 2, 0])
    """

    size: int
    pad: int | None
    unknown: int | None
    begin: int | None
    ends: tuple[int, ...] = ()

    def __len__(self) -> int:
        return SHIFT + self.size

    def ours(self, ids: Sequence[int]) -> list[int]:
        """Our ids for theirs."""
        named = dict.fromkeys(self.ends[:1], EOS)
        if self.unknown is not None:
            named.setdefault(self.unknown, UNK)
        return [named.get(index, index + SHIFT) for index in ids]

    def theirs(self, ids: Tensor) -> Tensor:
        """Their ids for ours, of any shape."""
        named = [self.pad, self.unknown, self.begin, self.ends[0] if self.ends else None]
        special = ids.new_tensor([0 if index is None else index for index in named])
        return torch.where(ids < SHIFT, special[ids.clamp(max=SHIFT - 1)], ids - SHIFT)

    def logits(self, theirs: Tensor) -> Tensor:
        """Logits `(..., SHIFT + size)` over our ids.

        The token of each of our four ids has its logit there, and -inf at its own; several ends share EOS, by
        the sum of their probabilities. PAD and BOS are never written (`decoding/constraints.py`), so neither
        is what stands for them, unless it ends a text.
        """
        found = theirs.new_full((*theirs.shape[:-1], SHIFT + theirs.shape[-1]), -torch.inf)
        found[..., SHIFT:] = theirs
        if self.ends:
            ends = list(self.ends)
            found[..., EOS] = theirs[..., ends].logsumexp(-1) if ends[1:] else theirs[..., ends[0]]
            found[..., [SHIFT + index for index in ends]] = -torch.inf
        for special, index in ((UNK, self.unknown), (PAD, self.pad), (BOS, self.begin)):
            if index is not None and index not in self.ends:
                found[..., special] = found[..., SHIFT + index]
                found[..., SHIFT + index] = -torch.inf
        return found
