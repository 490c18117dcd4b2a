"""Results of rows of the matrix over some of their keys, and how those of several blocks become one.

Softmax over all keys is softmax over each block, times the share that the block has of the row's sum: with
`lse_b` the log-sum-exp of the scores of block `b`::

    lse     = log sum_b exp lse_b
    share_b = exp(lse_b - lse)
    output  = sum_b share_b output_b
    entropy = sum_b share_b (entropy_b - log share_b)             (the grouping property of entropy)
    topk    = the largest of share_b topk_b

A sink is one more logit of a row and no key, so that it enters once, after all blocks, as a block of no output
whose share is no term of the entropy.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

__all__ = ["PartialRows", "RowTotals"]

FILLER = -1.0
"""In place of a weight: fewer keys were seen than are listed. Every weight is above."""


class PartialRows(NamedTuple):
    """Results of the rows of a block.

    Attributes:
        output: `(batch, heads, queries, values)`, of the weights that sum to 1 within the block.
        lse: `(batch, heads, queries)` float64, natural; -inf where a query sees none of the keys, NaN where
            its weights are NaN.
        entropy: `(batch, heads, queries)`, in nats.
        max_score: `(batch, heads, queries)`, the largest score; -inf where a query sees none of the keys.
        top_weights: `(batch, heads, queries, k)`, the largest weights.
        top_keys: `(batch, heads, queries, k)` int64, their keys in the whole sequence.
    """

    output: Tensor
    lse: Tensor
    entropy: Tensor
    max_score: Tensor
    top_weights: Tensor
    top_keys: Tensor


class RowTotals:
    """Results of rows over all the blocks that were added.

    Args:
        shape: batch, heads and queries.
        values: width of the output.
        top: length of the lists of largest weights.
        like: a tensor of the type and on the device of the results.

    Attributes:
        output: `(batch, heads, queries, values)`, of the type of `like`.
        lse: `(batch, heads, queries)` float64.
        entropy: `(batch, heads, queries)` float64.
        max_score: `(batch, heads, queries)`, of the type of `like`.
    """

    def __init__(self, shape: tuple[int, int, int], values: int, top: int, like: Tensor) -> None:
        self.output: Tensor = like.new_zeros((*shape, values))
        self.lse: Tensor = like.new_full(shape, -math.inf, dtype=torch.float64)
        self.entropy: Tensor = torch.zeros_like(self.lse)
        self.max_score: Tensor = like.new_full(shape, -math.inf)
        self._weights = like.new_full((*shape, top), FILLER)
        self._keys = torch.zeros_like(self._weights, dtype=torch.int64)

    def add(self, part: PartialRows) -> None:
        """Take in one block; the order of blocks changes nothing but rounding."""
        lse = torch.logaddexp(self.lse, part.lse)
        before, new = _share(self.lse, lse), _share(part.lse, lse)
        self.output.mul_(before[..., None])
        self.output.addcmul_(
            part.output.to(self.output.dtype), new[..., None].to(self.output.dtype)
        )
        self.entropy = (
            before * self.entropy + new * part.entropy + _surprise(before) + _surprise(new)
        )
        self.lse = lse
        self.max_score = torch.maximum(self.max_score, part.max_score.to(self.max_score.dtype))
        if self._weights.shape[-1]:
            self._merge_top(part, before, new)

    def add_sink(self, sink: Tensor) -> None:
        """Take in the sink of a softmax, after all blocks.

        Args:
            sink: `(batch or 1, heads or 1, 1)` float64.
        """
        lse = torch.logaddexp(self.lse, sink)
        keys = _share(self.lse, lse)
        self.output.mul_(keys[..., None])
        self.entropy = keys * self.entropy + _surprise(keys)
        self._weights = _scaled(self._weights, keys)
        self.lse = lse

    def _merge_top(self, part: PartialRows, before: Tensor, new: Tensor) -> None:
        count = self._weights.shape[-1]
        weights = torch.cat(
            [
                _scaled(self._weights, before),
                _scaled(part.top_weights.to(self._weights.dtype), new),
            ],
            -1,
        )
        keys = torch.cat([self._keys, part.top_keys], -1)
        # Among equal weights the first key comes first, in whatever order the blocks came.
        order = keys.argsort(dim=-1, stable=True)
        weights, keys = weights.gather(-1, order), keys.gather(-1, order)
        order = weights.argsort(dim=-1, descending=True, stable=True)[..., :count]
        self._weights, self._keys = weights.gather(-1, order), keys.gather(-1, order)

    def topk(self) -> tuple[Tensor, Tensor]:
        """Weights in descending order, and their keys.

        A list that is longer than the keys a query sees ends in keys of weight 0, the first that are not in
        it, as the lists of one process do.
        """
        short = (self._weights == FILLER).any(-1)
        if bool(short.any()):
            self._weights[short], self._keys[short] = _filled(
                self._weights[short], self._keys[short]
            )
        return self._weights, self._keys


def _share(part: Tensor, whole: Tensor) -> Tensor:
    """`exp(part - whole)`; 0 for a block of which a query sees nothing."""
    return torch.where(
        part == -math.inf, torch.where(whole.isnan(), whole, 0.0), (part - whole).exp()
    )


def _surprise(share: Tensor) -> Tensor:
    """`-share log share`; 0 at 0."""
    return -share * share.where(share != 0, 1.0).log()


def _scaled(weights: Tensor, share: Tensor) -> Tensor:
    scaled = weights * share[..., None].to(weights.dtype)
    return torch.where((weights > 0) | weights.isnan() | share.isnan()[..., None], scaled, FILLER)


def _filled(weights: Tensor, keys: Tensor) -> tuple[Tensor, Tensor]:
    """Lists `(rows, k)` whose fillers are the first keys that are not in them."""
    count = weights.shape[-1]
    spare = torch.arange(count, device=keys.device)
    listed = ((keys[:, :, None] == spare) & (weights != FILLER)[:, :, None]).any(1)
    # The first `count` keys hold enough that are not listed: at most `count - fillers` are.
    order = listed.to(torch.int8).argsort(dim=-1, stable=True)
    is_filler = weights == FILLER
    rank = (is_filler.cumsum(-1) - 1).clamp(min=0)
    found = order.gather(-1, rank)
    return weights.where(~is_filler, 0.0), torch.where(is_filler, found, keys)
