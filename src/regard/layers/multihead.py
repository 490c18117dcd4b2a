"""Multi-head attention: self and cross, grouped heads, cache, any score, normaliser and position."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Self

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap, attend
from regard.attention.exporting import is_exporting
from regard.attention.jagged import is_nested, pad_all
from regard.attention.masks import Mask, causal
from regard.attention.normalizers import Normalizer, Softmax, softmax_of
from regard.attention.positions import Bias
from regard.attention.scores import ScaledDot, Score, dot_factor, keeps_inputs, uncapped
from regard.errors import InputError, ShapeError
from regard.layers.cache import Cache, attend_decode_step
from regard.layers.checks import check_sequence
from regard.layers.extra_keys import ExtraKey, ExtraKeys, bias_beside, mask_beside
from regard.layers.learned_parts import register_parameters
from regard.layers.linear import Linear
from regard.layers.positions import Positions
from regard.layers.torch_signature import StandsInForTorch, add_torch_masks, state_of

__all__ = ["MultiHeadAttention"]


class MultiHeadAttention(StandsInForTorch):
    r"""Multi-head attention: one attention per head, each in its own subspace (Vaswani et al. 2017).

    .. math:: \mathrm{Concat}_h(\mathrm{attend}(x W^Q_h, m W^K_h, m W^V_h)) W^O

    for queries :math:`x` and a memory :math:`m`, which is :math:`x` in self-attention (section 3.2.2).
    One product with `W^Q`, `W^K` and `W^V` concatenated makes queries, keys and values of
    self-attention. With fewer `key_heads`, groups of heads share keys and values (Ainslie et al. 2023;
    one key head is multi-query attention, Shazeer 2019). A module around `regard.attend`.

    It may replace the `self_attn` or `multihead_attn` of torch's Transformer layers that were built with
    `batch_first=True`, whose keywords `forward` takes.

    Args:
        width: features of `x` and of the output.
        heads: number of query heads; divides the width.
        key_heads: number of key and value heads, a divisor of `heads`; as many as `heads` unless
            given.
        key_width: features of the keys in cross-attention, where they are not `width`.
        value_width: features of the values in cross-attention; those of the keys unless given.
        bias: whether the projections have a bias.
        score: how queries and keys are compared, per head; scaled dot product unless given.
        normalizer: from scores to weights; softmax unless given.
        positions: rotary, ALiBi or relative positions, for self-attention; none unless given.
        dropout: probability that a weight is dropped, in training.
        extra_keys: extra key and value vectors behind those of the sequence, which every query may attend
            to: `"learned"` (`add_bias_kv` of torch) and `"zero"` (`add_zero_attn`). The map has a column
            for each; masks and biases have none.

    Raises:
        InputError: a size below 1; heads that do not divide the width, or key heads the heads; unknown
            extra keys.

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
        key_width: int | None = None,
        value_width: int | None = None,
        bias: bool = True,
        score: Score | None = None,
        normalizer: Normalizer | None = None,
        positions: Positions | None = None,
        dropout: float = 0.0,
        extra_keys: Sequence[ExtraKey] = (),
    ) -> None:
        super().__init__()
        key_heads = heads if key_heads is None else key_heads
        _check_sizes(width, heads, key_heads, key_width, value_width)
        self.heads: int = heads
        self.key_heads: int = key_heads
        self.dropout: float = dropout
        self.score: Score | ScaledDot = score or ScaledDot()
        self.normalizer: Normalizer | Softmax = normalizer or Softmax()
        for name, part in (("score", self.score), ("normalizer", self.normalizer)):
            register_parameters(self, name, part)
        self.positions: Positions = positions or Positions()
        self.width: int = width
        self.key_width: int = width if key_width is None else key_width
        self.value_width: int = self.key_width if value_width is None else value_width
        self.projected_width: int = width // heads * key_heads
        # W^Q, and W^K and W^V beside it unless keys or values have a width of their own.
        own = key_width is None and value_width is None
        self.projection: Linear = Linear(
            width, width + (2 * self.projected_width if own else 0), bias=bias
        )
        self.memory: Linear | None = None
        self.memory_value: Linear | None = None
        if not own:
            apart = self.value_width != self.key_width
            columns = self.projected_width * (1 if apart else 2)
            self.memory = Linear(self.key_width, columns, bias=bias)
            if apart:
                self.memory_value = Linear(self.value_width, columns, bias=bias)
        self.output: Linear = Linear(width, width, bias=bias)
        self.extra_keys: ExtraKeys | None = (
            ExtraKeys(extra_keys, key_heads, width // heads) if extra_keys else None
        )
        self.reset_parameters()

    @classmethod
    def from_torch(cls, module: nn.MultiheadAttention) -> Self:
        """A layer with the parameters of `torch.nn.MultiheadAttention`, whose outputs are equal.

        Args:
            module: with `batch_first` or without; the layer takes `(batch, length, width)`.
        """
        apart = module.kdim != module.embed_dim or module.vdim != module.embed_dim
        extra: list[ExtraKey] = []
        if module.bias_k is not None:
            extra.append("learned")
        if module.add_zero_attn:
            extra.append("zero")
        layer = cls(
            module.embed_dim,
            module.num_heads,
            key_width=module.kdim if apart else None,
            value_width=module.vdim if apart else None,
            bias=module.in_proj_bias is not None,
            dropout=module.dropout,
            extra_keys=extra,
        )
        layer.to(module.out_proj.weight).load_state_dict(state_of(module))
        layer.batch_first = module.batch_first
        return layer.train(module.training)

    def reset_parameters(self) -> None:
        """Xavier initialisation; the matrix of queries, keys and values as one, as in fairseq."""
        linears = self.projection, self.memory, self.memory_value, self.output
        for linear in filter(None, linears):
            nn.init.xavier_uniform_(linear.weight)
            if linear.bias is not None:
                nn.init.zeros_(linear.bias)

    def forward(
        self,
        query: Tensor,
        key: Tensor | None = None,
        value: Tensor | None = None,
        *,
        mask: Mask | Tensor | None = None,
        bias: Bias | Tensor | None = None,
        attn_mask: Tensor | None = None,
        key_padding_mask: Tensor | None = None,
        need_weights: bool = True,
        is_causal: bool = False,
    ) -> tuple[Tensor, AttentionMap]:
        """Attend from every position of `query`, to `query` itself or to `key` and `value`.

        Args:
            query: `(batch, queries, width)`, padded or nested (`layout=torch.jagged`, and key and value
                too; the map is then that of the padded batch).
            key: `(batch, keys, key_width)`; the query unless given. Positions apply in self-attention
                alone: where the key is not given, or is the query.
            value: `(batch, keys, value_width)`; the key unless given.
            mask: the keys each query may attend to; broadcasts to `(batch, heads, queries, keys)`.
            bias: added to the scores; broadcasts to `(batch, heads, queries, keys)`.
            attn_mask: for torch's layers: `(queries, keys)` or `(batch * heads, queries, keys)`, Boolean
                with `True` = may NOT attend, or floats to add.
            key_padding_mask: for torch's layers: `(batch, keys)`, `True` = padding, or floats to add.
            need_weights: for torch's layers; the map costs nothing and is always returned.
            is_causal: for torch's layers: a hint that `attn_mask` is causal; without one, a causal mask.

        Returns:
            `(batch, queries, width)` and the map `(batch, heads, queries, keys)`.

        Raises:
            ShapeError: another number of axes or features, batches or lengths that do not fit.
            MaskError: a mask of the wrong type or shape.
            InputError: tensors of another type than the parameters; a torch layer built without
                `batch_first=True`.
        """
        if not (need_weights or self.batch_first):
            raise InputError(
                "this attention was made from one with batch_first=False and takes (batch, length, "
                "width); build the torch layer that holds it with batch_first=True"
            )
        if attn_mask is not None or key_padding_mask is not None or is_causal:
            mask, bias = add_torch_masks(
                mask,
                bias,
                attn_mask=attn_mask,
                key_padding_mask=key_padding_mask,
                is_causal=is_causal,
                heads=self.heads,
            )
        to_itself = key is None or key is query
        if is_nested(query):
            return self._attend_nested(query, None if to_itself else key, value, mask, bias)
        if key is None and self.key_width != self.width:
            raise ShapeError(self._needs_key())
        key = query if key is None else key
        value = key if value is None else value
        if to_itself and value is query and self.memory is None:
            projected, cache = self._project_self(query)
        else:
            projected, cache = self._project_query(query), self.project_memory(key, value)
        if to_itself:
            if self.memory is not None or value is not query:
                projected = self.positions.rotate(projected)
                cache = replace(cache, key=self.positions.rotate(cache.key))
            bias = _sum(self.positions.bias(), bias)
        return self._attend(projected, cache, mask, bias)

    def project_memory(self, key: Tensor, value: Tensor | None = None) -> Cache:
        """Keys and values of a memory, for any number of calls of `attend_cached`.

        Args:
            key: `(batch, keys, key_width)`.
            value: `(batch, keys, value_width)`; the key unless given.
        """
        value = key if value is None else value
        check_sequence("key", key, self.key_width, self.projection.weight)
        check_sequence("value", value, self.value_width, self.projection.weight)
        if key.shape[:2] != value.shape[:2]:
            raise ShapeError(
                f"key has shape {tuple(key.shape)}, value {tuple(value.shape)}; each key needs a value"
            )
        width = self.projected_width
        if self.memory is not None and self.memory_value is not None:
            keys, values = self.memory(key), self.memory_value(value)
        else:
            linear, first = (
                (self.projection, self.width) if self.memory is None else (self.memory, 0)
            )
            if value is key:  # one product
                both = linear.some(key, slice(first, None))
                keys, values = torch.split(both, width, -1)
            else:
                keys = linear.some(key, slice(first, first + width))
                values = linear.some(value, slice(first + width, None))
        return Cache(_split_heads(keys, self.key_heads), _split_heads(values, self.key_heads))

    def attend_cached(
        self,
        query: Tensor,
        cache: Cache,
        *,
        mask: Mask | Tensor | None = None,
        bias: Bias | Tensor | None = None,
    ) -> tuple[Tensor, AttentionMap]:
        """Attend to a memory that `project_memory` projected.

        Args:
            query: `(batch, queries, width)`.
            cache: of the memory's keys and values.
            mask: the keys each query may attend to; broadcasts to `(batch, heads, queries, keys)`.
            bias: added to the scores; broadcasts to `(batch, heads, queries, keys)`.

        Returns:
            `(batch, queries, width)` and the map `(batch, heads, queries, keys)`.
        """
        return self._attend(self._project_query(query), cache, mask, bias)

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
        length = query.shape[1]  # in a graph a symbol, which may be 1 or more
        mask = causal() if not isinstance(length, int) or length > 1 else None
        return *self._attend(projected, cache, mask, self.positions.bias()), cache

    def _attend_nested(
        self,
        query: Tensor,
        key: Tensor | None,
        value: Tensor | None,
        mask: Mask | Tensor | None,
        bias: Bias | Tensor | None,
    ) -> tuple[Tensor, AttentionMap]:
        """Attention of nested tensors: padded, and the output nested again."""
        keys = query if key is None else key
        values = keys if value is None else value
        (queries, padded_key, padded_value), mask = pad_all(query, keys, values, mask, bias)
        output, weights = self(
            queries.padded,
            None if key is None else padded_key,
            None if values is keys else padded_value,
            mask=mask,
            bias=bias,
        )
        return queries.nest(output), weights

    def _project_query(self, query: Tensor) -> Tensor:
        """Queries `(batch, heads, queries, features)`, without positions."""
        check_sequence("query", query, self.width, self.projection.weight)
        projected = self.projection.some(query, slice(self.width))
        return _split_heads(projected, self.heads)

    def _project_self(self, x: Tensor, *, first: int = 0) -> tuple[Tensor, Cache]:
        """Queries, and keys and values, of `x` at positions from `first` on."""
        if self.memory is not None:
            raise ShapeError(self._needs_key())
        check_sequence("query", x, self.width, self.projection.weight)
        sizes = [self.width, self.projected_width, self.projected_width]
        query, key, value = torch.split(self.projection(x), sizes, -1)
        query = self.positions.rotate(_split_heads(query, self.heads), first=first)
        key = self.positions.rotate(_split_heads(key, self.key_heads), first=first)
        return query, Cache(key, _split_heads(value, self.key_heads))

    def _needs_key(self) -> str:
        return (
            f"this attention takes its keys from a memory of width {self.key_width}; pass key=, or build it "
            "without key_width and value_width for self-attention"
        )

    def _attend(
        self,
        query: Tensor,
        cache: Cache,
        mask: Mask | Tensor | None,
        bias: Bias | Tensor | None,
    ) -> tuple[Tensor, AttentionMap]:
        """Attention of projected queries `(batch, heads, queries, features)`, and `W^O`."""
        dropout = self.dropout if self.training else 0.0
        inner, cap = uncapped(self.score)
        scale = dot_factor(inner, query.shape[-1]) if keeps_inputs(self.score) else None
        softmax, extra = softmax_of(self.normalizer), self.extra_keys
        plain = bias is None and not dropout and extra is None and not is_exporting()
        if scale is not None and softmax is not None and plain:
            found = attend_decode_step(query, cache, mask, scale=scale, cap=cap, sink=softmax.sink)
            if found is not None:
                return self.output(found[0]), found[1]
        key, value = cache.gathered()
        if extra is not None:
            key, value = extra.append(key, value)
            mask = None if mask is None else mask_beside(mask, len(extra.kinds))
            bias = None if bias is None else bias_beside(bias, len(extra.kinds))
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


def _check_sizes(
    width: int, heads: int, key_heads: int, key_width: int | None, value_width: int | None
) -> None:
    if min(width, heads, key_heads) < 1:
        raise InputError(f"width={width}, heads={heads}, key_heads={key_heads} must be at least 1")
    for name, given in (("key_width", key_width), ("value_width", value_width)):
        if given is not None and given < 1:
            raise InputError(f"{name}={given} must be at least 1")
    if width % heads:
        raise InputError(f"width {width} does not divide by {heads} heads")
    if heads % key_heads:
        raise InputError(f"{heads} heads do not divide by {key_heads} key heads")


def _sum(first: Bias | None, second: Bias | Tensor | None) -> Bias | Tensor | None:
    if first is None:
        return second
    return first if second is None else first + second


def _split_heads(x: Tensor, heads: int) -> Tensor:
    """`(batch, length, heads * features)` to `(batch, heads, length, features)`."""
    return x.view(*x.shape[:-1], heads, x.shape[-1] // heads).transpose(1, 2)
