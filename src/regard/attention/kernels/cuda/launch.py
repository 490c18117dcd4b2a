"""Memory and tiles around the Triton kernels: what `fused/cpu.py` is to a processor, for an NVIDIA GPU.

Torch keeps memory and order there, and Triton compiles: a second or so for each kind of tile, kept on
disk. The backward pass is made of torch's own products, a few rows at a time.
"""

# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
import triton
from torch import Tensor

from regard.attention import random
from regard.attention.arrays import grouped_matmul, split_rows
from regard.attention.kernels import limits
from regard.attention.kernels.cuda import triton_kernels
from regard.attention.kernels.fused.arguments import (
    BackwardCall,
    CallArrays,
    CallSettings,
    ForwardCall,
    Requested,
)
from regard.attention.kernels.fused.partition import block_edges
from regard.attention.kernels.fused.tile import INFINITE_SCORE, LN2
from regard.attention.kernels.statistics import Statistic
from regard.attention.problem import Problem
from regard.attention.scores import DotScore

__all__ = ["attend", "backward", "fits"]

KINDS = torch.float32, torch.bfloat16, torch.float16


def fits(problem: Problem, statistics: tuple[Statistic, ...]) -> bool:
    """What a processor's kernel can, but for additive scores, wide heads and long lists; and float16."""
    query, value = problem.query, problem.value
    return (
        query.dtype in KINDS
        and isinstance(problem.score, DotScore)
        and max(query.shape[-1], value.shape[-1]) <= limits.CUDA_MAX_FEATURES
        and all(
            name != "topk" or numbers[0] <= limits.CUDA_MAX_TOPK for name, *numbers in statistics
        )
        and torch.version.cuda is not None
        and tuple(map(int, triton.__version__.split(".")[:2])) >= limits.CUDA_MIN_TRITON
        and torch.cuda.get_device_capability(query.device) >= limits.CUDA_MIN_CAPABILITY
    )


def attend(given: ForwardCall) -> tuple[Tensor, ...]:
    """Output and statistics, in the order of `arguments.Results`.

    Args:
        given: tensors in one of `KINDS`, without a vector: additive scores go tile by tile.
    """
    arrays, settings, requested = given
    call = _make_call(arrays, settings)
    with torch.cuda.device_of(call.query):
        output, lse, entropy, listed = _forward(call, settings, requested)
        sums, maxima, received = _pooled(call, lse, settings.first_row, requested)
    return output, lse, entropy, *_unpack(listed, lse, requested.top), sums, maxima, received


class Shape(NamedTuple):
    """Of a tile: so many numbers that registers hold them (`tests` look at what the compiler says)."""

    rows: int
    columns: int
    warps: int
    stages: int


def _shape(width: int, size: int) -> Shape:
    """For numbers of `size` bytes; products of float32 are made without tensor cores, of registers."""
    if size == 2:
        return Shape(64, 64, 4, 3) if width <= 64 else Shape(64, 32, 8, 2)
    return Shape(64, 32, 8, 2) if width <= 64 else Shape(32, 32, 8, 1)


@dataclass(frozen=True)
class Call:
    """What both passes take."""

    query: Tensor
    key: Tensor
    value: Tensor
    low: Tensor
    high: Tensor
    allowed: Tensor
    bias: Tensor
    scale: float
    masked: bool
    biased: bool

    @property
    def pairs(self) -> int:
        """Heads of all examples."""
        return self.query.shape[0] * self.query.shape[1]

    @property
    def group(self) -> int:
        """Query heads that share a key head."""
        return self.query.shape[1] // self.key.shape[1]

    @property
    def shape(self) -> Shape:
        """Of its tiles."""
        width = max(self.query.shape[3], self.value.shape[3])
        return _shape(_width(width), self.query.element_size())


def _make_call(arrays: CallArrays, settings: CallSettings) -> Call:
    """Features side by side, masks seen at full size, something harmless for what is not given."""
    query, key, value, low, high, _, allowed, bias = arrays
    whole = (*query.shape[:3], key.shape[2])
    query, key, value = (
        x if x.stride(-1) == 1 or not x.shape[-1] else x.contiguous()
        for x in (query.detach(), key.detach(), value.detach())
    )
    low, high = (end.expand(whole[:3]) for end in (low, high))
    nothing = query.new_zeros((1, 1, 1, 1), dtype=torch.float32).expand(whole)
    return Call(
        query, key, value, low, high,
        nothing if allowed is None else allowed.expand(whole).view(torch.uint8),
        nothing if bias is None else bias.detach().float().expand(whole),
        settings.scale / LN2, allowed is not None, bias is not None,
    )  # fmt: skip


