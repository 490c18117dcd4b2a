"""Attention as learners write it, right and with one fault: the same small modules, told apart by `fault`.

The faults are those of five published introductions, and their neighbours. `fault=""` is right.
"""

from __future__ import annotations

import math

import torch
from torch import nn
from torch.nn import functional as F


class Alignment(nn.Module):
    """Additive attention of one decoder state over the states of an encoder."""

    def __init__(self, width=16, fault="", layers=False):
        super().__init__()
        self.fault, self.layers = fault, layers
        self.of_query = nn.Linear(width, width)
        self.of_key = nn.Linear(width, width)
        self.score = nn.Linear(width, 1)

    def forward(self, hidden, encoder_outputs, mask=None):
        if self.layers:
            hidden = hidden[0 if self.fault == "wrong-layer" else -1]
        query, keys = self.of_query(hidden)[:, None], self.of_key(encoder_outputs)
        both = query * 0 + keys if self.fault == "query-ignored" else query + keys
        if self.fault == "cancels":
            scores = self.score(both)  # linear: the query is one constant for all keys
        elif self.fault == "key-ignored":
            scores = self.score(torch.tanh(query + keys.detach().mean() * 0)).expand(
                -1, keys.shape[1], 1
            )
            scores = scores * torch.arange(keys.shape[1])[:, None]
        else:
            scores = self.score(torch.tanh(both))
        if self.fault == "inverted":
            mask = None if mask is None else ~mask
        if mask is not None and self.fault != "mask-ignored":
            if self.fault == "added":
                scores = scores + mask[..., None].float()
            elif self.fault == "zero score":
                scores = scores.masked_fill(~mask[..., None], 0)
            elif self.fault == "overflow":
                scores = scores.masked_fill(~mask[..., None], -1e9)
            elif self.fault != "after softmax":
                scores = scores.masked_fill(~mask[..., None], -math.inf)
        axis = {"one key": 2, "batch": 0}.get(self.fault, 1)
        weights = torch.softmax(scores, axis)
        if mask is not None and self.fault == "after softmax":
            weights = weights * mask[..., None]
        if self.fault not in ("nan",):
            weights = weights.nan_to_num()
        weighted = weights * encoder_outputs
        if self.fault == "not-summed":
            return weighted, weights[..., 0]
        if self.fault == "detached":
            weighted = weights.detach() * encoder_outputs.detach() + 0 * encoder_outputs
        return weighted.sum(1), weights[..., 0]


class Pooling(nn.Module):
    """A weighted mean of a sequence, without a query."""

    def __init__(self, width=16, fault=""):
        super().__init__()
        self.fault = fault
        self.inner, self.score = nn.Linear(width, 8), nn.Linear(8, 1, bias=False)

    def forward(self, x, mask=None):
        scores = self.score(torch.tanh(self.inner(x)))
        if mask is not None and self.fault != "mask-ignored":
            scores = scores.masked_fill(~mask[:, :, None], -torch.inf)
        weights = F.softmax(scores, dim={"one key": -1, "batch": 0}.get(self.fault, 1))
        weights = torch.nan_to_num(weights)
        if self.fault == "not-summed":
            return x * weights
        if self.fault == "mean":
            return (x * weights).sum(1) + x.mean(1)
        return (x * weights).sum(1)


