"""Memory and tiles around the Triton kernels: what `fused/cpu.py` is to a processor, for an NVIDIA GPU.

torch allocates and orders the calls, and Triton compiles: a second or so for each kind of tile, kept on
disk. The backward pass is made of torch's own products, a few rows of the matrix at a time.
"""
# mypy: disable-error-code="no-untyped-call"
# Launching a kernel takes options (`num_warps`, `num_stages`) that its Python signature does not name.
# pyright: reportCallIssue=false

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
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
from regard.attention.kernels.fused.partition import split_edges
from regard.attention.kernels.fused.tile import INFINITE_SCORE, LN2, LOWEST_BIAS
from regard.attention.kernels.statistics import NamedStatistic
from regard.attention.problem import Problem
from regard.attention.scores import dot_factor, uncapped

__all__ = ["SlotLayout", "attend", "backward", "fits", "slot_layout"]

DTYPES = torch.float32, torch.bfloat16, torch.float16


def fits(problem: Problem, statistics: tuple[NamedStatistic, ...]) -> bool:
    """Whether the Triton kernels support a problem that the fused kernels support in general.

    They have no additive scores, no heads or lists beyond `limits`, but float16; and they need Triton, CUDA and
    a GPU that are new enough.
    """
    query, value = problem.query, problem.value
    return (
        query.dtype in DTYPES
        and dot_factor(uncapped(problem.score)[0], query.shape[-1]) is not None
        and max(query.shape[-1], value.shape[-1]) <= limits.CUDA_MAX_FEATURES
        and all(
            name != "topk" or numbers[0] <= limits.CUDA_MAX_TOPK for name, *numbers in statistics
        )
        and torch.version.cuda is not None
        and tuple(map(int, triton.__version__.split(".")[:2])) >= limits.CUDA_MIN_TRITON
        and torch.cuda.get_device_capability(query.device) >= limits.CUDA_MIN_CAPABILITY
    )


def attend(call: ForwardCall) -> tuple[Tensor, ...]:
    """Output and statistics, in the order of `arguments.Results`.

    Args:
        call: of tensors in one of `DTYPES`, without a vector: additive scores go tile by tile.
    """
    inputs = _kernel_inputs(call.arrays, call.settings)
    requested = call.requested
    with torch.cuda.device_of(inputs.query):
        rows = _forward(inputs, call.settings, requested)
        largest = _largest(inputs, rows, requested)
        blocks_and_received = _pooled(inputs, rows, call.settings.first_row, requested)
    return rows.output, rows.lse, rows.entropy, rows.max_score, *largest, *blocks_and_received


class TileShape(NamedTuple):
    """Sizes of a tile, and how Triton runs it."""

    rows: int
    columns: int
    warps: int
    stages: int


def _tile_shape(width: int, size: int, *, lists: bool, masked: bool) -> TileShape:
    """The fastest of the tiles that were measured (docs/log.md), of those whose memory every GPU has.

    Args:
        width: features of query or value.
        size: bytes of a number. Products of float32 are made without tensor cores, from registers.
        lists: whether lists of the largest scores are kept: a narrower tile has shorter chunks.
        masked: whether a mask or bias is read, whose tiles are in that memory too.
    """
    if width > 128 or (width > 64 and masked):
        return TileShape(64, 32, 8, 2) if size == 2 else TileShape(32, 32, 8, 1)
    if size == 2:
        return TileShape(64, 128, 4, 2) if width <= 64 and not lists else TileShape(64, 64, 4, 2)
    return TileShape(64, 32, 8, 2) if width <= 64 else TileShape(32, 32, 8, 1)


def _pooled_tile_shape(width: int, size: int) -> TileShape:
    """As `_tile_shape`, for the pass that pools."""
    if size == 2:
        return TileShape(128, 64, 4, 3) if width <= 64 else TileShape(64, 32, 8, 2)
    return TileShape(64, 64, 4, 2) if width <= 64 else TileShape(32, 32, 8, 1)


