"""Attention over several processes: time, memory and bytes, and what a cluster of such machines would take.

    python -m benchmarks.distributed                     # 131,072 positions over 1, 2 and 4 processes
    python -m benchmarks.distributed --length 1048576    # the million of docs/distributed.md, over 4

One head of 64, float32, causal, zigzag shards; output, log-sum-exp and entropy. All processes share this
machine, so that their time is the time of the whole work, and only memory per process can fall. Three rows
of the output are compared with float64. Writes `benchmarks/results/distributed.json`, and its table into
`docs/distributed.md`.

Of a cluster of n machines, each as this one: a pass takes `compute / n`, as zigzag shards give all equal work,
and sends `n - 1` messages of a shard of keys and values, which travel while the machine computes.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import resource
import subprocess
import sys
import tempfile
import time
from datetime import date
from typing import Any

import torch
import torch.distributed as dist

import regard
from benchmarks.results import RESULTS, ROOT, machine
from regard import distributed
from regard.distributed import Shards
from regard.distributed.ring import Ring

FEATURES = 64
PIECE = 2**14
"""Positions that one seed makes, so that every process makes its own and any process the whole."""
CLUSTER = 64
GIGABIT = 125e6


def vectors(kind: int, positions: range) -> torch.Tensor:
    """Queries (0), keys (1) or values (2) of some positions, `(1, 1, length, 64)`."""
    parts = []
    for piece in range(positions.start // PIECE, -(-positions.stop // PIECE)):
        generator = torch.Generator().manual_seed(3 * piece + kind)
        made = torch.randn(PIECE, FEATURES, generator=generator)
        first = piece * PIECE
        parts.append(made[max(positions.start - first, 0) : positions.stop - first])
    return torch.cat(parts)[None, None]


def right_row(query: int) -> torch.Tensor:
    """A row of the output in float64, a piece of keys at a time."""
    q = vectors(0, range(query, query + 1))[0, 0].double() / math.sqrt(FEATURES)
    total, weight = torch.zeros(FEATURES, dtype=torch.float64), 0.0  # scores are below 10
    for start in range(0, query + 1, PIECE):
        keys = range(start, min(query + 1, start + PIECE))
        weights = (vectors(1, keys)[0, 0].double() @ q[0]).exp()
        total += weights @ vectors(2, keys)[0, 0].double()
        weight += float(weights.sum())
    return total / weight


def megabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def work(rank: int, size: int, length: int, store: str) -> None:
    """One process: its figures as a line of JSON."""
    torch.set_num_threads(max(1, (os.cpu_count() or 1) // size))
    limit = 24 * 3600.0
    dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=size)
    small = [vectors(kind, range(1024)) for kind in range(3)]
    distributed.attend(*small, mask=regard.causal(), timeout=limit)  # compiles
    sent = [0]
    exchange = Ring.exchange

    def counted(self, tensors, length):
        sent[0] += sum(x.numel() * x.element_size() for x in tensors)
        return exchange(self, tensors, length)

    Ring.exchange = counted  # type: ignore[method-assign]
    before = megabytes()
    shards = Shards.zigzag(length, size)
    own = [torch.cat([vectors(kind, span) for span in shards.ranges[rank]], 2) for kind in range(3)]
    wall, processor = time.monotonic(), time.process_time()
    output, weights = distributed.attend(*own, mask=regard.causal(), shards=shards, timeout=limit)
    wall, processor = time.monotonic() - wall, time.process_time() - processor
    positions = shards.positions(rank)
    errors = [
        float((output[0, 0, i].double() - right_row(int(positions[i]))).abs().max())
        for i in (0, len(positions) // 3, -1)
    ]
    print(json.dumps({
        "seconds": wall, "processor_seconds": processor, "megabytes": megabytes() - before,
        "bytes_sent": sent[0], "error": max(errors), "entropy": float(weights.entropy().mean()),
    }))  # fmt: skip
    dist.barrier()


def measure(size: int, length: int) -> dict[str, float]:
    """Figures of a group of processes on this machine."""
    with tempfile.TemporaryDirectory() as folder:
        processes = [
            subprocess.Popen(
                [sys.executable, "-m", "benchmarks.distributed", "--length", str(length),
                 "--rank", str(rank), "--processes", str(size), "--store", f"{folder}/store"],
                stdout=subprocess.PIPE, text=True,
            )
            for rank in range(size)
        ]  # fmt: skip
        found = [json.loads(process.communicate()[0]) for process in processes]
    figures = {
        "processes": size,
        "length": length,
        "seconds": max(one["seconds"] for one in found),
        "processor_seconds": sum(one["processor_seconds"] for one in found),
        "megabytes_per_process": max(one["megabytes"] for one in found),
        "megabytes_sent_per_process": max(one["bytes_sent"] for one in found) / 1e6,
        "error": max(one["error"] for one in found),
    }
    print(json.dumps(figures), flush=True)
    return figures


def cluster(figures: dict[str, float]) -> dict[str, float]:
    """What `CLUSTER` machines as this one would take for one pass, from what was measured here."""
    cores = os.cpu_count() or 1
    shard = figures["length"] / CLUSTER * 2 * FEATURES * 4
    return {
        "machines": CLUSTER,
        "length": figures["length"],
        "compute_seconds": figures["processor_seconds"] / cores / CLUSTER,
        "megabytes_sent_per_machine": (CLUSTER - 1) * shard / 1e6,
        "seconds_of_messages_at_1_gbit": (CLUSTER - 1) * shard / GIGABIT,
        "megabytes_per_machine": figures["megabytes_per_process"] * figures["processes"] / CLUSTER,
    }


def table(saved: dict[str, dict[str, Any]]) -> str:
    """All runs, and the clusters, as they stand in the page."""
    lines = [
        "| positions | processes | minutes | processor minutes | MB per process | MB sent by each | error |",
        "|---|---|---|---|---|---|---|",
    ]
    notes = []
    for length in sorted(map(int, saved)):
        content = saved[str(length)]
        for run in content["runs"]:
            memory, sent = (
                f"{run[name]:,.0f}"
                for name in ("megabytes_per_process", "megabytes_sent_per_process")
            )
            lines.append(
                f"| {length:,} | {run['processes']} | {run['seconds'] / 60:.2g} | "
                f"{run['processor_seconds'] / 60:.2g} | {memory} | {sent} | {run['error']:.0e} |"
            )
        found = content["cluster"]
        notes.append(
            f"{length:,} positions over {CLUSTER} machines as this one ({content['machine']}): "
            f"{found['compute_seconds']:.2g} s of work, and {found['megabytes_sent_per_machine']:,.0f} MB sent "
            f"by each beside it, which take {found['seconds_of_messages_at_1_gbit']:.2g} s at 1 Gbit/s."
        )
    return "\n".join([*lines, "", *notes])


def write_page(saved: dict[str, dict[str, Any]]) -> None:
    page = ROOT / "docs" / "distributed.md"
    before, start, rest = page.read_text(encoding="utf-8").partition("<!-- measured -->\n")
    _, end, after = rest.partition("<!-- end of measured -->")
    page.write_text(f"{before}{start}{table(saved)}\n{end}{after}", encoding="utf-8")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--length", type=int, default=2**17)
    parser.add_argument("--processes", type=int, nargs="+")
    parser.add_argument("--rank", type=int)
    parser.add_argument("--store")
    options = parser.parse_args()
    if options.rank is not None:
        work(options.rank, options.processes[0], options.length, options.store)
        return
    sizes = options.processes or ([1, 2, 4] if options.length <= 2**17 else [4])
    runs = [measure(size, options.length) for size in sizes]
    path = RESULTS / "distributed.json"
    saved = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    saved[str(options.length)] = {
        "date": date.today().isoformat(), "machine": machine(), "torch": torch.__version__,
        "runs": runs, "cluster": cluster(runs[-1]),
    }  # fmt: skip
    path.write_text(json.dumps(saved, indent=1) + "\n", encoding="utf-8")
    write_page(saved)
    print(json.dumps(saved[str(options.length)]["cluster"], indent=1))


if __name__ == "__main__":
    main()
