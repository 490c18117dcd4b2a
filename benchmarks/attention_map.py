"""Cost of attention statistics: `attend` beside plain SDPA and beside eager attention.

Claims, all from one run, float32, medians of alternated repetitions:

* at 4,096 positions the statistics of the map take at most a quarter of the time of eager attention with
  these statistics, and at most 5 percent of its memory;
* memory grows with the length, not its square: one head up to 65,536 positions;
* additive attention never makes a (queries, keys, dim) array, and is faster than the broadcast form;
* a model that uses no statistics trains within 3 percent of bare SDPA.

    python -m benchmarks.attention_map            # about ten minutes on two cores
    python -m benchmarks.attention_map --quick    # 1,024 and 4,096 positions, a minute or two

All times are measured in one process, alternately; the peak memory of each variant in a process of its own.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from datetime import date
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regard
from benchmarks.results import machine, write_json

THREADS, HEADS, WIDTH, BLOCKS = 2, 8, 64, 64
LENGTHS = (1024, 2048, 4096, 8192, 16384)
QUICK_LENGTHS = (1024, 4096)
ONE_HEAD_LENGTHS = (16384, 32768, 65536)
EAGER_LIMIT = 4096  # eager keeps several matrices of heads x length^2 floats: 8 GB at 16,384
WATCH = ("entropy", "received", "pool")
ADDITIVE_DIM = 32


def sdpa(q: Tensor, k: Tensor, v: Tensor) -> object:
    """Output alone, by SDPA."""
    return F.scaled_dot_product_attention(q, k, v)


def eager(q: Tensor, k: Tensor, v: Tensor) -> object:
    """Full matrix, and the statistics from it."""
    weights = torch.softmax(q @ k.mT / WIDTH**0.5, -1)
    size = weights.shape[-1] // BLOCKS
    blocks = weights.unflatten(-1, (BLOCKS, size)).unflatten(-3, (BLOCKS, size))
    entropy = torch.special.entr(weights).sum(-1)
    return weights @ v, entropy, weights.sum(-2), blocks.mean((-3, -1)), blocks.amax((-3, -1))


def watched(q: Tensor, k: Tensor, v: Tensor) -> object:
    """Output and statistics in one pass."""
    output, weights = regard.attend(q, k, v, watch=WATCH)
    return output, weights.entropy(), weights.received(), weights.pool(BLOCKS, BLOCKS)


def separate(q: Tensor, k: Tensor, v: Tensor) -> object:
    """Output first, then each statistic in a pass of its own."""
    output, weights = regard.attend(q, k, v)
    return output, weights.entropy(), weights.received(), weights.pool(BLOCKS, BLOCKS)


def additive(q: Tensor, k: Tensor, v: Tensor) -> object:
    """Additive attention by `attend`."""
    eye = torch.eye(WIDTH, ADDITIVE_DIM)
    score = regard.scores.Additive(torch.ones(ADDITIVE_DIM), eye, eye)
    return regard.attend(q, k, v, score=score)[0]


def broadcast(q: Tensor, k: Tensor, v: Tensor) -> object:
    """Additive attention as usually written, with a (queries, keys, dim) array."""
    eye = torch.eye(WIDTH, ADDITIVE_DIM)
    hidden = torch.tanh((q @ eye)[..., :, None, :] + (k @ eye)[..., None, :, :])
    return torch.softmax(hidden @ torch.ones(ADDITIVE_DIM), -1) @ v


VARIANTS = {f.__name__: f for f in (sdpa, eager, watched, separate, additive, broadcast)}


def inputs(heads: int, length: int) -> list[Tensor]:
    """Return random query, key and value, `(1, heads, length, WIDTH)`."""
    generator = torch.Generator().manual_seed(0)
    return [torch.randn(1, heads, length, WIDTH, generator=generator) for _ in range(3)]


def alternate(variants: Mapping[str, Callable[[], object]], repetitions: int) -> dict[str, float]:
    """Return the median seconds of each variant, run alternately so that a slow moment hits all."""
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for run in variants.values():
        run()  # compiles, fills caches
    for _ in range(repetitions):
        for name, run in variants.items():
            start = time.perf_counter()
            run()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(s) for name, s in seconds.items()}


def process_mib(field: str) -> float:
    """Return a field of /proc/self/status in MiB."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(x for x in lines if x.startswith(field)).split()[1]) / 1024


