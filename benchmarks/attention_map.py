"""What it costs to see: `attend` with statistics beside plain SDPA and beside the eager way.

Claims, all of one run, float32, medians of alternated repetitions:

* at 4,096 positions the map's statistics cost at most a quarter of what eager attention takes for the
  same ones, and at most 5 percent of its memory;
* memory grows with length: one head to 65,536 positions;
* additive attention never makes a (queries, keys, dim) array, and beats the broadcast form;
* a model that never asks about its weights trains within 3 percent of bare SDPA.

    python -m benchmarks.attention_map            # about ten minutes on two cores
    python -m benchmarks.attention_map --quick    # 1,024 and 4,096 positions, a minute or two

Times are of one process that takes turns; peak memory of each way is measured in a process of its own.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regard
from benchmarks.results import KEPT, machine

THREADS, HEADS, WIDTH, BLOCKS = 2, 8, 64, 64
LENGTHS = (1024, 2048, 4096, 8192, 16384)
LONG = (16384, 32768, 65536)  # one head
EAGER_LIMIT = 4096  # eager keeps several matrices of heads x length^2 floats: 8 GB at 16,384
WATCH = ("entropy", "received", "pool")
DIM = 32  # of additive attention


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> object:
    return F.scaled_dot_product_attention(q, k, v)


def eager(q: Tensor, k: Tensor, v: Tensor) -> object:
    """The matrix, then the statistics from it."""
    weights = torch.softmax(q @ k.mT / WIDTH**0.5, -1)
    size = weights.shape[-1] // BLOCKS
    blocks = weights.unflatten(-1, (BLOCKS, size)).unflatten(-3, (BLOCKS, size))
    entropy = torch.special.entr(weights).sum(-1)
    return weights @ v, entropy, weights.sum(-2), blocks.mean((-3, -1)), blocks.amax((-3, -1))


def watched(q: Tensor, k: Tensor, v: Tensor) -> object:
    output, weights = regard.attend(q, k, v, watch=WATCH)
    return output, weights.entropy(), weights.received(), weights.pool(BLOCKS, BLOCKS)


def asked(q: Tensor, k: Tensor, v: Tensor) -> object:
    """Output first, questions afterwards, each by itself."""
    output, weights = regard.attend(q, k, v)
    return output, weights.entropy(), weights.received(), weights.pool(BLOCKS, BLOCKS)


def additive(q: Tensor, k: Tensor, v: Tensor) -> object:
    eye = torch.eye(WIDTH, DIM)
    score = regard.scores.Additive(torch.ones(DIM), eye, eye)
    return regard.attend(q, k, v, score=score)[0]


def broadcast(q: Tensor, k: Tensor, v: Tensor) -> object:
    """Additive attention as it is usually written."""
    eye = torch.eye(WIDTH, DIM)
    hidden = torch.tanh((q @ eye)[..., :, None, :] + (k @ eye)[..., None, :, :])
    return torch.softmax(hidden @ torch.ones(DIM), -1) @ v


WAYS = {f.__name__: f for f in (sdpa, eager, watched, asked, additive, broadcast)}


def inputs(heads: int, length: int) -> list[Tensor]:
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, heads, length, WIDTH, generator=generator) for _ in range(3)]


def alternate(ways: dict[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Median seconds of each way; the ways take turns, so that a slow moment hits them all."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for way in ways.values():
        way()  # compiles, fills caches
    for _ in range(repetitions):
        for name, way in ways.items():
            start = time.perf_counter()
            way()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(s) for name, s in seconds.items()}


def status(field: str) -> float:
    """A line of /proc/self/status, in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith(field)).split()[1]) / 1024


def measure_memory(way: str, heads: int, length: int) -> None:
    """Prints the MiB that one call needs beyond its inputs; runs in a process of its own."""
    torch.set_num_threads(THREADS)
    with torch.no_grad():
        WAYS[way](*inputs(heads, 1024))
        arrays = inputs(heads, length)
        Path("/proc/self/clear_refs").write_text("5")  # the peak starts again from here
        before = status("VmRSS")
        WAYS[way](*arrays)
    print(status("VmHWM") - before)