@dataclass(frozen=True)
class KernelInputs:
    """Arguments of both Triton kernels."""

    query: Tensor
    key: Tensor
    value: Tensor
    low: Tensor
    high: Tensor
    allowed: Tensor
    bias: Tensor
    sink: Tensor
    scale: float
    """Not negative, in bits."""
    cap: float
    """In bits; 1 where there is none."""
    has_ranges: bool
    """Whether queries of a head see different ranges of keys."""
    has_mask: bool
    has_bias: bool
    has_cap: bool
    has_sink: bool

    @property
    def pairs(self) -> int:
        """Heads of all examples."""
        return self.query.shape[0] * self.query.shape[1]

    @property
    def group(self) -> int:
        """Query heads that share a key head."""
        return self.query.shape[1] // self.key.shape[1]

    def tile_shape(self, requested: Requested) -> TileShape:
        """Sizes of the tiles of the forward pass."""
        width = _tile_width(max(self.query.shape[3], self.value.shape[3]))
        masked = self.has_mask or self.has_bias
        return _tile_shape(width, self.query.element_size(), lists=requested.top > 0, masked=masked)

    @property
    def pooled_tile_shape(self) -> TileShape:
        """Sizes of the tiles of the pass that pools."""
        return _pooled_tile_shape(_tile_width(self.query.shape[3]), self.query.element_size())


def _kernel_inputs(arrays: CallArrays, settings: CallSettings) -> KernelInputs:
    """Features side by side, masks expanded by strides of 0, a dummy for each array that is not given."""
    whole = (*arrays.query.shape[:3], arrays.key.shape[2])
    query, key, value = (
        x if x.stride(-1) == 1 or not x.shape[-1] else x.contiguous()
        for x in (arrays.query.detach(), arrays.key.detach(), arrays.value.detach())
    )
    if settings.scale < 0:  # the largest score is then that of the largest product
        query = -query
    low, high = (end.expand(whole[:3]) for end in (arrays.low, arrays.high))
    allowed, bias = arrays.allowed, arrays.bias
    nothing = query.new_empty((1, 1, 1, 1), dtype=torch.float32).expand(whole)  # not read
    return KernelInputs(
        query, key, value, low, high,
        allowed=nothing if allowed is None else allowed.expand(whole).view(torch.uint8),
        bias=nothing if bias is None else bias.detach().float().expand(whole),
        sink=nothing if arrays.sink is None else arrays.sink.detach().expand(whole[:2]),
        scale=abs(settings.scale) / LN2, cap=(settings.cap or LN2) / LN2,
        has_ranges=low.stride(2) != 0 or high.stride(2) != 0,
        has_mask=allowed is not None, has_bias=bias is not None, has_cap=settings.cap > 0,
        has_sink=arrays.sink is not None,
    )  # fmt: skip


class Rows(NamedTuple):
    """What the forward pass computes of each query; see `triton_kernels.forward`."""

    output: Tensor
    lse: Tensor
    bits: Tensor
    correction: Tensor
    entropy: Tensor
    max_score: Tensor
    top_maxima: Tensor
    top_chunks: Tensor