def print_memory(variant: str, heads: int, length: int) -> None:
    """Print the MiB that one call needs beyond its inputs; runs in a process of its own."""
    torch.set_num_threads(THREADS)
    with torch.no_grad():
        VARIANTS[variant](*inputs(heads, 1024))
        arrays = inputs(heads, length)
        Path("/proc/self/clear_refs").write_text("5")  # resets the peak
        before = process_mib("VmRSS")
        VARIANTS[variant](*arrays)
    print(process_mib("VmHWM") - before)


def memory(variant: str, heads: int, length: int) -> float:
    """Measure the MiB that one call of a variant needs beyond its inputs."""
    command = [sys.executable, "-m", "benchmarks.attention_map", "--memory", variant]
    command += [str(heads), str(length)]
    return float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)


class Block(nn.Module):
    """A pre-norm Transformer block around an attention function."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.project, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.first, self.second = nn.LayerNorm(width), nn.LayerNorm(width)
        self.feed = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: Tensor, attention: Callable[..., Tensor]) -> Tensor:
        """Apply the block; `attention` takes q, k, v of `(batch, heads, length, features)`."""
        q, k, v = self.project(self.first(x)).unflatten(-1, (3, self.heads, -1)).unbind(-3)
        mixed = attention(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2))
        x = x + self.out(mixed.transpose(1, 2).flatten(-2))
        return x + self.feed(self.second(x))


def training(repetitions: int) -> list[dict[str, float | str]]:
    """Measure seconds of a training step with `attend` and with bare SDPA, causal and padded."""
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
        seconds = alternate(
            {"sdpa": partial(step, bare), "attend": partial(step, ours)}, repetitions
        )
        rows.append({"mask": name, **seconds, "ratio": seconds["attend"] / seconds["sdpa"]})
        print(f"training, {name:8} attend / SDPA {rows[-1]['ratio']:.3f}", flush=True)
    return rows


def by_length(lengths: tuple[int, ...], repetitions: int) -> list[dict[str, float]]:
    """Measure time and memory of every variant with eight heads at each length."""
    rows = []
    for length in lengths:
        names = ["sdpa", "watched", "separate"] + ["eager"] * (length <= EAGER_LIMIT)
        arrays = inputs(HEADS, length)
        variants = {n: partial(VARIANTS[n], *arrays) for n in names}
        with torch.no_grad():
            seconds = alternate(variants, max(1, repetitions if length <= EAGER_LIMIT else 2))
        row: dict[str, float] = {"length": length}
        for n in names:
            row |= {f"{n}_s": seconds[n], f"{n}_mib": memory(n, HEADS, length)}
            row[f"{n}_ratio"] = seconds[n] / seconds["sdpa"]
        rows.append(row)
        times = "  ".join(f"{n} {row[f'{n}_ratio']:.2f}" for n in names)
        sizes = "  ".join(f"{n} {row[f'{n}_mib']:.0f}" for n in names)
        print(f"T = {length:6}  time / SDPA: {times}   MiB: {sizes}", flush=True)
    return rows


def additive_4096() -> dict[str, dict[str, float]]:
    """Measure additive attention with one head and 4,096 positions by `attend` and as broadcast."""
    arrays = inputs(1, 4096)
    names = ("additive", "broadcast")
    with torch.no_grad():
        seconds = alternate({n: partial(VARIANTS[n], *arrays) for n in names}, 3)
    return {n: {"s": seconds[n], "mib": memory(n, 1, 4096)} for n in names}


def main() -> None:
    """Take all measurements, print and write them."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--quick", action="store_true", help="two lengths, fewer repetitions")
    parser.add_argument(
        "--memory", nargs=3, metavar=("VARIANT", "HEADS", "LENGTH"), help="(internal)"
    )
    options = parser.parse_args()
    if options.memory:
        variant, heads, length = options.memory
        print_memory(variant, int(heads), int(length))
        return
    torch.set_num_threads(THREADS)
    measured: dict[str, object] = {
        "command": "python -m benchmarks.attention_map" + " --quick" * options.quick,
        "date": date.today().isoformat(),
        "machine": machine(),
        "torch": torch.__version__,
        "threads": THREADS,
        "training": training(10 if options.quick else 40),
        "eight_heads": by_length(QUICK_LENGTHS, 3) if options.quick else by_length(LENGTHS, 7),
    }
    if not options.quick:
        measured["one_head_mib"] = {n: memory("watched", 1, n) for n in ONE_HEAD_LENGTHS}
        print("one head, MiB:", measured["one_head_mib"], flush=True)
    measured["additive_4096"] = additive_4096()
    print("additive:", measured["additive_4096"], flush=True)
    write_json("attention_map_quick" if options.quick else "attention_map", measured)


if __name__ == "__main__":
    main()
