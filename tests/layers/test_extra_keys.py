"""Extra keys against torch's `add_bias_kv` and `add_zero_attn`, with masks, biases and caches."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import nn

from regard.attention import causal, padding, window
from regard.attention.masks import Mask
from regard.errors import InputError
from regard.layers import ALiBiPositions, MultiHeadAttention

LENGTHS = torch.tensor([7, 3, 1])


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(5)


@pytest.mark.parametrize("masked", [True, False])
@pytest.mark.parametrize(
    "settings",
    [
        {"add_bias_kv": True},
        {"add_zero_attn": True},
        {"add_bias_kv": True, "add_zero_attn": True},
        {"add_bias_kv": True, "kdim": 9, "vdim": 9},
        {"add_zero_attn": True, "kdim": 9, "vdim": 5, "bias": False},
        {"kdim": 12, "vdim": 5},
        {"kdim": 9},
    ],
)
def test_against_torch(settings: dict[str, Any], masked: bool) -> None:
    theirs = nn.MultiheadAttention(12, 3, batch_first=True, **settings).double()
    if theirs.in_proj_bias is not None:
        nn.init.normal_(theirs.in_proj_bias)
    ours = MultiHeadAttention.from_torch(theirs)
    query = torch.randn(3, 5, 12, dtype=torch.float64)
    key = torch.randn(3, 7, theirs.kdim, dtype=torch.float64)
    value = torch.randn(3, 7, theirs.vdim, dtype=torch.float64)
    absent = torch.arange(7) >= LENGTHS[:, None] if masked else None
    expected, weights = theirs(
        query, key, value, key_padding_mask=absent, average_attn_weights=False
    )
    output, found = ours(query, key, value, mask=padding(LENGTHS) if masked else None)
    torch.testing.assert_close(output, expected)
    torch.testing.assert_close(found.dense(), weights)


@pytest.mark.parametrize("length", [5, 400])
@pytest.mark.parametrize("mask", [causal(), window(2, 1), padding([4, 2]), ~causal()])
def test_masks_and_positions_are_of_the_sequence(mask: Mask, length: int) -> None:
    """The last query sits at the last key of the sequence, not at an extra one."""
    layer = MultiHeadAttention(8, 2, positions=ALiBiPositions(), extra_keys=("zero", "learned"))
    plain = MultiHeadAttention(8, 2, positions=ALiBiPositions())
    plain.load_state_dict({n: p for n, p in layer.state_dict().items() if "extra" not in n})
    x = torch.randn(2, length, 8)
    with torch.no_grad():
        (_, weights), (_, without) = layer(x, mask=mask), plain(x, mask=mask)
        sequence = weights[..., :length]
        total = sequence.sum(-1, keepdim=True)
        expected = torch.where(total == 0, 0.0, sequence / total)
        torch.testing.assert_close(expected, without.dense(), atol=1e-5, rtol=1e-4)
        assert (weights[..., length:] > 0).all()
        torch.testing.assert_close(
            weights.entropy(), _entropy(weights.dense()), atol=1e-5, rtol=1e-4
        )


def _entropy(weights: torch.Tensor) -> torch.Tensor:
    return -(weights * torch.where(weights > 0, weights, 1).log()).sum(-1)


def test_gradients_of_the_learned_vectors() -> None:
    layer = MultiHeadAttention(4, 2, extra_keys=("learned",)).double()
    x = torch.randn(2, 3, 4, dtype=torch.float64)
    names = [name for name, _ in layer.named_parameters()]

    def run(*parameters: torch.Tensor) -> torch.Tensor:
        values = dict(zip(names, parameters, strict=True))
        output: torch.Tensor = torch.func.functional_call(layer, values, (x,), {"mask": causal()})[
            0
        ]
        return output

    assert torch.autograd.gradcheck(run, tuple(layer.parameters()), fast_mode=True)


def test_step_by_step() -> None:
    layer = MultiHeadAttention(8, 2, extra_keys=("learned", "zero")).double()
    x = torch.randn(40, 5, 8, dtype=torch.float64)
    whole, _ = layer(x, mask=causal())
    cache, parts = None, []
    for n in range(5):
        output, weights, cache = layer.step(x[:, n : n + 1], cache)
        assert weights.shape == (40, 2, 1, n + 3)
        parts.append(output)
    torch.testing.assert_close(torch.cat(parts, 1), whole)


def test_unknown_kinds_are_refused() -> None:
    with pytest.raises(InputError, match="extra key 'zeros'; did you mean 'zero'"):
        MultiHeadAttention(8, 2, extra_keys=("zeros",))  # type: ignore[arg-type]
