"""The passes of an NVIDIA GPU beside torch's attention: errors, time and memory, as ratios of one run.

    python -m benchmarks.gpu

Errors are the largest beside float64, at T = 1,024. Every ratio is a median over rounds in which its sides
take turns, 8 heads of 64. SDPA is the backend that torch chooses, and flash and cuDNN by name. Memory is what
torch allocates at most, less what it held before.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import date

import torch
from torch.nn.attention import SDPBackend, sdpa_kernel

import regard
from benchmarks.kernel import WATCH, arrays, compare, eager, sdpa, watched
from benchmarks.results import RESULTS

KINDS = {"bfloat16": torch.bfloat16, "float16": torch.float16, "float32": torch.float32}
ALL_FOUR = (*WATCH, "received")
MOST_EAGER = 8192
"""Length from which the matrices of eight heads do not fit beside each other."""


def given(kind: torch.dtype, length: int) -> list[torch.Tensor]:
    return [x.to("cuda", kind) for x in arrays(length)]


def errors(kind: torch.dtype) -> dict[str, float]:
    """The largest difference of each answer from float64, with a causal mask."""
    q, k, v = given(kind, 1024)
    output, weights = watched(q, k, v, watch=ALL_FOUR, mask=regard.causal())
    matrix = regard.attend(q.double(), k.double(), v.double(), mask=regard.causal())[1]
    pairs = {
        "output": (output, matrix @ v.double()),
        "SDPA's output": (sdpa(q, k, v, is_causal=True), matrix @ v.double()),
        "entropy": (weights.entropy(), matrix.entropy()),
        "topk": (weights.topk().values, matrix.topk().values),
        "pool": (weights.pool().mean, matrix.pool().mean),
        "received": (weights.received(), matrix.received()),
    }
    return {
        name: float((ours.double() - exact).abs().max()) for name, (ours, exact) in pairs.items()
    }


def by(backend: SDPBackend, query, key, value):
    """torch's attention by one of its backends."""
    with sdpa_kernel(backend):
        return sdpa(query, key, value)


def milliseconds(side: Callable) -> float:
    start, stop = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    start.record()
    side()
    stop.record()
    torch.cuda.synchronize()
    return start.elapsed_time(stop)


def megabytes(side: Callable) -> float:
    """What a call allocates at most, its answer included."""
    before = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    answer = side()
    torch.cuda.synchronize()
    del answer
    return (torch.cuda.max_memory_allocated() - before) / 2**20


def table(kind: torch.dtype, length: int, rounds: int) -> dict[str, float]:
    q, k, v = given(kind, length)
    sides: dict[str, Callable] = {
        "SDPA": lambda: sdpa(q, k, v),
        "output, lse, entropy, top-8, pooled": lambda: watched(q, k, v),
        "the same and received mass": lambda: watched(q, k, v, watch=ALL_FOUR),
        "entropy": lambda: watched(q, k, v, watch=("entropy",)),
        "causal SDPA": lambda: sdpa(q, k, v, is_causal=True),
        "causal, the first": lambda: watched(q, k, v, mask=regard.causal()),
    }
    if kind != torch.float32:
        sides["SDPA by flash"] = lambda: by(SDPBackend.FLASH_ATTENTION, q, k, v)
        sides["SDPA by cuDNN"] = lambda: by(SDPBackend.CUDNN_ATTENTION, q, k, v)
    if length <= MOST_EAGER:
        sides["eager with the same statistics"] = lambda: eager(q, k, v)
    times = compare(sides, rounds, milliseconds)
    base = times.pop("SDPA")
    return {
        "SDPA, milliseconds": base,
        **{f"{name} / SDPA": time / base for name, time in times.items()},
        **{f"{name}, MB": megabytes(side) for name, side in sides.items()},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--lengths", type=int, nargs="+", default=[1024, 4096, 16384, 65536])
    parser.add_argument("--kinds", nargs="+", choices=KINDS, default=list(KINDS))
    options = parser.parse_args()
    if not torch.cuda.is_available():
        raise SystemExit("needs an NVIDIA GPU, and a torch built for it")
    kept: dict[str, object] = {
        "command": "python -m benchmarks.gpu",
        "date": date.today().isoformat(),
        "machine": torch.cuda.get_device_name(),
        "torch": torch.__version__,
    }
    for name in options.kinds:
        kind = KINDS[name]
        found: dict[str, object] = {"errors": errors(kind)}
        found |= {f"T = {n:,}": table(kind, n, options.rounds) for n in options.lengths}
        kept[name] = found
        print(json.dumps({name: found}, indent=1), flush=True)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / "gpu.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