def _forward(
    call: Call, settings: CallSettings, requested: Requested
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Output, lse, entropy and the entries of the largest scores."""
    dropout, seed = settings.dropout, settings.seed
    batch, heads, queries, features = call.query.shape
    keys, values = call.key.shape[2], call.value.shape[3]
    by_row, shape = (batch, heads, queries), call.shape
    words = torch.zeros(1, 1, dtype=torch.int32, device=call.query.device)
    row_keys, column_keys = words, words
    if dropout:
        at = np.arange(settings.first_row, settings.first_row + queries)
        row_keys = _words(random.row_keys(seed, np.arange(call.pairs), at), words)
        column_keys = _words(random.column_keys(seed, np.arange(keys)), words)
    output = call.query.new_empty((*by_row, values))
    lse = call.query.new_empty(by_row, dtype=torch.float64)
    entropy = lse.new_empty((*by_row[:2], queries if requested.entropy else 0), dtype=torch.float32)
    places = triton.next_power_of_2(requested.top) if requested.top else 0
    listed = lse.new_empty((*by_row, places), dtype=torch.int64)
    row_tiles = -(-queries // shape.rows)
    triton_kernels.forward[(call.pairs * row_tiles,)](
        call.query, call.key, call.value, call.low, call.high, call.bias, call.allowed,
        row_keys, column_keys, output, lse, entropy, listed,
        call.query.stride(), call.key.stride(), call.value.stride(), call.low.stride(),
        call.high.stride(), call.bias.stride(), call.allowed.stride(),
        call.scale, random.drop_threshold(dropout), 1 / (1 - dropout), heads, call.group,
        queries, keys, features, values, row_tiles,
        ROWS=shape.rows, COLUMNS=shape.columns, FEATURES=_width(features),
        VALUES=_width(values) if values else 0, TOP=places, BIAS=call.biased,
        ALLOWED=call.masked, DROPOUT=dropout > 0, ENTROPY=requested.entropy,
        num_warps=shape.warps, num_stages=shape.stages,
    )  # fmt: skip
    return output, lse, entropy, listed


def _pooled(
    call: Call, lse: Tensor, first_row: int, requested: Requested
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums and maxima of the parts of blocks that the operator promises, and received mass."""
    batch, heads, queries, features = call.query.shape
    keys, pool = call.key.shape[2], requested.key_block > 0
    received = lse.new_empty((batch, heads, keys if requested.received else 0), dtype=torch.float32)
    if not (pool or requested.received):
        nothing = lse.new_empty((2, batch, heads, 0, 0), dtype=torch.float32)
        return nothing[0], nothing[1], received
    shape = call.shape
    edges = block_edges(first_row, queries, keys, requested.query_block, requested.key_block)
    down, across = _slot_layout(edges.query, shape.rows), _slot_layout(edges.key, shape.columns)
    sizes = (batch, heads, down.parts if pool else 0, across.parts if pool else 0)
    sums, maxima = (lse.new_zeros(sizes, dtype=torch.float32) for _ in range(2))
    triton_kernels.pooled[(call.pairs * across.tiles,)](
        call.query, call.key, call.low, call.high, call.bias, call.allowed, lse,
        down.edges_on(lse.device), across.edges_on(lse.device), received, sums, maxima,
        call.query.stride(), call.key.stride(), call.low.stride(), call.high.stride(),
        call.bias.stride(), call.allowed.stride(), call.scale, heads, call.group,
        queries, keys, features, down.bands, across.bands, down.tiles, across.tiles,
        ROWS=down.size, COLUMNS=across.size, FEATURES=_width(features),
        ROW_BAND=down.slots, KEY_BAND=across.slots,
        ROW_PART=min(down.slots, down.size), KEY_PART=min(across.slots, across.size),
        BIAS=call.biased, ALLOWED=call.masked, RECEIVED=requested.received, POOL=pool,
        num_warps=shape.warps, num_stages=shape.stages,
    )  # fmt: skip
    if pool:
        sums, maxima = (
            across.gather(down.gather(x, 2, how), 3, how)
            for x, how in ((sums, torch.sum), (maxima, torch.amax))
        )
    return sums, maxima, received


@dataclass(frozen=True)
class Layout:
    """How an axis lies in tiles: each band of positions in `slots` of its own.

    Attributes:
        edges: where bands begin, and the end.
        size: slots of a tile, a power of two.
        slots: of a band: a power of two that tiles hold whole, or several tiles.
    """

    edges: np.ndarray
    size: int
    slots: int

    @property
    def bands(self) -> int:
        """How many there are."""
        return len(self.edges) - 1

    @property
    def tiles(self) -> int:
        """Likewise."""
        return -(-self.bands * self.slots // self.size)

    @property
    def parts(self) -> int:
        """Pieces of bands in all tiles, empty ones included."""
        return self.tiles * self.size // min(self.slots, self.size)

    def edges_on(self, device: torch.device) -> Tensor:
        """The edges as the kernel takes them."""
        return torch.from_numpy(self.edges.astype(np.int32)).to(device)

    def gather(self, parts: Tensor, axis: int, how: Callable[..., Tensor]) -> Tensor:
        """One number for each band, from those of its parts."""
        if self.slots > self.size:
            return how(parts.unflatten(axis, (self.bands, -1)), axis + 1)
        return parts.narrow(axis, 0, self.bands)


def _slot_layout(edges: np.ndarray, size: int) -> Layout:
    """Tiles of `size` slots, or of 32 where bands would leave more than a quarter of them empty."""
    longest = int(np.diff(edges).max())
    if 2 * longest <= size:
        return Layout(edges, size, triton.next_power_of_2(longest))
    if 4 * -(-longest // size) * size > 5 * longest:
        size = min(size, 32)
    return Layout(edges, size, -(-longest // size) * size)


def _width(features: int) -> int:
    """Features of a tile: a power of two that a product takes."""
    return max(16, int(triton.next_power_of_2(features)))


def _words(keys: np.ndarray, like: Tensor) -> Tensor:
    return torch.from_numpy(keys.view(np.int32)).to(like.device)


def _unpack(listed: Tensor, lse: Tensor, top: int) -> tuple[Tensor, Tensor]:
    """Weights and places of the largest, from entries in no order; see `triton_kernels._entries`."""
    listed = listed.sort(-1, descending=True).values[..., :top]
    ordered = (listed >> 32).to(torch.int32)
    scores = (ordered ^ ((ordered >> 31) & 0x7FFFFFFF)).view(torch.float32).double()
    unseen = (ordered == torch.iinfo(torch.int32).min) | (scores == -torch.inf)
    unseen &= ~lse.isnan()[..., None]
    weights = (scores * LN2 - lse[..., None]).exp()
    return weights.masked_fill(unseen, 0.0).float(), 0xFFFFFFFF - (listed & 0xFFFFFFFF)


def backward(given: BackwardCall) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of query, key, value (and of no direction), some rows of the matrix at a time.

    With `P = exp(s - lse)` and the gradient `g` of the output::

        ds = P * (dropped(g v^T) + constant + slope * log P)
        dq = scale ds k        dk = scale ds^T q        dv = dropped(P)^T g
    """
    query, key, value, low, high, _, allowed, bias = given.arrays
    scale, dropout, seed, first_row = given.settings
    arrived, lse, constant, slope = given.rows
    batch, heads, queries, _ = query.shape
    keys, group, kind = key.shape[2], heads // key.shape[1], query.dtype
    query, key, value, arrived = (x.float() for x in (query, key, value, arrived))
    of_query, of_key, of_value = (torch.zeros_like(x) for x in (query, key, value))
    places, largest = torch.arange(keys, device=query.device), float(INFINITE_SCORE) * LN2
    low, high = (end.expand(-1, -1, queries)[..., None] for end in (low, high))
    for rows in split_rows(queries, 4 * batch * heads * keys, limits.CUDA_BACKWARD_BYTES):
        q, g = query[:, :, rows], arrived[:, :, rows]
        scores = scale * grouped_matmul(q, key.mT)
        if bias is not None:
            part = bias if bias.shape[2] == 1 else bias[:, :, rows]
            scores = (scores + part).clamp_max(largest)
        seen = (places >= low[:, :, rows]) & (places < high[:, :, rows])
        if allowed is not None:
            seen = seen & (allowed if allowed.shape[2] == 1 else allowed[:, :, rows])
        logs = (
            (scores.double() - lse[:, :, rows, None]).float().clamp_min(limits.CUDA_MIN_LOG_WEIGHT)
        )
        weights = logs.exp().masked_fill(~seen, 0.0)
        kept, flow = weights, grouped_matmul(g, value.mT)
        if dropout:
            at = range(first_row + rows.start, first_row + rows.stop)
            keep = random.dropout_mask(
                seed, range(batch * heads), at, range(keys), rate=dropout, like=q
            )
            keep = keep.reshape(weights.shape) / (1 - dropout)
            kept, flow = weights * keep, flow * keep
        flow += constant[:, :, rows, None] + slope[:, :, rows, None] * logs
        flow = (scale * weights * flow).masked_fill(~seen, 0.0)
        of_query[:, :, rows] = grouped_matmul(flow, key)
        of_key += _by_group(flow, q, group)
        of_value += _by_group(kept, g, group)
    return of_query.to(kind), of_key.to(kind), of_value.to(kind), query.new_empty(0)


def _by_group(weights: Tensor, x: Tensor, group: int) -> Tensor:
    """`weights^T x`, added up over the query heads that share a key head."""
    weights, x = (y.unflatten(1, (-1, group)).flatten(2, 3) for y in (weights, x))
    return weights.mT @ x
