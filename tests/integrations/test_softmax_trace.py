"""A softmax followed from its scores to the product with the values."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from regard.errors import InputError
from regard.integrations.softmax_trace import Followed, SoftmaxTrace


class Tracing(TorchDispatchMode):
    """Hands every operator to a trace, as the dispatcher of the project does."""

    def __init__(self, trace: SoftmaxTrace) -> None:
        super().__init__()
        self.trace = trace

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        self.trace.before(name, args)
        made = func(*args, **(kwargs or {}))
        self.trace.observe(name, args, made)
        return made


def seen_in(model: nn.Module, run: Callable[[], object]) -> list[tuple[Followed, Tensor]]:
    """Attention in a run, with the weights as they were when they were reported."""
    found: list[tuple[Followed, Tensor]] = []

    def report(followed: Followed) -> None:
        assert followed.found is not None
        tensor, axes = followed.found
        found.append((followed, axes.original(tensor, len(followed.shape)).clone()))

    trace = SoftmaxTrace(model, report, [])
    with torch.no_grad(), Tracing(trace):
        run()
        trace.flush(0, ended=True)
    return found


QUERY, KEY, VALUE = torch.randn(3, 2, 4, 5, 8, generator=torch.Generator().manual_seed(0))


def test_attention_is_reported_with_its_weights_and_queries() -> None:
    weights = (QUERY @ KEY.mT).softmax(-1)
    ((followed, seen),) = seen_in(nn.Identity(), lambda: (QUERY @ KEY.mT).softmax(-1) @ VALUE)
    assert followed.of_product
    assert not followed.over_features
    assert followed.free == {seen.dim() - 2}
    assert torch.equal(seen.reshape(weights.shape), weights)


def test_what_is_before_dropout_is_kept() -> None:
    torch.manual_seed(0)
    dropped = seen_in(
        nn.Identity(),
        lambda: nn.functional.dropout((QUERY @ KEY.mT).softmax(-1), 0.5, training=True) @ VALUE,
    )
    ((_, seen),) = dropped
    torch.testing.assert_close(seen.sum(-1), torch.ones_like(seen.sum(-1)))


def test_a_sink_is_left_out_of_the_weights() -> None:
    def with_sink() -> Tensor:
        scores = torch.cat([QUERY @ KEY.mT, torch.zeros(2, 4, 5, 1)], -1)
        return scores.softmax(-1)[..., :-1] @ VALUE

    ((followed, seen),) = seen_in(nn.Identity(), with_sink)
    assert seen.shape[-1] == 5
    assert followed.shape[-1] == 5
    assert float(seen.sum(-1).max()) < 1


def test_a_router_and_a_classifier_are_no_attention() -> None:
    model = nn.Linear(8, 5)
    found = seen_in(model, lambda: model(QUERY[0, 0]).softmax(-1) @ VALUE[0, 0])
    assert all(followed.over_features for followed, _ in found)
    assert seen_in(model, lambda: (QUERY @ KEY.mT).softmax(-1).sum()) == []


def test_a_softmax_written_by_hand_is_followed() -> None:
    def by_hand() -> Tensor:
        scores = QUERY @ KEY.mT
        powers = (scores - scores.amax(-1, keepdim=True)).exp()
        return powers / powers.sum(-1, keepdim=True) @ VALUE

    found = seen_in(nn.Identity(), by_hand)
    expected = (QUERY @ KEY.mT).softmax(-1)
    for _, seen in found:
        torch.testing.assert_close(seen.reshape(expected.shape), expected)
    assert len(found) == 1


def test_products_of_two_softmaxes_and_parts_of_queries_are_refused() -> None:
    def nystrom() -> Tensor:
        return (QUERY @ KEY.mT).softmax(-1) @ (KEY @ QUERY.mT).softmax(-1) @ VALUE

    with pytest.raises(InputError, match="two results of a softmax are multiplied"):
        seen_in(nn.Identity(), nystrom)
    with pytest.raises(InputError, match="weights of a softmax of shape"):
        seen_in(nn.Identity(), lambda: (QUERY @ KEY.mT).softmax(-1)[:, :, :2] @ VALUE)
