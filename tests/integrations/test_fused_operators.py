"""Maps of torch's fused operators of attention, beside attention written out."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from regard.errors import InputError
from regard.integrations.captured import Keep
from regard.integrations.fused_operators import checked_heads, fused_map

KEEP = Keep(maps=True)
QUERY, KEY, VALUE = torch.randn(3, 2, 4, 5, 8, generator=torch.Generator().manual_seed(0))
SDPA = "_scaled_dot_product_flash_attention_for_cpu"


def weights_of(name: str, given: dict[str, Any], *, keep: Keep = KEEP) -> tuple[torch.Tensor, bool]:
    make = fused_map(name)
    assert make is not None
    found, is_causal = make(given, keep, (4,))
    return torch.as_tensor(found[:, :, :]), is_causal


@pytest.mark.parametrize("masking", ["nothing", "flag", "boolean", "added"])
def test_scaled_dot_product(masking: str) -> None:
    scores = QUERY @ KEY.mT * 8**-0.5
    given: dict[str, Any] = {"query": QUERY, "key": KEY, "value": VALUE}
    lower = torch.ones(5, 5, dtype=torch.bool).tril()
    if masking == "flag":
        given["is_causal"] = True
        scores = scores.masked_fill(~lower, -torch.inf)
    elif masking == "boolean":
        given["attn_mask"] = lower[None, None]
        scores = scores.masked_fill(~lower, -torch.inf)
    elif masking == "added":
        given["attn_bias"] = torch.linspace(-2, 2, 25).reshape(1, 1, 5, 5)
        scores = scores + given["attn_bias"]
    found, is_causal = weights_of(SDPA, given)
    torch.testing.assert_close(found, scores.softmax(-1))
    assert is_causal == (masking == "flag")


def test_a_scale_of_its_own_and_shared_keys() -> None:
    given = {"query": QUERY, "key": KEY[:, :2], "value": VALUE[:, :2], "scale": 2.0}
    expected = (QUERY @ KEY[:, :2].repeat_interleave(2, 1).mT * 2).softmax(-1)
    torch.testing.assert_close(weights_of(SDPA, given)[0], expected)
    kept = weights_of(SDPA, given, keep=Keep(maps=True, heads=(1, 3)))[0]
    torch.testing.assert_close(kept, expected[:, [1, 3]])


def test_the_fast_path_of_multi_head_attention() -> None:
    torch.manual_seed(0)
    layer = nn.MultiheadAttention(8, 4, batch_first=True).eval()
    states = torch.randn(2, 5, 8)
    hidden = torch.zeros(2, 5, dtype=torch.bool)
    hidden[1, 3:] = True
    given = {
        "query": states,
        "key": states,
        "value": states,
        "num_head": 4,
        "qkv_weight": layer.in_proj_weight.detach(),
        "qkv_bias": layer.in_proj_bias.detach(),
        "mask": hidden,
        "mask_type": 1,
    }
    with torch.no_grad():
        _, expected = layer(
            states, states, states, key_padding_mask=hidden, average_attn_weights=False
        )
    torch.testing.assert_close(weights_of("_native_multi_head_attention", given)[0], expected)


def test_other_operators_are_no_attention_and_opaque_ones_are_refused() -> None:
    assert fused_map("mm") is None
    with pytest.raises(
        InputError, match="_flash_attention_forward, whose weights cannot be watched"
    ):
        fused_map("_flash_attention_forward")
    assert checked_heads((0, 3), 4) == [0, 3]
    with pytest.raises(InputError, match="asks for head 4; this layer has 4"):
        checked_heads((4,), 4)
