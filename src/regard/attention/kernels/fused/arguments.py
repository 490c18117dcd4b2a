"""Arguments and results of one call of the fused kernels, as named structures.

torch's operators take and return flat lists of tensors and numbers. Names become positions in `flat`
and positions become names in `from_flat`, here and nowhere else. Arrays are NumPy's on the way to the
processor's kernels and tensors everywhere else.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from regard.attention.kernels.fused.partition import BlockEdges
from regard.shapes import Array

__all__ = [
    "BackwardCall",
    "CallArrays",
    "CallSettings",
    "ForwardCall",
    "Requested",
    "Results",
    "RowGradients",
    "result_shapes",
]


class CallArrays(NamedTuple):
    """What attention is computed from.

    As NumPy arrays, query, key and value are float32 or bfloat16 seen as 16-bit words: `features` counts words.
    """

    query: Array
    """(batch, heads, queries, features)."""
    key: Array
    """(batch, key_heads, keys, features)."""
    value: Array
    """(batch, key_heads, keys, values)."""
    low: Array
    """(batch or 1, heads or 1, queries) int64: the first key of each query."""
    high: Array
    """(batch or 1, heads or 1, queries) int64: the one after its last."""
    vector: Array | None = None
    """(features,) float32: the `v` of additive attention; `None` for dot products."""
    allowed: Array | None = None
    """(batch or 1, heads or 1, queries or 1, keys or 1) bool: `True` = may attend."""
    bias: Array | None = None
    """(batch or 1, heads or 1, queries or 1, keys or 1) float32, added to the scores."""
    sink: Array | None = None
    """(batch or 1, heads or 1) float32: one more logit below the line of softmax; `None` for none."""


class CallSettings(NamedTuple):
    """The numbers of a call."""

    scale: float
    """What dot products are multiplied by."""
    cap: float = 0.0
    """`c` of scores `c tanh(s / c)`; 0 for none."""
    dropout: float = 0.0
    seed: int = 0
    first_row: int = 0
    """Index of the first query in the whole matrix; dropout and pooled blocks are counted from its start."""


class Requested(NamedTuple):
    """Statistics requested from one call."""

    entropy: bool = False
    top: int = 0
    """Length of the list of largest weights."""
    query_block: int = 0
    """Queries of a pooled block, counted over the whole matrix; 0 for no pooling."""
    key_block: int = 0
    """Keys of a pooled block; 0 for no pooling."""
    received: bool = False
    max_score: bool = False


class Results(NamedTuple):
    """What a call computes; statistics that were not requested are empty."""

    output: Array
    """(batch, heads, queries, values), of the value's type."""
    lse: Array
    """(batch, heads, queries) float64: the natural logarithm of what stands below the line, the sink included,
    so that a weight is `exp(score - lse)`; -inf where a query sees nothing and there is no sink."""
    entropy: Array
    """(batch, heads, queries) float32, in nats: of the weights of keys, without the share of a sink."""
    max_score: Array
    """(batch, heads, queries) float32: the largest score; -inf where a query sees nothing."""
    top_weights: Array
    """(batch, heads, queries, top) float32, descending; 0 beyond what a query sees."""
    top_indices: Array
    """(batch, heads, queries, top) int64."""
    block_sum: Array
    """(batch, heads, query parts, key chunks) float32: sums of weights; see `partition.BlockEdges`."""
    block_max: Array
    """(batch, heads, query parts, key chunks) float32: largest weights."""
    received: Array
    """(batch, heads, keys) float32."""


class ForwardCall(NamedTuple):
    """Everything that the operator `regard::attend` takes."""

    arrays: CallArrays
    settings: CallSettings
    requested: Requested

    def flat(self) -> tuple[Any, ...]:
        """The arguments by position."""
        return (*self.arrays, *self.settings, *self.requested)

    @classmethod
    def from_flat(cls, flat: Sequence[Any]) -> ForwardCall:
        """The arguments by name."""
        arrays, settings, requested = _split(flat, CallArrays, CallSettings, Requested)
        return cls(CallArrays(*arrays), CallSettings(*settings), Requested(*requested))

    @staticmethod
    def flat_gradients(gradients: CallArrays) -> tuple[Array | None, ...]:
        """Gradients by position: of the arrays; settings and requests have none."""
        rest = len(CallSettings._fields) + len(Requested._fields)
        return (*gradients, *[None] * rest)


class RowGradients(NamedTuple):
    """What the backward pass knows of each row of the matrix beside the inputs; see `backward`."""

    output: Array
    """(batch, heads, queries, values): the gradient that arrives at the output, of its type."""
    lse: Array
    """(batch, heads, queries) float64, of the forward pass."""
    constant: Array
    """(batch, heads, queries) float32: added to the gradient of each weight of the row."""
    slope: Array
    """(batch, heads, queries) float32: multiplies the logarithm of each weight."""


class BackwardCall(NamedTuple):
    """Everything that the operator `regard::attend_backward` takes."""

    arrays: CallArrays
    settings: CallSettings
    rows: RowGradients

    def flat(self) -> tuple[Any, ...]:
        """The arguments by position."""
        return (*self.arrays, *self.settings, *self.rows)

    @classmethod
    def from_flat(cls, flat: Sequence[Any]) -> BackwardCall:
        """The arguments by name."""
        arrays, settings, rows = _split(flat, CallArrays, CallSettings, RowGradients)
        return cls(CallArrays(*arrays), CallSettings(*settings), RowGradients(*rows))


def result_shapes(arrays: CallArrays, requested: Requested, edges: BlockEdges | None) -> Results:
    """The shape of every result.

    Args:
        arrays: of the call.
        requested: statistics that are not requested have an axis of length 0.
        edges: of pooled blocks, where they are requested.
    """
    batch, heads, queries, _ = arrays.query.shape
    by_head, keys = (batch, heads), arrays.key.shape[2]
    blocks = (len(edges.query) - 1, len(edges.key) - 1) if edges is not None else (0, 0)
    return Results(
        output=(*by_head, queries, arrays.value.shape[3]),
        lse=(*by_head, queries),
        entropy=(*by_head, queries if requested.entropy else 0),
        max_score=(*by_head, queries if requested.max_score else 0),
        top_weights=(*by_head, queries, requested.top),
        top_indices=(*by_head, queries, requested.top),
        block_sum=(*by_head, *blocks),
        block_max=(*by_head, *blocks),
        received=(*by_head, keys if requested.received else 0),
    )


def _split(flat: Sequence[Any], *parts: type[NamedTuple]) -> list[Sequence[Any]]:
    """A flat list in as many pieces as there are named tuples, each as long as one has fields."""
    pieces, start = [], 0
    for part in parts:
        stop = start + len(part._fields)
        pieces.append(flat[start:stop])
        start = stop
    return pieces
