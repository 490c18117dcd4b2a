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
    r"""Several attentions side by side, each in its own subspace (Vaswani et al. 2017, section 3.2.2).

    .. math:: \mathrm{Concat}_h(\mathrm{attend}(x W^Q_h, m W^K_h, m W^V_h)) W^O

    Queries, keys and values of self-attention come from one product with `W^Q, W^K, W^V` side by side.
    With fewer `key_heads`, groups of heads share keys and values (Ainslie et al. 2023; one key head is
    multi-query attention, Shazeer 2019).

    Args:
        width: of `x`, and of the output.
        heads: how many.
        key_heads: how many for keys and values; as many as `heads` unless given.
        memory_width: of what is attended to, when it is not `width`.
        bias: whether the projections have one.
        score: how queries and keys are compared, per head.
        normalizer: scores to weights.
        positions: rotary, ALiBi or relative, for self-attention; none unless given.
        dropout: of the weights, in training.

    Raises:
        InputError: a size below 1, or if heads do not divide the width, or key heads the heads.
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
        self.heads, self.key_heads, self.dropout = heads, key_heads, dropout
        self.score, self.normalizer = score or ScaledDot(), normalizer or Softmax()
        self.positions = positions or Positions()
        self.width, self.shared = width, width // heads * key_heads
        own = 2 * self.shared if memory_width is None else 0
        self.projection = nn.Linear(width, width + own, bias=bias)  # W^Q, W^K, W^V side by side
        self.memory = (
            None if memory_width is None else nn.Linear(memory_width, 2 * self.shared, bias=bias)
        )
        self.output = nn.Linear(width, width, bias=bias)
        self.reset()

    @classmethod
    def from_torch(cls, module: nn.MultiheadAttention) -> Self:
        """The same attention with the same numbers.

        Args:
            module: batch first or not: what is returned takes `(batch, length, width)`.

        Raises:
            InputError: if it has what this has not: extra key and value vectors, or keys and values of
                two widths.
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
        bias, width = module.in_proj_bias is not None, module.embed_dim
        made = cls(
            width,
            module.num_heads,
            memory_width=None if module.kdim == width else module.kdim,
            bias=bias,
            dropout=module.dropout,
        )
        if made.memory is None:
            source: dict[str, Tensor] = {"projection.weight": module.in_proj_weight}
            source |= {"projection.bias": module.in_proj_bias} if bias else {}
        else:
            source = {
                "projection.weight": module.q_proj_weight,
                "memory.weight": torch.cat([module.k_proj_weight, module.v_proj_weight]),
            }
            if bias:
                source["projection.bias"] = module.in_proj_bias[:width]
                source["memory.bias"] = module.in_proj_bias[width:]
        source["output.weight"] = module.out_proj.weight
        source |= {"output.bias": module.out_proj.bias} if bias else {}
        made.to(module.out_proj.weight).load_state_dict(source)
        return made.train(module.training)

    def reset(self) -> None:
        """Xavier initialisation; queries, keys and values as one matrix (gain as in fairseq)."""
        for linear in filter(None, (self.projection, self.memory, self.output)):
            nn.init.xavier_uniform_(linear.weight)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)

    def forward(
        self, query: Tensor, memory: Tensor | None = None, *, mask: Mask | Tensor | None = None
    ) -> tuple[Tensor, AttentionMap]:
        """Attend from every position of `query`, to itself or to `memory`.

        Args:
            query: `(batch, queries, width)`.
            memory: `(batch, keys, memory_width)`; `None` for self-attention.
            mask: where each query may look, with heads: broadcasts to `(batch, heads, queries, keys)`.

        Returns:
            `(batch, queries, width)` and the map `(batch, heads, queries, keys)`.
        """
        if memory is None:
            return self._mix(*self._query_and_own(query), mask, self.positions.bias())
        return self.attend_cached(query, self.project_memory(memory), mask=mask)

    def project_memory(self, memory: Tensor) -> Cache:
        """Project what is attended to, once, for any number of calls of `attend_cached`.

        Args:
            memory: `(batch, keys, memory_width)`.
        """
        if self.memory is not None:
            return self._cache(self.memory(memory))
        weight, bias = self.projection.weight, self.projection.bias
        return self._cache(
            F.linear(memory, weight[self.width :], None if bias is None else bias[self.width :])
        )

    def attend_cached(
        self, query: Tensor, cache: Cache, *, mask: Mask | Tensor | None = None
    ) -> tuple[Tensor, AttentionMap]:
        """Attend to what `project_memory` projected; otherwise as `forward`."""
        weight, bias = self.projection.weight, self.projection.bias
        asked = F.linear(query, weight[: self.width], None if bias is None else bias[: self.width])
        return self._mix(self._heads(asked, self.heads), cache, mask, None)

    def step(self, query: Tensor, cache: Cache | None) -> tuple[Tensor, AttentionMap, Cache]:
        """Causal self-attention from positions that follow those in the cache.

        Args:
            query: `(batch, new, width)`, the new positions only.
            cache: from the step before, or `None` at the beginning.

        Returns:
            As `forward`, and the cache with the new positions; the one passed holds what it held.
        """
        first = 0 if cache is None else cache.length
        asked, own = self._query_and_own(query, first=first)
        cache = own if cache is None else cache.extend(own.key, own.value)
        mask = causal() if query.shape[1] > 1 else None
        return *self._mix(asked, cache, mask, self.positions.bias()), cache

    def _query_and_own(self, x: Tensor, *, first: int = 0) -> tuple[Tensor, Cache]:
        if self.memory is not None:
            raise ShapeError(
                f"this attention takes its keys from a memory of width {self.memory.in_features}; "
                "pass memory=, or build it without memory_width for self-attention"
            )
        sizes = [self.width, self.shared, self.shared]
        query, key, value = torch.split(self.projection(x), sizes, -1)
        asked = self.positions.rotate(self._heads(query, self.heads), first=first)
        own = self.positions.rotate(self._heads(key, self.key_heads), first=first)
        return asked, Cache(own, self._heads(value, self.key_heads))

    def _cache(self, key_value: Tensor) -> Cache:
        key, value = torch.split(key_value, self.shared, -1)
        return Cache(self._heads(key, self.key_heads), self._heads(value, self.key_heads))

    @staticmethod
    def _heads(x: Tensor, heads: int) -> Tensor:
        return x.view(*x.shape[:-1], heads, -1).transpose(1, 2)

    def _mix(
        self, query: Tensor, cache: Cache, mask: Mask | Tensor | None, bias: Bias | None
    ) -> tuple[Tensor, AttentionMap]:
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
