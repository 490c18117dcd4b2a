"""What `regard.steer` changes in a call of attention: weights of keys and of heads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from regard.attention.normalizers import Softmax
from regard.errors import InputError

__all__ = ["SteeredLayer", "steered_attention", "steered_layers", "steered_mask", "steering_of"]


@dataclass
class SteeredLayer:
    """What is changed in the attention of one module.

    Attributes:
        site: of the layer.
        number: of the layer at its site.
        heads: that are silenced.
        factors: of keys, by position.
        calls: how often it ran.
        keys: most keys that it had.
    """

    site: str
    number: int
    heads: set[int] = field(default_factory=set)
    factors: dict[int, float] = field(default_factory=dict)
    calls: int = 0
    keys: int = 0

    def bias(self, query: Tensor, keys: int) -> Tensor:
        """What is added to the scores, `(1, heads or 1, 1, keys)`: logarithms of the factors."""
        count = query.shape[1]
        if self.heads and max(self.heads) >= count:
            raise InputError(
                f"no head {max(self.heads)} in {self.site} layer {self.number}; it has {count}, from 0"
            )
        bias = torch.zeros(1, count if self.heads else 1, 1, keys, device=query.device)
        for position, factor in self.factors.items():
            if position < keys:
                bias[..., position] = torch.tensor(factor).log()
        bias[:, sorted(self.heads)] = -torch.inf
        return bias


steered_layers: dict[int, SteeredLayer] = {}
"""By the id of each attention module of a steered model."""


def steering_of(module: nn.Module) -> SteeredLayer | None:
    """What is changed in the attention of a module, if its model is steered."""
    return steered_layers.get(id(module))


def steered_mask(
    layer: SteeredLayer,
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    mask: Tensor | None,
    options: Mapping[str, Any],
) -> Tensor:
    """Additive mask `(batch or 1, heads or 1, queries, keys)` with what is changed; -inf hides a key."""
    queries, keys = query.shape[2], key.shape[2]
    window = getattr(module, "sliding_window", None)
    # A full sliding cache has dropped its first keys, and does not say how many.
    if layer.factors and isinstance(window, int) and queries < keys <= window <= keys + 1:
        raise InputError(
            f"{layer.site} layer {layer.number} keeps a window of {window} keys, and the text is longer: "
            "positions of keys are not known there; run the text in one pass, without a cache"
        )
    layer.calls += 1
    layer.keys = max(layer.keys, keys)
    bias = layer.bias(query, keys)
    position_bias = options.get("position_bias")
    if position_bias is not None:
        bias = bias + position_bias[..., :keys]
    option = options.get("is_causal")
    is_causal = bool(getattr(module, "is_causal", True) if option is None else option)
    if mask is None and is_causal and queries > 1:
        # The first query is aligned with the first key, as sdpa has it.
        mask = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril()[None, None]
    if mask is None:
        return bias.expand(-1, -1, queries, -1)
    if mask.dtype == torch.bool:
        return torch.where(mask[..., :keys], bias, -torch.inf)
    added = mask[..., :keys].float()
    return torch.where(added <= torch.finfo(mask.dtype).min / 2, -torch.inf, bias + added)


def steered_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor,
    options: Mapping[str, Any],
) -> tuple[Tensor, Tensor]:
    """Attention with an additive mask; rows that see nothing are zeros.

    Returns:
        Output `(batch, queries, heads, features)` and weights `(batch, heads, queries, keys)`.
    """
    group = query.shape[1] // key.shape[1]
    if group > 1:
        key, value = (part.repeat_interleave(group, 1) for part in (key, value))
    scaling = options.get("scaling")
    scores = query @ key.mT * (query.shape[-1] ** -0.5 if scaling is None else scaling)
    cap = options.get("softcap")
    if cap is not None:
        scores = cap * torch.tanh(scores / cap)
    weights = Softmax(options.get("s_aux"))(scores.float() + mask).to(query.dtype)
    dropped = nn.functional.dropout(
        weights, options.get("dropout") or 0.0, training=module.training
    )
    return (dropped @ value).transpose(1, 2).contiguous(), weights
