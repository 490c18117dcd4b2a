"""Attention written out in many ways, each with the weights that it computes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[Tensor, Tensor]
"""Output `(batch, length, heads, features)` and weights `(batch, heads, queries, keys)`."""
Written = Callable[[Tensor, Tensor, Tensor, Callable[[Tensor], Tensor]], Pair]
"""From query, key and value, `(batch, length, heads, features)`, and dropout."""


def scores(q: Tensor, k: Tensor) -> Tensor:
    return torch.einsum("bihd,bjhd->bhij", q, k) / q.shape[-1] ** 0.5


def by_einsum(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    w = scores(q, k).softmax(-1)
    return torch.einsum("bhij,bjhd->bihd", drop(w), v), w


def keys_in_the_middle(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    w = torch.einsum("bihd,bjhd->bijh", q, k).softmax(2)
    return torch.einsum("bijh,bjhd->bihd", drop(w), v), w.permute(0, 3, 1, 2)


def keys_first(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    w = torch.einsum("bihd,bjhd->jibh", q, k).softmax(0)
    return torch.einsum("jibh,bjhd->bihd", drop(w), v), w.permute(2, 3, 1, 0)


def weights_on_the_right(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    w = torch.einsum("bihd,bjhd->bhji", q, k).softmax(-2)
    out = v.permute(0, 2, 3, 1) @ drop(w)
    return out.permute(0, 3, 1, 2), w.mT


def heads_in_the_batch(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    b, length, h, _ = q.shape
    q, k, v = (x.transpose(1, 2).reshape(b * h, length, -1) for x in (q, k, v))
    causal = torch.ones(length, length, dtype=torch.bool).triu(1)
    w = torch.bmm(q, k.mT).masked_fill(causal, -1e9).softmax(-1)
    out = torch.bmm(drop(w), v).view(b, h, length, -1).transpose(1, 2)
    return out, w.view(b, h, length, length)


def heads_before_the_batch(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    b, length, h, _ = q.shape
    q, k, v = (x.permute(2, 0, 1, 3).contiguous().view(h * b, length, -1) for x in (q, k, v))
    w = torch.bmm(q, k.mT).softmax(-1)
    out = torch.bmm(drop(w), v).view(h, b, length, -1).permute(1, 2, 0, 3)
    return out, w.view(h, b, length, length).transpose(0, 1)


def heads_joined_by_cat(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    b, length, h, _ = q.shape
    q, k, v = (torch.cat(x.reshape(b, length, -1).chunk(h, -1), 0) for x in (q, k, v))
    w = torch.bmm(q, k.mT).softmax(-1)
    out = torch.stack(torch.bmm(drop(w), v).chunk(h, 0), 2)
    return out, w.view(h, b, length, length).transpose(0, 1)


def one_head_at_a_time(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    w = scores(q, k).softmax(-1)
    dropped = drop(w)
    return torch.stack([dropped[:, h] @ v[:, :, h] for h in range(w.shape[1])], 2), w


def some_rows_at_a_time(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    w = scores(q, k).softmax(-1)
    rows = [drop(w[:, :, i : i + 2]) @ v.transpose(1, 2) for i in range(0, w.shape[2], 2)]
    return torch.cat(rows, 2).transpose(1, 2), w


def with_a_sink(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    sink = torch.zeros(*q.shape[:1], q.shape[2], q.shape[1], 1)
    w = torch.cat([scores(q, k), sink], -1).softmax(-1)[..., :-1]
    return (drop(w) @ v.transpose(1, 2)).transpose(1, 2), w


def by_exp(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    e = (scores(q, k) - scores(q, k).amax(-1, keepdim=True)).exp()
    w = e / e.sum(-1, keepdim=True)
    return (drop(w) @ v.transpose(1, 2)).transpose(1, 2), w


def by_log_softmax(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    w = functional.log_softmax(scores(q, k), -1).exp()
    return (drop(w) @ v.transpose(1, 2)).transpose(1, 2), w


def by_logsumexp(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    s = scores(q, k)
    w = (s - s.logsumexp(-1, keepdim=True)).exp()
    return (drop(w) @ v.transpose(1, 2)).transpose(1, 2), w


def by_a_sum(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    w = scores(q, k).softmax(-1)
    out = (drop(w)[..., None] * v.transpose(1, 2)[:, :, None]).sum(-2)
    return out.transpose(1, 2), w


def masked_afterwards(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    w = scores(q, k).softmax(-1).masked_fill(torch.eye(q.shape[1], dtype=torch.bool), 0)
    return (drop(w) @ v.transpose(1, 2)).transpose(1, 2), w


def in_half_precision(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    w = scores(q, k).softmax(-1).to(torch.bfloat16)
    out = (w @ v.transpose(1, 2).to(torch.bfloat16)).float()
    return out.transpose(1, 2), w.float()


def fused(q: Tensor, k: Tensor, v: Tensor, drop: Any) -> Pair:
    hidden = torch.ones(q.shape[1], q.shape[1], dtype=torch.bool).triu(1)
    w = scores(q, k).masked_fill(hidden, -torch.inf).softmax(-1)
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    out = functional.scaled_dot_product_attention(q, k, v, is_causal=True)
    return out.transpose(1, 2), w


WAYS: dict[str, Written] = {
    written.__name__: written
    for written in (
        *(by_einsum, keys_in_the_middle, keys_first, weights_on_the_right, heads_in_the_batch),
        *(heads_before_the_batch, heads_joined_by_cat, one_head_at_a_time, some_rows_at_a_time),
        *(with_a_sink, by_exp, by_log_softmax, by_logsumexp, by_a_sum, masked_afterwards),
        *(in_half_precision, fused),
    )
}


class Attention(nn.Module):
    """Multi-head self-attention that keeps its weights as `truth`."""

    def __init__(self, written: Written, heads: int = 2, width: int = 8, dropout: float = 0.3):
        super().__init__()
        self.written, self.num_heads = written, heads
        self.query, self.key, self.value, self.out = (nn.Linear(width, width) for _ in range(4))
        self.dropout = nn.Dropout(dropout)
        self.truth = torch.zeros(0)

    def forward(self, x: Tensor) -> Tensor:
        batch, length, width = x.shape
        q, k, v = (
            layer(x).view(batch, length, self.num_heads, -1)
            for layer in (self.query, self.key, self.value)
        )
        output, weights = self.written(q, k, v, self.dropout)
        self.truth = weights.detach()
        return self.out(output.reshape(batch, length, width))


class Network(nn.Module):
    """Two layers of attention, a mixture of experts behind a router, and a classifier."""

    def __init__(self, written: Written, **sizes: Any) -> None:
        super().__init__()
        self.attentions = [Attention(written, **sizes) for _ in range(2)]
        self.layers = nn.ModuleList(self.attentions)
        width = self.attentions[0].query.in_features
        self.gate, self.head = nn.Linear(width, 3), nn.Linear(width, 4)

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = x + layer(x)
        experts = torch.stack([x, 2 * x, x.tanh()], 2)
        x = torch.einsum("ble,bled->bld", self.gate(x).softmax(-1), experts)
        return self.head(x.mean(1)).softmax(-1)
