"""Attention maps of the operators of torch that compute attention in one piece."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from regard.attention import AttentionMap, attend, causal
from regard.attention.scores import ScaledDot
from regard.errors import InputError
from regard.integrations.captured import Keep

__all__ = ["MapOf", "checked_heads", "fused_map"]

MapOf = Callable[[Mapping[str, Any], Keep, Sequence[int]], tuple[AttentionMap, bool]]
"""Function that computes the map of an operator, and whether it is causal by a flag.

It is given the operator's arguments, what to keep, and the numbers of heads that the modules around it name.
"""

_OPAQUE = (
    "_efficient_attention_forward",
    "_flash_attention_forward",
    "_flash_attention_forward_no_dropout_inplace",
    "_cudnn_attention_forward",
    "_triton_multi_head_attention",
    "_triton_scaled_dot_attention",
    "_scaled_dot_product_attention_math_for_mps",
)
"""Operators of packed texts of several lengths, or of devices that the project cannot test."""


def fused_map(name: str) -> MapOf | None:
    """The function that computes the map of an operator, or `None` if it is no fused attention.

    Raises:
        InputError: a fused attention whose map cannot be computed.
    """
    if name in _OPAQUE or "attention_varlen" in name:
        raise InputError(
            f"the model attends by torch's operator {name}, whose weights cannot be watched; try "
            "attn_implementation='sdpa' or 'eager' where the model has such a setting"
        )
    return _MAPS.get(name)


def _scaled_dot_product(
    given: Mapping[str, Any], keep: Keep, named: Sequence[int]
) -> tuple[AttentionMap, bool]:
    """Map of `scaled_dot_product_attention` in any of its fused versions."""
    added = given.get("attn_mask", given.get("attn_bias"))
    by_flag = bool(given.get("is_causal"))
    mask = causal(align="upper left") if by_flag else None
    if added is not None and added.dtype == torch.bool:
        mask = added if mask is None else mask & added
        added = None
    query, key, value = (given[name].detach() for name in ("query", "key", "value"))
    heads, queries = query.shape[1:3]
    if heads not in named and heads == key.shape[1] and heads * queries in named and not by_flag:
        # transformers hands over the query heads that share a key head as queries, at one query each.
        query = query.reshape(query.shape[0], heads * queries, 1, query.shape[3])
        mask, added = (_by_query_heads(array, heads, queries) for array in (mask, added))
    weights = _map(query, key, value, mask, added, given.get("scale"), keep)
    return weights, by_flag and query.shape[2] > 1


def _native_multi_head(
    given: Mapping[str, Any], keep: Keep, named: Sequence[int]
) -> tuple[AttentionMap, bool]:
    """Map of the fast path of `nn.MultiheadAttention`: projections and attention in one operator."""
    heads, weight, bias = given["num_head"], given["qkv_weight"], given["qkv_bias"]
    lengths: Tensor | None = None
    inputs = []
    for name, part, shift in zip(
        ("query", "key", "value"), weight.chunk(3), bias.chunk(3), strict=True
    ):
        states, lengths = _padded(given[name].detach(), lengths)
        projected = functional.linear(states, part, shift)
        inputs.append(_by_heads(projected, heads))
    query, key, value = inputs
    mask = _visible(given.get("mask"), given.get("mask_type"), lengths, key.shape[2])
    return _map(query, key, value, mask, None, None, keep), False


def _encoder_layer(
    given: Mapping[str, Any], keep: Keep, named: Sequence[int]
) -> tuple[AttentionMap, bool]:
    """Map of the fast path of `nn.TransformerEncoderLayer`: a whole layer in one operator."""
    states, lengths = _padded(given["src"].detach(), None)
    if given["norm_first"]:
        width = (states.shape[-1],)
        states = functional.layer_norm(
            states, width, given["norm_weight_1"], given["norm_bias_1"], given["eps"]
        )
    projected = functional.linear(states, given["qkv_weight"], given["qkv_bias"])
    query, key, value = (_by_heads(part, given["num_heads"]) for part in projected.chunk(3, -1))
    mask = _visible(given.get("mask"), given.get("mask_type"), lengths, key.shape[2])
    return _map(query, key, value, mask, None, None, keep), False


def _by_query_heads(mask: Any, heads: int, queries: int) -> Any:
    """A mask or bias with its queries among the heads."""
    if mask is None or mask.shape[2] == 1:
        return mask if mask is None or mask.shape[1] == 1 else mask.repeat_interleave(queries, 1)
    return mask.expand(-1, heads, -1, -1).reshape(mask.shape[0], heads * queries, 1, mask.shape[3])


def _by_heads(states: Tensor, heads: int) -> Tensor:
    """`(batch, heads, length, features)` of states with the features of all heads side by side."""
    batch, length, width = states.shape
    return states.view(batch, length, heads, width // heads).transpose(1, 2)


def _map(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Any,
    bias: Tensor | None,
    scale: float | None,
    keep: Keep,
) -> AttentionMap:
    """The map of the heads to keep, with its statistics."""
    if keep.heads is not None:
        heads = checked_heads(keep.heads, query.shape[1])
        group = query.shape[1] // key.shape[1]
        of_keys = [head // group for head in heads]
        query, key, value = query[:, heads], key[:, of_keys], value[:, of_keys]
        mask, bias = (
            array[:, heads]
            if isinstance(array, Tensor) and array.dim() == 4 and array.shape[1] > 1
            else array
            for array in (mask, bias)
        )
    bias = None if bias is None else bias.detach()
    score, watch = ScaledDot(scale), keep.statistics_of(query.shape[2] * key.shape[2])
    return attend(query, key, value, score=score, mask=mask, bias=bias, watch=watch)[1]


def checked_heads(chosen: Sequence[int], heads: int) -> list[int]:
    """The heads to keep, if the layer has them.

    Raises:
        InputError: it has fewer.
    """
    if max(chosen) >= heads:
        raise InputError(
            f"keep=Keep(heads=...) asks for head {max(chosen)}; this layer has {heads} heads, from 0"
        )
    return list(chosen)


def _padded(states: Tensor, lengths: Tensor | None) -> tuple[Tensor, Tensor | None]:
    """A batch of texts of several lengths with zeros after each, and those lengths."""
    if not states.is_nested:
        return states, lengths
    sizes = [len(text) for text in states.unbind()]
    return states.to_padded_tensor(0.0), torch.tensor(sizes, device=states.device)


def _visible(
    hidden: Tensor | None, kind: int | None, lengths: Tensor | None, keys: int
) -> Tensor | None:
    """Which keys each query may attend to, from torch's mask of those that it may not."""
    if lengths is not None:
        return torch.arange(keys, device=lengths.device) < lengths[:, None, None, None]
    if hidden is None:
        return None
    visible = ~hidden.bool()
    # 0: (queries, keys); 1: padding, (batch, keys); 2: both, (batch, heads, queries, keys)
    return visible[:, None, None, :] if kind == 1 else visible


_MAPS: dict[str, MapOf] = {
    "_scaled_dot_product_flash_attention_for_cpu": _scaled_dot_product,
    "_scaled_dot_product_flash_attention": _scaled_dot_product,
    "_scaled_dot_product_efficient_attention": _scaled_dot_product,
    "_scaled_dot_product_cudnn_attention": _scaled_dot_product,
    "_scaled_dot_product_fused_attention_overrideable": _scaled_dot_product,
    "_native_multi_head_attention": _native_multi_head,
    "_transformer_encoder_layer_fwd": _encoder_layer,
}
