"""Smoothed cross entropy, by hand and against torch's."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from regard.training import cross_entropy_loss, smoothed_cross_entropy


def test_by_hand() -> None:
    # Two classes of probability 3/4 and 1/4; the second row is padding.
    logits = torch.tensor([[0.0, math.log(3.0)], [5.0, -5.0]], dtype=torch.float64)
    targets = torch.tensor([1, 0])
    plain = smoothed_cross_entropy(logits, targets)
    assert float(plain) == pytest.approx(-math.log(3 / 4), abs=1e-12)
    smooth = smoothed_cross_entropy(logits, targets, smoothing=0.2)
    assert float(smooth) == pytest.approx(
        -0.8 * math.log(3 / 4) - 0.1 * math.log(3 / 16), abs=1e-12
    )


def test_the_plain_loss_comes_with_the_smoothed_one() -> None:
    torch.manual_seed(0)
    logits = torch.randn(13, 11, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 3, 4, 0, 10, 2, 9, 1, 1, 0, 5, 6, 7])
    found = cross_entropy_loss(logits, targets, 10, smoothing=0.3)
    assert found.count == 10
    assert found.plain is not None
    assert not found.plain.requires_grad
    torch.testing.assert_close(found.plain, smoothed_cross_entropy(logits, targets).detach())
    wanted = smoothed_cross_entropy(logits, targets, smoothing=0.3)
    torch.testing.assert_close(found.value, wanted, rtol=0, atol=0)
    (with_plain,) = torch.autograd.grad(found.value, logits)
    torch.testing.assert_close(with_plain, torch.autograd.grad(wanted, logits)[0], rtol=0, atol=0)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
@pytest.mark.parametrize("ignore_index", [0, -1])
def test_against_torch(smoothing: float, ignore_index: int) -> None:
    torch.manual_seed(0)
    logits = torch.randn(5, 7, 1009, dtype=torch.float64, requires_grad=True)
    targets = torch.randint(0, 1009, (5, 7))
    targets[1, 2:] = ignore_index
    ours = smoothed_cross_entropy(logits, targets, smoothing=smoothing, ignore_index=ignore_index)
    theirs = F.cross_entropy(
        logits.flatten(0, 1),
        targets.flatten(),
        ignore_index=ignore_index,
        label_smoothing=smoothing,
        reduction="sum",
    )
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=0)
    (wanted,) = torch.autograd.grad(theirs, logits)
    (found,) = torch.autograd.grad(ours, logits)
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-13)


def test_gradcheck_with_a_factor_behind_it() -> None:
    torch.manual_seed(0)
    logits = torch.randn(7, 11, dtype=torch.float64, requires_grad=True)
    targets = torch.tensor([0, 3, 4, 0, 10, 2, 9])
    assert torch.autograd.gradcheck(
        lambda x: 3 * smoothed_cross_entropy(x, targets, smoothing=0.1), logits
    )


def test_two_backward_passes_add_up() -> None:
    logits = torch.randn(4, 5, requires_grad=True)
    loss = smoothed_cross_entropy(logits, torch.tensor([1, 2, 3, 4]))
    loss.backward(retain_graph=True)
    assert logits.grad is not None
    once = logits.grad.clone()
    loss.backward()
    torch.testing.assert_close(logits.grad, 2 * once)


def test_many_rows_in_chunks_in_lower_precision() -> None:
    torch.manual_seed(0)
    logits = torch.randn(613, 4001).bfloat16().requires_grad_()
    targets = torch.randint(0, 4001, (613,))
    ours = smoothed_cross_entropy(logits, targets, smoothing=0.1)
    theirs = F.cross_entropy(
        logits.float(), targets, ignore_index=0, label_smoothing=0.1, reduction="sum"
    )
    assert ours.dtype == torch.float32
    torch.testing.assert_close(ours, theirs, rtol=1e-6, atol=0)


def test_ignored_targets_have_no_gradient() -> None:
    logits = torch.randn(2, 3, 5, requires_grad=True)
    targets = torch.tensor([[1, 4, 0], [2, 0, 0]])
    smoothed_cross_entropy(logits, targets, smoothing=0.1).backward()
    assert logits.grad is not None
    assert bool((logits.grad[targets == 0] == 0).all())
    plain = F.cross_entropy(logits.flatten(0, 1)[:2], torch.tensor([1, 4]), reduction="sum")
    rest = F.cross_entropy(logits[1, :1], torch.tensor([2]), reduction="sum")
    torch.testing.assert_close(smoothed_cross_entropy(logits, targets), plain + rest)


@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_entries_that_are_never_written_change_nothing(smoothing: float) -> None:
    """Against the loss over the other entries alone; padding may be such an entry."""
    torch.manual_seed(0)
    possible = torch.randn(4, 3, 7, requires_grad=True)
    targets = torch.randint(1, 7, (4, 3))
    wide = torch.cat([torch.full((4, 3, 2), -torch.inf), possible], -1)
    padded = torch.where(torch.arange(3) < 2, targets + 2, 0)  # of wide, entry 0 is never written
    found = smoothed_cross_entropy(wide, padded, smoothing=smoothing)
    (gradient,) = torch.autograd.grad(found, possible)
    expected = smoothed_cross_entropy(possible[:, :2], targets[:, :2], smoothing=smoothing)
    (wanted,) = torch.autograd.grad(expected, possible)
    torch.testing.assert_close(found, expected)
    torch.testing.assert_close(gradient, wanted)
