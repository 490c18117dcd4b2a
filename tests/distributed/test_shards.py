"""Where positions are."""

from __future__ import annotations

import pytest
import torch

from regard.distributed import Shards
from regard.errors import InputError, ShapeError


def test_zigzag_by_hand() -> None:
    # 10 positions in 4 chunks of 3, 3, 2, 2: process 0 has the first and the last, process 1 the inner two.
    shards = Shards.zigzag(10, 2)
    assert shards.ranges == ((range(3), range(8, 10)), (range(3, 6), range(6, 8)))
    assert shards.lengths == (5, 5)
    assert shards.positions(1).tolist() == [3, 4, 5, 6, 7]


def test_zigzag_gives_equal_work_under_a_causal_mask() -> None:
    shards = Shards.zigzag(64, 4)
    work = [int((shards.positions(rank) + 1).sum()) for rank in range(4)]
    assert len(set(work)) == 1


def test_zigzag_is_the_layout_of_torch() -> None:
    balancer = pytest.importorskip(
        "torch.distributed.tensor.experimental._context_parallel._load_balancer"
    )
    order = balancer._HeadTailLoadBalancer(24, 3, "cpu")._generate_indices().flatten()
    shards = Shards.zigzag(24, 3)
    assert torch.cat([shards.positions(rank) for rank in range(3)]).equal(order.long())


@pytest.mark.parametrize(
    "shards",
    [
        Shards.even(11, 3),
        Shards.zigzag(11, 3),
        Shards.zigzag(3, 4),
        Shards.contiguous([0, 10, 1]),
        Shards.even(0, 2),
    ],
)
def test_what_is_taken_apart_is_joined(shards: Shards) -> None:
    x = torch.randn(2, shards.length, 3)
    parts = [shards.take(x, rank) for rank in range(shards.processes)]
    assert shards.join(parts).equal(x)
    turned = [part.mT for part in parts]
    assert shards.join(turned, axis=2).equal(x.mT)


def test_gradients_flow_through_a_shard() -> None:
    x = torch.zeros(6, requires_grad=True)
    Shards.zigzag(6, 2).take(x, 0, axis=0).sum().backward()
    assert x.grad is not None
    assert x.grad.tolist() == [1, 1, 0, 0, 0, 1]


@pytest.mark.parametrize(
    "ranges",
    [(), ((range(2),), (range(1, 3),)), ((range(2),), (range(3, 4),)), ((range(0, 4, 2),),)],
)
def test_no_partition(ranges: tuple[tuple[range, ...], ...]) -> None:
    with pytest.raises(InputError):
        Shards(ranges)


def test_refusals() -> None:
    with pytest.raises(InputError, match="at least 1 process"):
        Shards.zigzag(4, 0)
    with pytest.raises(InputError, match="-1"):
        Shards.contiguous([3, -1])
    shards = Shards.even(5, 2)
    with pytest.raises(ShapeError, match=r"4 positions along axis -2; the shards are of 5"):
        shards.take(torch.zeros(4, 1), 0)
    with pytest.raises(ShapeError, match=r"\[2, 3\].*expected \[3, 2\]"):
        shards.join([torch.zeros(2, 1), torch.zeros(3, 1)])
