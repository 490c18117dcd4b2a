"""Memory in large pages."""

from __future__ import annotations

import torch

from regard.compiled.memory import empty_in_large_pages


def test_float32_of_the_shape_that_can_be_written_and_has_gradients() -> None:
    array = empty_in_large_pages((3, 5)).fill_(2.0)
    assert (array.dtype, array.shape) == (torch.float32, (3, 5))
    (array.requires_grad_() ** 2).sum().backward()
    assert array.grad is not None
    assert bool((array.grad == 4.0).all())
