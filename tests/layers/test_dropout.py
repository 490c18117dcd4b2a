"""Dropout: shares, scale, seeds and gradient."""

from __future__ import annotations

import pytest
import torch

from regard.layers.dropout import Dropout


@pytest.mark.parametrize("p", [0.1, 0.3, 0.75])
def test_share_and_scale(p: float) -> None:
    torch.manual_seed(0)
    dropped = Dropout(p)(torch.ones(1009, 97))
    share = float((dropped == 0).double().mean())
    deviation = (p * (1 - p) / dropped.numel()) ** 0.5
    assert abs(share - p) < 5 * deviation
    kept = dropped[dropped != 0]
    torch.testing.assert_close(kept, torch.full_like(kept, 1 / (1 - p)), rtol=2e-5, atol=0)


def test_elements_are_independent_along_both_axes() -> None:
    torch.manual_seed(0)
    kept = (Dropout(0.5)(torch.ones(997, 1013)) != 0).double()
    for left, right in [
        (kept[1:], kept[:-1]),
        (kept[:, 1:], kept[:, :-1]),
        (kept[:, 4:], kept[:, :-4]),
    ]:
        both = float((left * right).mean())
        assert abs(both - 0.25) < 0.003


def test_the_generator_decides() -> None:
    x, dropout = torch.ones(31, 7), Dropout(0.5)
    torch.manual_seed(3)
    first, second = dropout(x), dropout(x)
    torch.manual_seed(3)
    assert torch.equal(dropout(x), first)
    assert not torch.equal(first, second)


def test_the_gradient_is_zero_where_the_output_is() -> None:
    x = torch.ones(13, 5, requires_grad=True)
    output = Dropout(0.4)(x)
    output.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, output.detach())


def test_nothing_happens_in_evaluation_or_without_dropout() -> None:
    x = torch.randn(3, 5)
    assert torch.equal(Dropout(0.4).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)
    assert torch.equal(Dropout(1.0)(x), torch.zeros(3, 5))


def test_odd_sizes_and_lower_precision() -> None:
    output = Dropout(0.5)(torch.ones(3, 1, 1, dtype=torch.bfloat16))
    assert output.shape == (3, 1, 1)
    assert output.dtype == torch.bfloat16
    assert Dropout(0.5)(torch.ones(0, 4)).shape == (0, 4)
