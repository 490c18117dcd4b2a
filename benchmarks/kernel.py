"""The one-pass kernel beside torch's attention: time, memory and growth, as ratios of one run.

    python -m benchmarks.kernel            # the table of docs/kernel.md, some minutes
    python -m benchmarks.kernel --quick    # fewer repetitions and lengths

Every ratio is a median over rounds in which its two sides take turns, float32, two threads. Memory is the
growth of the process's peak in a process of its own, less what the answer itself takes.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import date
from pathlib import Path

import torch
import torch.nn.functional as F

import regard
from benchmarks.results import RESULTS, machine
from regard import scores
from regard.attention.kernels import limits

ROOT = Path(__file__).parent.parent
THREADS = 2
PAUSE = 0.05
"""Seconds before a measurement: OpenMP's threads turn idly for a while after the side before."""
WATCH = ("entropy", "topk", "pool")


def sdpa(q, k, v, **settings):
    return F.scaled_dot_product_attention(q, k, v, **settings)


def watched(q, k, v, *, watch=WATCH, **settings):
    return regard.attend(q, k, v, watch=watch, **settings)


def eager(q, k, v, *, received=True):
    """The matrix, and the same statistics read from it, in place where that is faster."""
    size = -(-q.shape[2] // 64)
    scores = q @ k.mT * q.shape[-1] ** -0.5
    lse = scores.logsumexp(-1)
    weights = scores.sub_(lse[..., None]).exp_()
    blocks = weights.unflatten(3, (-1, size)).unflatten(2, (-1, size))
    found = [weights @ v, lse, torch.special.entr(weights).sum(-1), weights.topk(8)]
    found += [blocks.mean((3, 5)), blocks.amax((3, 5))]
    return [*found, weights.sum(2)] if received else found


def trained(forward: Callable) -> Callable:
    """Forward and backward."""

    def step(*arrays):
        output = forward(*arrays)
        output = output[0] if isinstance(output, tuple) else output
        return torch.autograd.grad(output.sum(), [a for a in arrays if a.requires_grad])

    return step


def additive(q, k, v, vector):
    return regard.attend(q, k, v, score=scores.Additive(vector))


def additive_kernel(q, k, v, vector):
    return regard.attend(q, k, v, score=scores.Additive(vector), watch=("entropy",))


def broadcast(q, k, v, vector):
    return (torch.tanh(q[:, :, :, None] + k[:, :, None]) @ vector).softmax(-1) @ v


def arrays(length: int, heads: int = 8, features: int = 64, *, grad: bool = False):
    torch.manual_seed(0)
    return [torch.randn(1, heads, length, features, requires_grad=grad) for _ in range(3)]


def vector(features: int = 128, *, grad: bool = False):
    return (torch.randn(features) / features**0.5).requires_grad_(grad)


def seconds(side: Callable) -> float:
    time.sleep(PAUSE)
    start = time.perf_counter()
    side()
    return time.perf_counter() - start


def compare(
    sides: dict[str, Callable], rounds: int, measure: Callable[[Callable], float] = seconds
) -> dict[str, float]:
    """The median of what each side takes; they take turns, after one call that compiles."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for side in sides.values():
        side()
    for _ in range(rounds):
        for name, side in sides.items():
            times[name].append(measure(side))
    return {name: statistics.median(values) for name, values in times.items()}


def table(rounds: int) -> list[tuple[str, float, str]]:
    """Each claim: what, its ratio, what it should be."""
    q, k, v = arrays(4096)
    causal = regard.causal()
    all_four = (*WATCH, "received")
    plain = compare(
        {
            "sdpa": lambda: sdpa(q, k, v),
            "kernel": lambda: watched(q, k, v),
            "received": lambda: watched(q, k, v, watch=all_four),
            "causal sdpa": lambda: sdpa(q, k, v, is_causal=True),
            "causal": lambda: watched(q, k, v, mask=causal),
            "window": lambda: watched(q, k, v, mask=regard.window(128, 0)),
        },
        rounds,
    )
    slow = compare(
        {
            "kernel": lambda: watched(q, k, v),
            "eager": lambda: eager(q, k, v, received=False),
            "kernel received": lambda: watched(q, k, v, watch=all_four),
            "eager received": lambda: eager(q, k, v),
        },
        max(3, rounds // 2),
    )
    grads = arrays(4096, grad=True)
    training = compare(
        {
            "sdpa": lambda: trained(sdpa)(*grads),
            "kernel": lambda: trained(lambda *a: watched(*a, watch=("entropy",)))(*grads),
            "dropout": lambda: trained(lambda *a: regard.attend(*a, dropout=0.1))(*grads),
        },
        max(3, rounds // 2),
    )
    dropped = compare({"sdpa": lambda: trained(lambda *a: sdpa(*a, dropout_p=0.1))(*grads)}, 2)
    short = arrays(1024, 1, 128, grad=True)
    v128 = vector(grad=True)
    inputs = [a.detach() for a in (*short, v128)]
    bahdanau = compare(
        {
            "kernel": lambda: additive_kernel(*inputs),
            "broadcast": lambda: broadcast(*inputs),
            "kernel both": lambda: trained(additive_kernel)(*short, v128),
            "broadcast both": lambda: trained(broadcast)(*short, v128),
        },
        max(3, rounds // 2),
    )
    base = plain["sdpa"]
    return [
        ("output, lse, entropy, top-8, pooled / SDPA", plain["kernel"] / base, "<= 1.5"),
        ("the same and received mass / SDPA", plain["received"] / base, "<= 2.2"),
        ("causal, the first / causal SDPA", plain["causal"] / plain["causal sdpa"], "<= 1.5"),
        ("window of 128 keys / SDPA", plain["window"] / base, ""),
        ("eager with the first's statistics / ours", slow["eager"] / slow["kernel"], ">= 9"),
        ("eager with received mass, too / ours", slow["eager received"] / slow["kernel received"], ""),
        ("forward + backward / SDPA's", training["kernel"] / training["sdpa"], ""),
        ("forward + backward, dropout / SDPA's without", training["dropout"] / training["sdpa"], "<= 1.5"),
        ("SDPA with dropout / ours, forward + backward", dropped["sdpa"] / training["dropout"], ">= 3"),
        ("additive: broadcast / ours, forward", bahdanau["broadcast"] / bahdanau["kernel"], ">= 3"),
        ("additive: broadcast / ours, forward + backward",
         bahdanau["broadcast both"] / bahdanau["kernel both"], ">= 3"),
        ("SDPA, seconds", base, ""),
    ]  # fmt: skip


def case(name: str, length: int) -> Callable:
    """One head of what is measured in a process of its own."""
    if name in ("additive", "broadcast"):
        given = (*arrays(length, 1, 128), vector())
        return lambda: (additive_kernel if name == "additive" else broadcast)(*given)
    way = {"regard": watched, "sdpa": sdpa, "eager": eager}[name]
    given = arrays(length, 1)
    return lambda: way(*given)


def alone(name: str, length: int) -> dict[str, float]:
    """Seconds and peak memory of one case, in this process."""
    torch.set_num_threads(THREADS)
    step = case(name, length)
    case(name, 512)()  # loads or compiles
    forget_peak()
    before = peak()
    start = time.perf_counter()
    answer = step()
    seconds = time.perf_counter() - start
    megabytes = peak() - before
    return {"seconds": seconds, "megabytes": megabytes, "answer": sum(sizes(answer)) / 2**20}


def peak() -> float:
    """Megabytes the process has held at most; on Linux since `forget_peak`."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(x for x in status.read_text().splitlines() if x.startswith("VmHWM"))
        return int(line.split()[1]) / 2**10
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def forget_peak() -> None:
    """Starts the peak anew, so that what importing took does not hide what comes."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def sizes(answer) -> list[int]:
    """Bytes of every tensor of an answer, those an `AttentionMap` keeps included."""
    if isinstance(answer, torch.Tensor):
        return [answer.untyped_storage().nbytes()]
    parts = answer._statistics.values() if hasattr(answer, "_statistics") else answer
    return [size for part in parts for size in sizes(part)]


def growth(lengths: list[int]) -> list[dict[str, object]]:
    """Time and memory against length, each point in a new process."""
    points = []
    for length in lengths:
        for name in ("regard", "sdpa", "eager", "additive", "broadcast"):
            limit = {"eager": 16384, "broadcast": 2048, "additive": 16384}.get(name, 2**30)
            if length > limit:
                continue
            command = [sys.executable, "-m", "benchmarks.kernel", "--alone", name, str(length)]
            done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
            points.append({"case": name, "length": length, **json.loads(done.stdout)})
            print(points[-1], flush=True)
    return points


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="fewer repetitions and lengths")
    parser.add_argument("--alone", nargs=2, metavar=("CASE", "LENGTH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(alone(options.alone[0], int(options.alone[1]))))
        return
    torch.set_num_threads(THREADS)
    limits.FUSED_MIN_WEIGHTS = 0
    found = table(5 if options.quick else 15)
    for name, ratio, wanted in found:
        print(f"{name:50} {ratio:7.2f}  {wanted}", flush=True)
    lengths = [1024, 4096, 16384] if options.quick else [1024 * 2**n for n in range(8)]
    kept = {
        "command": "python -m benchmarks.kernel" + " --quick" * options.quick,
        "date": date.today().isoformat(),
        "machine": machine(),
        "torch": torch.__version__,
        "threads": THREADS,
        "table": [{"what": name, "ratio": ratio, "wanted": goal} for name, ratio, goal in found],
        "growth": growth(lengths),
    }
    RESULTS.mkdir(exist_ok=True)
    name = "kernel_quick.json" if options.quick else "kernel.json"
    (RESULTS / name).write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
