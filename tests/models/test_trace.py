"""Traces: what ran, in which order, on the outputs of which layers."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from regard.models.trace import layers_of, trace


class _Loop(nn.Module):
    """A cell that runs once for each position and adds two layers in every step."""

    def __init__(self) -> None:
        super().__init__()
        self.cell = nn.Linear(4, 4)
        self.other = nn.Linear(4, 4)
        self.same = self.cell
        self.idle = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        state = torch.zeros(len(x), 4)
        written = torch.zeros_like(x)
        for t in range(x.shape[1]):
            state = self.idle(self.cell(x[:, t])) + self.other(state)
            written[:, t] = state
        return {"all": self.same(written)}


def test_a_layer_called_in_a_loop_and_under_two_names() -> None:
    module = _Loop().eval()
    x = torch.zeros(2, 3, 4)
    layers = layers_of(module)
    assert list(layers) == ["cell", "other"]
    ran, result = trace(module, lambda: module(x), {"x": x}, layers)
    assert isinstance(result, dict)
    assert list(ran) == ["cell", "other", "add"]
    assert ran["cell"].shapes == [(2, 4), (2, 3, 4)]
    assert list(ran["cell"].inputs) == ["x", "add"]
    assert list(ran["other"].inputs) == ["add"]
    assert list(ran["add"].inputs) == ["cell", "other"]


def test_a_module_that_fails_is_left_as_it_was() -> None:
    module = nn.Sequential(nn.Linear(4, 4), nn.Linear(5, 5))
    x = torch.zeros(2, 4)
    try:
        trace(module, lambda: module(x), {"x": x}, layers_of(module))
    except RuntimeError:
        assert not any("forward" in vars(part) for part in module)
    else:
        raise AssertionError("it should not have run")