class Classifier(nn.Module):
    """Word vectors, a recurrent network of both directions, pooling and classes."""

    def __init__(self, width=16, fault=""):
        super().__init__()
        self.embedding = nn.Embedding(40, width, padding_idx=0)
        self.gru = nn.GRU(width, width // 2, batch_first=True, bidirectional=True)
        self.pooling, self.classes = Pooling(width), nn.Linear(width, 4)
        self.fault = fault

    def forward(self, ids):
        mask = None if self.fault == "padding" else ids != 0
        vectors = self.embedding(ids)
        if self.fault == "recurrent":
            vectors, _ = self.gru(vectors)  # the backward direction begins in the padding
        return self.classes(self.pooling(vectors, mask)).softmax(-1)


class SelfAttention(nn.Module):
    """Attention of a sequence to itself, with heads."""

    def __init__(self, width=16, heads=2, fault="", causal=False, fused=False):
        super().__init__()
        self.width, self.heads, self.fault, self.causal, self.fused = (
            width,
            heads,
            fault,
            causal,
            fused,
        )
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.out = nn.Linear(width, width)

    def split(self, x):
        batch, length, _ = x.shape
        if self.fault == "view":
            return x.view(batch, self.heads, length, -1)
        if self.fault == "among heads":
            return x.view(batch, length, self.heads, -1)
        return x.view(batch, length, self.heads, -1).transpose(1, 2)

    def join(self, x, batch, length):
        if self.fault in ("view", "join", "among heads"):
            return x.reshape(batch, length, self.width)
        return x.transpose(1, 2).reshape(batch, length, self.width)

    def scores(self, query, key, mask):
        scores = query @ key.mT
        if self.fault != "no scale":
            scores = scores / math.sqrt(query.shape[-1])
        length = scores.shape[-1]
        if self.causal:
            allowed = torch.ones(length, scores.shape[-2], dtype=torch.bool)
            allowed = {
                "triu": allowed.triu(), "one ahead": allowed.tril(1), "no causal": allowed,
            }.get(self.fault, allowed.tril())  # fmt: skip
            scores = scores.masked_fill(~allowed, -torch.inf)
        if mask is not None:
            mask = mask[:, None, :, None] if self.fault == "on queries" else mask[:, None, None, :]
            low = torch.finfo(scores.dtype).min if self.fault == "on queries" else -torch.inf
            scores = scores.masked_fill(~mask, low)
        return scores

    def forward(self, x, mask=None):
        batch, length, _ = x.shape
        query, key, value = (self.split(f(x)) for f in (self.query, self.key, self.value))
        if self.fused:
            allowed = None if mask is None else mask[:, None, None, :]
            mixed = F.scaled_dot_product_attention(query, key, value, attn_mask=allowed)
            return self.out(self.join(mixed, batch, length))
        axis = {"over queries": -2, "over heads": 1, "over batch": 0}.get(self.fault, -1)
        weights = self.scores(query, key, mask).softmax(axis)
        if self.fault != "nan":
            weights = weights.nan_to_num()
        if self.fault == "random":
            weights = F.dropout(weights, 0.5)
        return self.out(self.join(weights @ value, batch, length))


class Heads(nn.Module):
    """Attention of queries to keys and values, which returns its weights."""

    def __init__(self, width=16, heads=2, fault="", dropout=0.5):
        super().__init__()
        self.heads, self.fault = heads, fault
        self.query, self.key, self.value = (nn.Linear(width, width) for _ in range(3))
        self.dropout = nn.Dropout(dropout)

    def forward(self, query, key, value, mask=None):
        batch, length, width = query.shape
        if self.fault == "in place":
            query *= 2
        query, key, value = self.query(query), self.key(key), self.value(value)
        if self.fault == "detached":
            query = query.detach()
        query, key, value = (
            x.view(batch, -1, self.heads, width // self.heads).transpose(1, 2)
            for x in (query, key, value)
        )
        scores = torch.einsum("bhqd,bhkd->bhqk", query, key) / (width // self.heads) ** 0.5
        if mask is not None:
            scores = scores.masked_fill(mask[:, None, None, :] == 0, torch.finfo(scores.dtype).min)
        if self.fault == "sigmoid":
            weights = scores.sigmoid()
        else:
            weights = scores.softmax(-2 if self.fault == "over queries" else -1)
        dropped = self.dropout(weights)
        mixed = (dropped @ value).transpose(1, 2).reshape(batch, length, width)
        return mixed, dropped if self.fault == "dropped" else weights


class Decoder(nn.Module):
    """Source and target ids to the logits of the target, by teacher forcing."""

    def __init__(self, width=16, fault=""):
        super().__init__()
        self.embedding = nn.Embedding(40, width)
        self.encoder = nn.GRU(width, width, batch_first=True)
        self.decoder = nn.GRU(width, width, batch_first=True)
        self.attention, self.out = Heads(width), nn.Linear(2 * width, 40)
        self.fault = fault

    def forward(self, source, target):
        memory, last = self.encoder(self.embedding(source))
        given = target if self.fault == "not shifted" else F.pad(target[:, :-1], (1, 0), value=1)
        states, _ = self.decoder(self.embedding(given), last)
        context, _ = self.attention(states, memory, memory)
        return self.out(torch.cat([states, context], -1))
