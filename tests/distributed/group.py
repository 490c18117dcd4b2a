"""A program that forks processes which attend together; `test_ring.py` starts it and reads what they found.

python group.py equal | killed | stuck
"""

from __future__ import annotations

import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from typing import Any

import torch
import torch.distributed as dist

import regard
from regard import distributed
from regard.distributed import Shards, block

LENGTH = 53


def serve(rank: int, size: int, store: str, work: Callable[[int], Any], results: Any) -> None:
    """One process of the group."""
    torch.set_num_threads(1)
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    results.put((rank, work(rank)))
    results.close()
    results.join_thread()
    os._exit(0)  # without the farewell of groups, in which a killed process would be missed


def run(size: int, work: Callable[[int], Any], expected: int) -> dict[int, Any]:
    """What each process returns, from as many as are expected to."""
    context = multiprocessing.get_context("fork")
    with tempfile.TemporaryDirectory() as folder:
        results = context.Queue()
        given = (size, f"{folder}/store", work, results)
        processes = [context.Process(target=serve, args=(rank, *given)) for rank in range(size)]
        for process in processes:
            process.start()
        found = dict(results.get(timeout=100) for _ in range(expected))
        for process in processes:
            process.kill()
            process.join()
    return found


def largest_difference(shards: Shards, group: Any, rank: int, dtype: torch.dtype) -> float:
    """Between one process and several, over every answer and every gradient."""
    generator = torch.Generator().manual_seed(3)
    heads = (4, 2, 2)
    whole = [torch.randn(2, h, LENGTH, 8, generator=generator).to(dtype) for h in heads]
    mask = regard.causal() & regard.padding(torch.tensor([LENGTH, 31]))
    alone = [x.clone().requires_grad_() for x in whole]
    output, weights = regard.attend(*alone, mask=mask)
    (output.float() ** 2).sum().backward()
    own = [shards.take(x, rank).requires_grad_() for x in whole]
    part, part_map = distributed.attend(
        *own, mask=mask, shards=shards, group=group, timeout=60, watch=("topk", "received")
    )
    (part.float() ** 2).sum().backward()
    histogram = regard.statistics.WeightHistogram()
    pairs = [
        (part, shards.take(output, rank)),
        (part_map.entropy(), shards.take(weights.entropy(), rank, axis=-1)),
        (part_map.topk(8).values, shards.take(weights.topk(8).values, rank)),
        (part_map.received(), shards.take(weights.received(), rank, axis=-1)),
        (part_map.pool(5, 7).mean, weights.pool(5, 7).mean),
        (part_map.pool(5, 7).max, weights.pool(5, 7).max),
        (part_map.statistic(histogram), weights.statistic(histogram)),
        *((x.grad, shards.take(y.grad, rank)) for x, y in zip(own, alone, strict=True) if y.grad is not None),
    ]  # fmt: skip
    gathered = part_map.gather(part, axis=-2, to=0)
    assert (gathered is None) == (rank != 0)
    if gathered is not None:
        pairs.append((gathered, output))
    return max(relative_difference(a, b) for a, b in pairs)


def relative_difference(found: torch.Tensor | None, right: torch.Tensor) -> float:
    """The largest difference, for numbers above 1 relative to the largest."""
    assert found is not None
    found, right = found.detach().double(), right.detach().double()
    return float((found - right).abs().max() / right.abs().max().clamp(min=1))


def equal(rank: int) -> dict[str, float]:
    found = {}
    for size in (2, 3, 4):
        group = dist.new_group(list(range(size)))
        for name, shards in (
            ("zigzag", Shards.zigzag(LENGTH, size)),
            ("unequal", Shards.contiguous([LENGTH - size, *[1] * (size - 2), 2])),
        ):
            if rank < size:
                found[f"{size} {name}"] = largest_difference(shards, group, rank, torch.float32)
    return found


def failing(fail: Callable[[], None]) -> Callable[[int], Any]:
    """Work in which process 1 fails in the middle of a pass: its own keys are sent, others are not."""

    def work(rank: int) -> Any:
        x = torch.randn(1, 12, 4)
        distributed.attend(x, x, x, timeout=60)  # all are there
        if rank == 1:
            of_block = block.rows_of_block

            def rows_of_block(*args: Any) -> Any:
                fail()
                return of_block(*args)

            setattr(block, "rows_of_block", rows_of_block)  # noqa: B010
        start = time.monotonic()
        try:
            distributed.attend(x, x, x, timeout=3)
        except regard.errors.ProcessGroupError as error:
            return {"error": str(error), "seconds": time.monotonic() - start}
        return {"error": None}

    return work


if __name__ == "__main__":
    match sys.argv[1]:
        case "equal":
            answers = run(4, equal, 4)
        case "killed":
            answers = run(3, failing(lambda: os.kill(os.getpid(), signal.SIGKILL)), 2)
        case "stuck":
            answers = run(3, failing(lambda: time.sleep(60)), 2)
    print(json.dumps(answers))
