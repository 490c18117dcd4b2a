"""What `nn.TransformerEncoderLayer` and its kin need of the attention they hold.

torch's layers call their attention by torch's keywords, in which `True` means "may not attend", and read
attributes of it to decide on a fused path of their own, which takes the parameters and never calls it.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regard.attention import masks
from regard.attention.masks import Mask
from regard.attention.positions import Bias, as_bias
from regard.errors import MaskError, ShapeError
from regard.layers.linear import Linear

__all__ = ["StandsInForTorch", "add_torch_masks", "state_of"]


class _NoFastPath(Tensor):
    """A tensor type of its own, so that torch's fused paths step aside.

    They do for any argument that overrides torch's functions. One of them has been chosen when the
    encoder was built, before its attention was replaced, so that no other attribute would be read again.
    """


class StandsInForTorch(nn.Module):
    """Attributes of `nn.MultiheadAttention` that torch's layers read.

    Attributes:
        heads: number of heads.
        output: the output projection.
        batch_first: whether the layer that this one replaces takes the batch first; the layer itself
            always does.
    """

    heads: int
    output: Linear
    batch_first: bool = True

    @property
    def num_heads(self) -> int:
        """Number of heads."""
        return self.heads

    @property
    def out_proj(self) -> nn.Linear:
        """The output projection."""
        return self.output

    @property
    def in_proj_weight(self) -> Tensor:
        """No parameter, but a sign for torch to call `forward`."""
        return torch.empty(0).as_subclass(_NoFastPath)

    @property
    def in_proj_bias(self) -> None:
        """No parameter: torch's layers then call `forward`."""
        return None

    @property
    def _qkv_same_embed_dim(self) -> bool:
        return False


def add_torch_masks(
    mask: Mask | Tensor | None,
    bias: Bias | Tensor | None,
    *,
    attn_mask: Tensor | None,
    key_padding_mask: Tensor | None,
    is_causal: bool,
    heads: int,
) -> tuple[Mask | Tensor | None, Bias | Tensor | None]:
    """Mask and bias with those added that torch passes.

    Args:
        mask: in terms of this project, `True` = may attend.
        bias: added to the scores.
        attn_mask: `(queries, keys)` or `(batch * heads, queries, keys)`: Boolean, `True` = may not
            attend, or floats to add.
        key_padding_mask: `(batch, keys)`: Boolean, `True` = padding, or floats to add.
        is_causal: a hint that `attn_mask` is causal; without `attn_mask`, queries attend to keys up to
            their own position, counted from the first.
        heads: number of heads.

    Raises:
        MaskError, ShapeError: another type or shape.
    """
    if is_causal and attn_mask is None:
        mask = _and(mask, masks.causal(align="upper left"))
    if attn_mask is not None:
        if attn_mask.ndim not in (2, 3):
            raise ShapeError(
                f"attn_mask has shape {tuple(attn_mask.shape)}; expected (queries, keys) or "
                "(batch * heads, queries, keys)"
            )
        if attn_mask.ndim == 3:
            if attn_mask.shape[0] % heads:
                raise ShapeError(
                    f"attn_mask has shape {tuple(attn_mask.shape)}; expected (batch * heads, queries, "
                    f"keys) with {heads} heads"
                )
            attn_mask = attn_mask.view(-1, heads, *attn_mask.shape[1:])
        mask, bias = _add(mask, bias, attn_mask, "attn_mask")
    if key_padding_mask is not None:
        if key_padding_mask.ndim != 2:
            raise ShapeError(
                f"key_padding_mask has shape {tuple(key_padding_mask.shape)}; expected (batch, keys)"
            )
        mask, bias = _add(mask, bias, key_padding_mask[:, None, None], "key_padding_mask")
    return mask, bias


def _add(mask: Any, bias: Any, given: Tensor, name: str) -> tuple[Any, Any]:
    if given.dtype == torch.bool:
        return _and(mask, ~given), bias
    if not given.is_floating_point():
        raise MaskError(
            f"{name} holds {given.dtype}; expected Booleans, True = may not attend, or floats to add"
        )
    return mask, given if bias is None else as_bias(bias) + given


def _and(mask: Any, other: Any) -> Any:
    return other if mask is None else masks.as_mask(mask) & other


def state_of(module: nn.MultiheadAttention) -> dict[str, Tensor]:
    """The parameters of torch's module under the names of `MultiHeadAttention`."""
    state: dict[str, Tensor] = {"output.weight": module.out_proj.weight}
    biases: Tensor | None = module.in_proj_bias
    width = module.embed_dim
    if biases is not None:
        state["output.bias"] = module.out_proj.bias
    if module.bias_k is not None and module.bias_v is not None:
        state["extra_keys.key"] = module.bias_k[0]
        state["extra_keys.value"] = module.bias_v[0]
    if module.in_proj_weight is not None:  # one matrix for queries, keys and values
        state["projection.weight"] = module.in_proj_weight
        if biases is not None:
            state["projection.bias"] = biases
        return state
    state["projection.weight"] = module.q_proj_weight
    if module.kdim == module.vdim:
        state["memory.weight"] = torch.cat([module.k_proj_weight, module.v_proj_weight])
    else:
        state["memory.weight"] = module.k_proj_weight
        state["memory_value.weight"] = module.v_proj_weight
    if biases is not None:  # torch keeps one bias in all cases
        query, key, value = biases.split(width)
        state["projection.bias"] = query
        if module.kdim == module.vdim:
            state["memory.bias"] = torch.cat([key, value])
        else:
            state["memory.bias"], state["memory_value.bias"] = key, value
    return state