def memory(way: str, heads: int, length: int) -> float:
    command = [sys.executable, "-m", "benchmarks.attention_map", "--memory", way]
    command += [str(heads), str(length)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


class Block(nn.Module):
    """A Transformer block around one attention function."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, attention: Callable[..., Tensor]) -> Tensor:
        """`attention(q, k, v)` is called with `(batch, heads, length, features)`."""
        q, k, v = self.project(self.first(x)).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        mixed = attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        x = x + self.out(mixed.transpose(1, 2).flatten(-2))
        return x + self.feed(self.second(x))


def training(repetitions: int) -> list[dict[str, float | str]]:
    """Seconds of a training step with `attend` and with bare SDPA, causal and padded."""
    batch, length, width, heads = 16, 256, 256, 4
    model = nn.ModuleList([Block(width, heads) for _ in range(2)])
    optimizer = torch.optim.AdamW(model.parameters())
    x = torch.randn(batch, length, width)
    lengths = torch.arange(length, length - 8 * batch, -8)
    real = (torch.arange(length) < lengths[:, None])[:, None, None]
    pairs: dict[str, tuple[Callable[..., Tensor], Callable[..., Tensor]]] = {
        "causal": (
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, is_causal=True),
            lambda q, k, v: regard.attend(q, k, v, mask=regard.causal())[0],
        ),
        "padding": (
            lambda q, k, v: F.scaled_dot_product_attention(q, k, v, attn_mask=real),
            lambda q, k, v: regard.attend(q, k, v, mask=regard.padding(lengths))[0],
        ),
    }

    def step(attention: Callable[..., Tensor]) -> None:
        y = x
        for block in model:
            y = block(y, attention)
        optimizer.zero_grad()
        y.square().mean().backward()
        optimizer.step()

    rows: list[dict[str, float | str]] = []
    for name, (bare, ours) in pairs.items():
        ways = {"sdpa": lambda bare=bare: step(bare), "attend": lambda ours=ours: step(ours)}
        seconds = alternate(ways, repetitions)
        rows.append({"mask": name, **seconds, "ratio": seconds["attend"] / seconds["sdpa"]})
        print(f"training, {name:8} attend / SDPA {rows[-1]['ratio']:.3f}", flush=True)
    return rows


def lengths_of_eight_heads(lengths: tuple[int, ...], repetitions: int) -> list[dict[str, float]]:
    """Time and memory of every way against length."""
    rows = []
    for length in lengths:
        names = ["sdpa", "watched", "asked"] + ["eager"] * (length <= EAGER_LIMIT)
        arrays = inputs(HEADS, length)
        ways = {n: (lambda n=n, a=arrays: WAYS[n](*a)) for n in names}
        with torch.no_grad():
            seconds = alternate(ways, max(1, repetitions if length <= EAGER_LIMIT else 2))
        row: dict[str, float] = {"length": length}
        for n in names:
            row |= {f"{n}_s": seconds[n], f"{n}_mib": memory(n, HEADS, length)}
            row[f"{n}_ratio"] = seconds[n] / seconds["sdpa"]
        rows.append(row)
        times = "  ".join(f"{n} {row[f'{n}_ratio']:.2f}" for n in names)
        sizes = "  ".join(f"{n} {row[f'{n}_mib']:.0f}" for n in names)
        print(f"T = {length:6}  time / SDPA: {times}   MiB: {sizes}", flush=True)
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two lengths, fewer repetitions")
    parser.add_argument("--memory", nargs=3, metavar=("WAY", "HEADS", "LENGTH"), help="(internal)")
    options = parser.parse_args()
    if options.memory:
        way, heads, length = options.memory
        measure_memory(way, int(heads), int(length))
        return
    torch.set_num_threads(THREADS)
    repetitions = 3 if options.quick else 7
    found: dict[str, object] = {
        "command": "python -m benchmarks.attention_map" + " --quick" * options.quick,
        "date": date.today().isoformat(),
        "machine": machine(),
        "torch": torch.__version__,
        "threads": THREADS,
    }
    found["training"] = training(10 if options.quick else 40)
    lengths = (1024, 4096) if options.quick else LENGTHS
    found["eight_heads"] = lengths_of_eight_heads(lengths, repetitions)
    if not options.quick:
        found["one_head_mib"] = {n: memory("watched", 1, n) for n in LONG}
        print("one head, MiB:", found["one_head_mib"], flush=True)
    arrays = inputs(1, 4096)
    with torch.no_grad():
        seconds = alternate(
            {n: (lambda n=n: WAYS[n](*arrays)) for n in ("additive", "broadcast")}, 3
        )
    found["additive_4096"] = {
        n: {"s": seconds[n], "mib": memory(n, 1, 4096)} for n in ("additive", "broadcast")
    }
    print("additive:", found["additive_4096"], flush=True)
    KEPT.mkdir(exist_ok=True)
    name = "attention_map_quick.json" if options.quick else "attention_map.json"
    (KEPT / name).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
