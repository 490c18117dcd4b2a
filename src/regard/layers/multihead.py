"""Multi-head attention: self and cross, grouped heads, cache, any score, normaliser and position."""

from __future__ import annotations

from typing import Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from regard.attention import AttentionMap, attend
from regard.attention.masks import Mask, causal
from regard.attention.normalizers import Normalizer, Softmax
from regard.attention.positions import Bias
from regard.attention.scores import ScaledDot, Score
from regard.errors import InputError, ShapeError
from regard.layers.cache import Cache, attend_decode_step
from regard.layers.positions import Positions

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(nn.Module):
    r"""Multi-head attention: one attention per head, each in its own subspace (Vaswani et al. 2017).

    .. math:: \mathrm{Concat}_h(\mathrm{attend}(x W^Q_h, m W^K_h, m W^V_h)) W^O

    for queries :math:`x` and a memory :math:`m`, which is :math:`x` in self-attention (section 3.2.2).
    One product with `W^Q`, `W^K` and `W^V` concatenated makes queries, keys and values of
    self-attention. With fewer `key_heads`, groups of heads share keys and values (Ainslie et al. 2023;
    one key head is multi-query attention, Shazeer 2019). A module around `regard.attend`.

    Args:
        width: features of `x` and of the output.
        heads: number of query heads; divides the width.
        key_heads: number of key and value heads, a divisor of `heads`; as many as `heads` unless
            given.
        memory_width: features of the memory in cross-attention, where it differs from `width`.
        bias: whether the projections have a bias.
        score: how queries and keys are compared, per head; scaled dot product unless given.
        normalizer: from scores to weights; softmax unless given.
        positions: rotary, ALiBi or relative positions, for self-attention; none unless given.
        dropout: probability that a weight is dropped, in training.

    Raises:
        InputError: a size below 1; heads that do not divide the width, or key heads the heads.

    >>> import torch
    >>> from regard.layers import MultiHeadAttention
    >>> output, weights = MultiHeadAttention(8, heads=2)(torch.zeros(1, 5, 8))
    >>> tuple(output.shape), weights.shape
    ((1, 5, 8), (1, 2, 5, 5))
    """

    def __init__(
        self,
        width: int,
        heads: int,
        *,
        key_heads: int | None = None,
        memory_width: int | None = None,
        bias: bool = True,
        score: Score | None = None,
        normalizer: Normalizer | None = None,
        positions: Positions | None = None,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        key_heads = heads if key_heads is None else key_heads
        if min(width, heads, key_heads) < 1:
            raise InputError(
                f"width={width}, heads={heads}, key_heads={key_heads} must be at least 1"
            )
        if width % heads:
            raise InputError(f"width {width} does not divide by {heads} heads")
        if heads % key_heads:
            raise InputError(f"{heads} heads do not divide by {key_heads} key heads")
        self.heads: int = heads
        self.key_heads: int = key_heads
        self.dropout: float = dropout
        self.score: Score | ScaledDot = score or ScaledDot()
        self.normalizer: Normalizer | Softmax = normalizer or Softmax()
        self.positions: Positions = positions or Positions()
        self.width: int = width
        self.key_width: int = width // heads * key_heads
        key_value_width = 2 * self.key_width
        # W^Q, and W^K and W^V beside it unless they belong to a memory of another width.
        own = key_value_width if memory_width is None else 0
        self.projection: nn.Linear = nn.Linear(width, width + own, bias=bias)
        self.memory: nn.Linear | None = (
            None if memory_width is None else nn.Linear(memory_width, key_value_width, bias=bias)
        )
        self.output: nn.Linear = nn.Linear(width, width, bias=bias)
        self.reset_parameters()

    @classmethod
    def from_torch(cls, module: nn.MultiheadAttention) -> Self:
        """A layer with the parameters of `torch.nn.MultiheadAttention`, whose outputs are equal.

        Args:
            module: with `batch_first` or without; the layer takes `(batch, length, width)`.

        Raises:
            InputError: a module with `add_bias_kv` or `add_zero_attn`, or with keys and values of two
                widths, which this layer does not have.
        """
        if module.bias_k is not None or module.add_zero_attn:
            raise InputError(
                "from_torch got a module with add_bias_kv or add_zero_attn; there is no such extra key "
                "here, build it without"
            )
        if module.kdim != module.vdim:
            raise InputError(
                f"from_torch got keys of width {module.kdim} and values of width {module.vdim}; both are "
                "projected from one memory here, so they must be equal"
            )
        layer = cls(
            module.embed_dim,
            module.num_heads,
            memory_width=None if module.kdim == module.embed_dim else module.kdim,
            bias=module.in_proj_bias is not None,
            dropout=module.dropout,
        )
        layer.to(module.out_proj.weight).load_state_dict(_state_of(module))
        return layer.train(module.training)

    def reset_parameters(self) -> None:
        """Xavier initialisation; the matrix of queries, keys and values as one, as in fairseq."""
        for linear in filter(None, (self.projection, self.memory, self.output)):
            nn.init.xavier_uniform_(linear.weight)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)

    def forward(
        self, query: Tensor, memory: Tensor | None = None, *, mask: Mask | Tensor | None = None
    ) -> tuple[Tensor, AttentionMap]:
        """Attend from every position of `query`, to `query` itself or to `memory`.

        Args:
            query: `(batch, queries, width)`.
            memory: `(batch, keys, memory_width)`; `None` for self-attention.
            mask: the keys each query may attend to; broadcasts to `(batch, heads, queries, keys)`.

        Returns:
            `(batch, queries, width)` and the map `(batch, heads, queries, keys)`.
        """
        if memory is None:
            return self._attend(*self._project_self(query), mask, self.positions.bias())
        return self.attend_cached(query, self.project_memory(memory), mask=mask)

    def project_memory(self, memory: Tensor) -> Cache:
        """Keys and values of a memory, for any number of calls of `attend_cached`.

        Args:
            memory: `(batch, keys, memory_width)`.
        """
        if self.memory is not None:
            key_value = self.memory(memory)
        else:
            key_value = _linear_rows(memory, self.projection, slice(self.width, None))
        key, value = torch.split(key_value, self.key_width, -1)
        return Cache(_split_heads(key, self.key_heads), _split_heads(value, self.key_heads))

    def attend_cached(
        self, query: Tensor, cache: Cache, *, mask: Mask | Tensor | None = None
    ) -> tuple[Tensor, AttentionMap]:
        """Attend to a memory that `project_memory` projected.

        Args:
            query: `(batch, queries, width)`.
            cache: of the memory's keys and values.
            mask: the keys each query may attend to; broadcasts to `(batch, heads, queries, keys)`.

        Returns:
            `(batch, queries, width)` and the map `(batch, heads, queries, keys)`.
        """
        projected = _linear_rows(query, self.projection, slice(self.width))
        return self._attend(_split_heads(projected, self.heads), cache, mask, None)

    def step(self, query: Tensor, cache: Cache | None) -> tuple[Tensor, AttentionMap, Cache]:
        """Causal self-attention from positions that follow those in the cache.

        Args:
            query: `(batch, new, width)`, the new positions only.
            cache: from the step before, or `None` at the beginning.

        Returns:
            Output `(batch, new, width)`, the map `(batch, heads, new, keys)`, and the cache with the
            new positions; the one passed is unchanged.
        """
        first = 0 if cache is None else cache.length
        projected, new = self._project_self(query, first=first)
        cache = new if cache is None else cache.extend(new.key, new.value)
        mask = causal() if query.shape[1] > 1 else None
        return *self._attend(projected, cache, mask, self.positions.bias()), cache

    def _project_self(self, x: Tensor, *, first: int = 0) -> tuple[Tensor, Cache]:
        """Queries, and keys and values, of `x` at positions from `first` on."""
        if self.memory is not None:
            raise ShapeError(
                f"this attention takes its keys from a memory of width {self.memory.in_features}; "
                "pass memory=, or build it without memory_width for self-attention"
            )
        sizes = [self.width, self.key_width, self.key_width]
        query, key, value = torch.split(self.projection(x), sizes, -1)
        query = self.positions.rotate(_split_heads(query, self.heads), first=first)
        key = self.positions.rotate(_split_heads(key, self.key_heads), first=first)
        return query, Cache(key, _split_heads(value, self.key_heads))

    def _attend(
        self, query: Tensor, cache: Cache, mask: Mask | Tensor | None, bias: Bias | None
    ) -> tuple[Tensor, AttentionMap]:
        """Attention of projected queries `(batch, heads, queries, features)`, and `W^O`."""
        dropout = self.dropout if self.training else 0.0
        plain = isinstance(self.normalizer, Softmax) and bias is None and not dropout
        if plain and isinstance(self.score, ScaledDot):
            found = attend_decode_step(query, cache, mask, scale=self.score.factor(query.shape[-1]))
            if found is not None:
                return self.output(found[0]), found[1]
        key, value = cache.gathered()
        output, weights = attend(
            query,
            key,
            value,
            score=self.score,
            normalizer=self.normalizer,
            mask=mask,
            bias=bias,
            dropout=dropout,
            seed=int(torch.randint(2**31, ())) if dropout else 0,
        )
        return self.output(output.transpose(1, 2).flatten(2)), weights


def _linear_rows(x: Tensor, linear: nn.Linear, rows: slice) -> Tensor:
    """The outputs `rows` of a linear layer."""
    bias = None if linear.bias is None else linear.bias[rows]
    return F.linear(x, linear.weight[rows], bias)


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """`(batch, length, heads * features)` to `(batch, heads, length, features)`."""
    return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)


def _state_of(module: nn.MultiheadAttention) -> dict[str, Tensor]:
    """The parameters of torch's module under the names of `MultiHeadAttention`."""
    state: dict[str, Tensor] = {"output.weight": module.out_proj.weight}
    has_bias, width = module.in_proj_bias is not None, module.embed_dim
    if has_bias:
        state["output.bias"] = module.out_proj.bias
    if module.kdim == width:  # one matrix for queries, keys and values
        state["projection.weight"] = module.in_proj_weight
        if has_bias:
            state["projection.bias"] = module.in_proj_bias
        return state
    state["projection.weight"] = module.q_proj_weight
    state["memory.weight"] = torch.cat([module.k_proj_weight, module.v_proj_weight])
    if has_bias:  # torch keeps one bias in both cases
        state["projection.bias"] = module.in_proj_bias[:width]
        state["memory.bias"] = module.in_proj_bias[width:]
    return state
