"""What a map over several processes answers later."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import regard
from regard.attention.normalizers import Softmax
from regard.attention.scores import ScaledDot
from regard.distributed import ShardedAttentionMap, Shards
from regard.distributed.attend import attend_over
from regard.distributed.problem import make_sharded_problem
from regard.distributed.ring import Ring
from regard.errors import InputError

Threads = Callable[[int, Callable[[Ring], Any]], list[Any]]
LENGTH = 41
SHARDS = Shards.zigzag(LENGTH, 3)


def arrays() -> list[Tensor]:
    generator = torch.Generator().manual_seed(5)
    return [torch.randn(2, LENGTH, 8, generator=generator) for _ in range(3)]


def answers_of(
    threads: Threads, question: Callable[[ShardedAttentionMap], Any], **given: Any
) -> list[Any]:
    def work(ring: Ring) -> Any:
        own = [SHARDS.take(x, ring.rank) for x in arrays()]
        problem = make_sharded_problem(
            ring, *own, shards=SHARDS, key_shards=None, score=ScaledDot(), normalizer=Softmax(),
            mask=regard.causal(), bias=None,
        )  # fmt: skip
        return question(attend_over(problem, given.get("watched", []))[1])

    return threads(3, work)


@pytest.fixture
def alone() -> regard.AttentionMap:
    return regard.attend(*arrays(), mask=regard.causal())[1]


@pytest.mark.parametrize("watched", [[], [("received",), ("topk", 8), ("pool", 64, 64)]])
def test_rows_and_columns(
    threads: Threads, alone: regard.AttentionMap, watched: list[tuple[str | int, ...]]
) -> None:
    def question(found: ShardedAttentionMap) -> list[Tensor]:
        lists = found.topk(4)
        at_lists = lists.positions
        columns = [found.entropy(), found.lse(), found.max_score(), found.received()]
        return [torch.stack(columns, -1), lists.values, at_lists, found.topk(12).values]

    parts = answers_of(threads, question, watched=watched)
    columns, values, positions, longer = (SHARDS.join(part) for part in zip(*parts, strict=True))
    entropy, lse, max_score, received = columns.unbind(-1)
    for found, right in (
        (entropy, alone.entropy()),
        (lse, alone.lse()),
        (max_score, alone.max_score()),
        (received, alone.received()),
        (values, alone.topk(4).values),
        (longer, alone.topk(12).values),
        (alone.dense().gather(-1, positions), values),
    ):
        torch.testing.assert_close(found, right, rtol=0, atol=2e-6)


def test_pooled_blocks_are_whole_in_every_process(
    threads: Threads, alone: regard.AttentionMap
) -> None:
    right = alone.pool(5, 7)
    for mean, most in answers_of(threads, lambda found: found.pool(5, 7)):
        torch.testing.assert_close(mean, right.mean, rtol=0, atol=1e-6)
        torch.testing.assert_close(most, right.max, rtol=0, atol=1e-6)


def test_what_it_says_of_itself(threads: Threads) -> None:
    texts = answers_of(threads, lambda found: (repr(found), found.shape, found.dtype))
    assert texts[1] == (
        "ShardedAttentionMap(shape=(2, 41, 41), dtype=torch.float32, process 1 of 3)",
        (2, LENGTH, LENGTH),
        torch.float32,
    )


def test_an_answer_that_is_written_to_changes_no_later_one(threads: Threads) -> None:
    def question(found: ShardedAttentionMap) -> bool:
        before = found.received()
        expected = before.clone()
        before += 1
        found.pool().mean.zero_()
        return bool(found.received().equal(expected)) and bool(found.pool().mean.any())

    assert answers_of(threads, question) == [True] * 3


def test_an_input_changed_in_place(threads: Threads) -> None:
    def question(found: ShardedAttentionMap) -> Any:
        found._problem.query.add_(1)
        return found.topk(3)

    with pytest.raises(InputError, match=r"query .* was changed in place"):
        answers_of(threads, question)


def test_refusals(threads: Threads) -> None:
    for question, message in (
        (lambda found: found.topk(0), "at least 1 key"),
        (lambda found: found.pool(0, 3), "at least 1"),
        (lambda found: found.statistic("entropy"), "statistic is 'entropy'"),
        (lambda found: found.gather(found.entropy(), of="rows"), "'queries' or 'keys'"),
    ):
        with pytest.raises(InputError, match=message):
            answers_of(threads, question)  # type: ignore[arg-type]