def _forward(inputs: KernelInputs, settings: CallSettings, requested: Requested) -> Rows:
    """Output, lse, entropy, largest scores, and the chunks that hold the largest."""
    dropout, seed = settings.dropout, settings.seed
    batch, heads, queries, features = inputs.query.shape
    keys, values = inputs.key.shape[2], inputs.value.shape[3]
    by_row, shape = (batch, heads, queries), inputs.tile_shape(requested)
    no_keys = inputs.query.new_empty((1, 1), dtype=torch.int32)  # of no dropout: not read
    row_keys, column_keys = no_keys, no_keys
    if dropout:
        rows = np.arange(settings.first_row, settings.first_row + queries)
        row_keys = _as_int32(random.row_keys(seed, np.arange(inputs.pairs), rows), no_keys)
        column_keys = _as_int32(random.column_keys(seed, np.arange(keys)), no_keys)
    lse = inputs.query.new_empty(by_row, dtype=torch.float64)
    lists = (*by_row, requested.top, 4)
    found = Rows(
        output=inputs.query.new_empty((*by_row, values)),
        lse=lse,
        bits=lse.new_empty(by_row, dtype=torch.float32),
        correction=lse.new_empty(by_row, dtype=torch.float32),
        entropy=lse.new_empty(
            (*by_row[:2], queries if requested.entropy else 0), dtype=torch.float32
        ),
        max_score=lse.new_empty(
            (*by_row[:2], queries if requested.max_score else 0), dtype=torch.float32
        ),
        top_maxima=lse.new_empty(lists, dtype=torch.float32),
        top_chunks=lse.new_empty(lists, dtype=torch.int32),
    )
    row_tiles = -(-queries // shape.rows)
    feature_width, value_width = _tile_width(features), _tile_width(values) if values else 0
    triton_kernels.forward[(inputs.pairs * row_tiles,)](
        inputs.query, inputs.key, inputs.value, inputs.low, inputs.high, inputs.bias,
        inputs.allowed, inputs.sink, row_keys, column_keys, *found,
        inputs.query.stride(), inputs.key.stride(), inputs.value.stride(), inputs.low.stride(),
        inputs.high.stride(), inputs.bias.stride(), inputs.allowed.stride(), inputs.sink.stride(),
        inputs.scale, inputs.cap, random.drop_threshold(dropout), 1 / (1 - dropout), heads, inputs.group,
        queries, keys, features, values, row_tiles,
        ROWS=shape.rows, COLUMNS=shape.columns, FEATURES=feature_width, VALUES=value_width,
        TOP=requested.top, BIAS=inputs.has_bias, ALLOWED=inputs.has_mask, DROPOUT=dropout > 0,
        ENTROPY=requested.entropy, MAX_SCORE=requested.max_score, PADDED=feature_width != features,
        PADDED_VALUES=value_width != values, CAP=inputs.has_cap, SINK=inputs.has_sink,
        num_warps=shape.warps, num_stages=shape.stages,
    )  # fmt: skip
    return found


def _largest(inputs: KernelInputs, rows: Rows, requested: Requested) -> tuple[Tensor, Tensor]:
    """Weights and indices of the largest of each query, in order."""
    top = requested.top
    batch, heads, queries, features = inputs.query.shape
    weights = rows.lse.new_empty((batch, heads, queries, top), dtype=torch.float32)
    indices = rows.lse.new_empty((batch, heads, queries, top), dtype=torch.int64)
    if not top:
        return weights, indices
    triton_kernels.largest[(inputs.pairs * queries,)](
        inputs.query, inputs.key, inputs.low, inputs.high, inputs.bias, inputs.allowed, rows.lse,
        rows.top_maxima, rows.top_chunks, weights, indices,
        inputs.query.stride(), inputs.key.stride(), inputs.low.stride(), inputs.high.stride(),
        inputs.bias.stride(), inputs.allowed.stride(), inputs.scale, inputs.cap, heads, inputs.group,
        queries, inputs.key.shape[2], features,
        CHUNK=inputs.tile_shape(requested).columns // 4, SLICE=16, TOP=top, LENGTH=_power_of_two(top),
        BIAS=inputs.has_bias, ALLOWED=inputs.has_mask, CAP=inputs.has_cap, num_warps=1,
    )  # fmt: skip
    return weights, indices


def _pooled(
    inputs: KernelInputs, found: Rows, first_row: int, requested: Requested
) -> tuple[Tensor, Tensor, Tensor]:
    """Sums and maxima of the parts of blocks (see `partition.split_edges`), and received mass."""
    batch, heads, queries, features = inputs.query.shape
    keys, pool, lse = inputs.key.shape[2], requested.key_block > 0, found.lse
    received = lse.new_empty((batch, heads, keys if requested.received else 0), dtype=torch.float32)
    if not (pool or requested.received):
        # Two tensors: results of an operator must not share memory, not even none.
        sums, maxima = (lse.new_empty((batch, heads, 0, 0), dtype=torch.float32) for _ in range(2))
        return sums, maxima, received
    shape = inputs.pooled_tile_shape
    row_most, key_most, on = limits.MAX_PART_QUERIES, limits.MAX_CHUNK_KEYS, lse.device
    end, (row_block, key_block) = first_row + queries, (requested.query_block, requested.key_block)
    down, row_edges = _slots(first_row, end, row_block, row_most, shape.rows, on)
    across, key_edges = _slots(0, keys, key_block, key_most, shape.columns, on)
    sizes = (batch, heads, down.parts if pool else 0, across.parts if pool else 0)
    sums, maxima = (lse.new_zeros(sizes, dtype=torch.float32) for _ in range(2))
    triton_kernels.pooled[(inputs.pairs * across.tiles,)](
        inputs.query, inputs.key, inputs.low, inputs.high, inputs.bias, inputs.allowed,
        found.bits, found.correction, row_edges, key_edges,
        received, sums, maxima,
        inputs.query.stride(), inputs.key.stride(), inputs.low.stride(), inputs.high.stride(),
        inputs.bias.stride(), inputs.allowed.stride(), inputs.scale, inputs.cap, heads, inputs.group,
        queries, keys, features, down.bands, across.bands, down.tiles, across.tiles,
        ROWS=down.size, COLUMNS=across.size, FEATURES=_tile_width(features),
        ROW_BAND=down.slots, KEY_BAND=across.slots,
        ROW_PART=min(down.slots, down.size), KEY_PART=min(across.slots, across.size),
        BIAS=inputs.has_bias, ALLOWED=inputs.has_mask, RECEIVED=requested.received, POOL=pool,
        PADDED=_tile_width(features) != features, RANGED=inputs.has_ranges,
        GAPS=(queries, keys) != (down.tiles * down.size, across.tiles * across.size),
        CAP=inputs.has_cap,
        num_warps=shape.warps, num_stages=shape.stages,
    )  # fmt: skip
    if pool:
        sums, maxima = (
            across.gather(down.gather(x, 2, reduce), 3, reduce)
            for x, reduce in ((sums, torch.sum), (maxima, torch.amax))
        )
    return sums, maxima, received


@dataclass(frozen=True)
class SlotLayout:
    """Positions of an axis laid out in tiles, so that no tile mixes parts of two bands in one number.

    A band is a range of positions between two edges. It has `slots` of its own, more than it needs, so
    that bands begin at multiples of a power of two::

        edges 0 5 10, size 8, slots 8      |0 1 2 3 4 . . .|5 6 7 8 9 . . .|     a band in a tile
        edges 0 2 4 6, size 8, slots 2     |0 1|2 3|4 5|. .|                     bands share a tile
        edges 0 14, size 8, slots 16       |0 1 2 3 4 5 6 7|8 9 10 11 12 13 . .| a band in two

    Attributes:
        edges: where bands begin, and the end.
        size: slots of a tile, a power of two.
        slots: of a band: a power of two that divides `size`, or a multiple of `size`.
    """

    edges: npt.NDArray[np.int64]
    size: int
    slots: int

    @property
    def bands(self) -> int:
        """Number of bands."""
        return len(self.edges) - 1

    @property
    def tiles(self) -> int:
        """Number of tiles."""
        return -(-self.bands * self.slots // self.size)

    @property
    def parts(self) -> int:
        """Pieces of bands in all tiles, empty ones included: the kernel computes one number for each."""
        return self.tiles * self.size // min(self.slots, self.size)

    def gather(self, parts: Tensor, axis: int, reduce: Callable[..., Tensor]) -> Tensor:
        """One number for each band, from those of its parts."""
        if self.slots > self.size:
            return reduce(parts.unflatten(axis, (self.bands, -1)), axis + 1)
        return parts.narrow(axis, 0, self.bands)


def slot_layout(edges: npt.NDArray[np.int64], size: int) -> SlotLayout:
    """Tiles of `size` slots, or of 32 where bands would leave more than a quarter of them empty."""
    longest = int(np.diff(edges).max())
    if 2 * longest <= size:
        return SlotLayout(edges, size, _power_of_two(longest))
    if 4 * -(-longest // size) * size > 5 * longest:
        size = min(size, 32)
    return SlotLayout(edges, size, -(-longest // size) * size)


@lru_cache(maxsize=64)
def _slots(
    start: int, stop: int, block: int, most: int, size: int, device: torch.device
) -> tuple[SlotLayout, Tensor]:
    """The slots of an axis in tiles of `size`, and its edges as the kernel takes them.

    Kept, as a copy to a device waits for all that is queued there. The other arguments are of
    `partition.split_edges`.
    """
    layout = slot_layout(split_edges(start, stop, block, most), size)
    return layout, torch.from_numpy(layout.edges.astype(np.int32)).to(device)


def _tile_width(features: int) -> int:
    """Features of a tile: a power of two, and at least 16, which a product takes."""
    return max(16, _power_of_two(features))


def _power_of_two(number: int) -> int:
    """The smallest power of two that is at least `number`."""
    return int(triton.next_power_of_2(number))


def _as_int32(keys: npt.NDArray[np.uint32], like: Tensor) -> Tensor:
    """Keys of dropout's hash, bit by bit, on the device of `like`; torch has little use of uint32."""
    return torch.from_numpy(keys.view(np.int32)).to(like.device)


def backward(call: BackwardCall) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """The gradients of query, key and value, and an empty one of no vector, some rows of the matrix at a time.

    With `P = exp(s - lse)` and the gradient `g` of the output (see `fused/backward.py`)::

        ds = P * (dropped(g v^T) + constant + slope * log P) * (1 - tanh(s / c)^2 with a cap c)
        dq = scale ds k        dk = scale ds^T q        dv = dropped(P)^T g
    """
    query, key, value, low, high, _, allowed, bias, _ = call.arrays
    scale, cap, dropout, seed, first_row = call.settings
    output_grad, lse, constant, slope = call.rows
    batch, heads, queries, _ = query.shape
    keys, group, dtype = key.shape[2], heads // key.shape[1], query.dtype
    query, key, value, output_grad = (x.float() for x in (query, key, value, output_grad))
    query_grad, key_grad, value_grad = (torch.zeros_like(x) for x in (query, key, value))
    positions = torch.arange(keys, device=query.device)
    low, high = (end.expand(-1, -1, queries)[..., None] for end in (low, high))
    for rows in split_rows(queries, 4 * batch * heads * keys, limits.CUDA_BACKWARD_BYTES):
        # The weights of these rows, as the forward pass had them.
        q, g = query[:, :, rows], output_grad[:, :, rows]
        scores = scale * grouped_matmul(q, key.mT)
        capped = torch.tanh(scores / cap) if cap else None
        if capped is not None:
            scores = cap * capped
        if bias is not None:
            part = bias if bias.shape[2] == 1 else bias[:, :, rows]
            raised = torch.where(part > -torch.inf, part.clamp_min(float(LOWEST_BIAS)), part)
            scores = (scores + raised).clamp_max(float(INFINITE_SCORE) * LN2)
        seen = (positions >= low[:, :, rows]) & (positions < high[:, :, rows])
        if allowed is not None:
            seen = seen & (allowed if allowed.shape[2] == 1 else allowed[:, :, rows])
        logs = (scores.double() - lse[:, :, rows, None]).float()
        logs = logs.clamp_min(limits.CUDA_MIN_LOG_WEIGHT)  # may be multiplied by a weight of 0
        weights = logs.exp().masked_fill(~seen, 0.0)
        # Dropout's mask from its hash; it cuts the path through the output only.
        dropped, grad = weights, grouped_matmul(g, value.mT)
        if dropout:
            at = range(first_row + rows.start, first_row + rows.stop)
            keep = random.dropout_mask(
                seed, range(batch * heads), at, range(keys), rate=dropout, like=q
            )
            keep = keep.reshape(weights.shape) / (1 - dropout)
            dropped, grad = weights * keep, grad * keep
        grad += constant[:, :, rows, None] + slope[:, :, rows, None] * logs
        # Filled, not multiplied by 0: what is masked may hold NaN.
        if capped is not None:
            grad *= 1 - capped**2
        grad = (scale * weights * grad).masked_fill(~seen, 0.0)
        query_grad[:, :, rows] = grouped_matmul(grad, key)
        key_grad += _sum_by_group(grad, q, group)
        value_grad += _sum_by_group(dropped, g, group)
    no_vector = query.new_empty(0)
    return query_grad.to(dtype), key_grad.to(dtype), value_grad.to(dtype), no_vector


def _sum_by_group(weights: Tensor, x: Tensor, group: int) -> Tensor:
    """`weights^T x`, added up over the query heads that share a key head."""
    weights, x = (y.unflatten(1, (-1, group)).flatten(2, 3) for y in (weights, x))
    return weights.mT @ x
