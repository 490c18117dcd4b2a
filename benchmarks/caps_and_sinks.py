"""Capped scores and sinks of softmax in the one pass, beside the same pass without them.

    python -m benchmarks.caps_and_sinks            # the table of docs/kernel.md, two minutes
    python -m benchmarks.caps_and_sinks --quick    # a quarter of the length, fewer repetitions

Every ratio is a median over rounds in which its sides take turns: float32, two threads, 8 heads of 64.
"Objects of one's own" are a score and a normaliser that no kernel knows, as in `docs/write-your-own.md`.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from datetime import date
from typing import Any

import torch

import regard
from benchmarks.kernel import THREADS, arrays, compare, sdpa, trained
from benchmarks.results import RESULTS, machine
from regard.attention.normalizers import Normalizer, Softmax
from regard.attention.scores import Capped, ScaledDot, Score

CAP = 50.0
WATCH = ("entropy", "topk", "pool")


MEASUREMENTS: dict[str, dict[str, Any]] = {
    "output": {},
    "output, entropy, top-8, pooled map": {"watch": WATCH},
    "these and received mass": {"watch": (*WATCH, "received")},
    "causal": {"watch": WATCH, "mask": regard.causal()},
    "forward and backward": {"watch": ("entropy",)},
    "forward and backward, dropout": {"dropout": 0.1},
}
"""What is measured, and the arguments of `attend` for it."""


class OwnCap(ScaledDot):
    """Gemma 2's cap as a user would write it."""

    def pairwise(self, query, key):
        """The scores, capped."""
        return CAP * torch.tanh(super().pairwise(query, key) / CAP)


class OwnSink(Normalizer):
    """gpt-oss's sink as a user would write it."""

    def __init__(self, sink: torch.Tensor) -> None:
        self.sink = sink

    def __call__(self, scores, *, first_row=0):
        """Softmax of the scores and the sink, without its column."""
        sink = self.sink[:, None, None].expand(*scores.shape[:-1], 1)
        return torch.cat((scores, sink), -1).softmax(-1)[..., :-1]


def parts(sink: torch.Tensor) -> dict[str, tuple[Score, Normalizer]]:
    """Score and normaliser of each row of the table."""
    return {
        "plain": (ScaledDot(), Softmax()),
        "cap": (Capped(ScaledDot(), CAP), Softmax()),
        "sink": (ScaledDot(), Softmax(sink)),
        "cap and sink": (Capped(ScaledDot(), CAP), Softmax(sink)),
    }


def ways(name: str, given: list[torch.Tensor], sink: torch.Tensor) -> dict[str, Callable]:
    """One measurement, for each row of the table."""
    settings = MEASUREMENTS[name]

    def side(score, normalizer):
        def attend(*arrays):
            return regard.attend(*arrays[:3], score=score, normalizer=normalizer, **settings)

        both = name.startswith("forward")
        return lambda: (trained(attend) if both else attend)(*given)

    return {which: side(*made) for which, made in parts(sink).items()}


def table(length: int, rounds: int) -> list[dict[str, object]]:
    """The ratio of each row to the plain pass, for each measurement."""
    found: list[dict[str, object]] = []
    for name in MEASUREMENTS:
        grad = name.startswith("forward")
        sink = torch.zeros(8, requires_grad=grad)
        given = arrays(length, grad=grad)
        sides = ways(name, given, sink)
        if name == "output":  # of plain softmax it is torch's flash kernel
            sides["plain"] = lambda given=given: sdpa(*given)
            sides["own cap"] = lambda given=given: regard.attend(*given, score=OwnCap())
            own = OwnSink(sink)
            sides["own sink"] = lambda given=given, own=own: regard.attend(*given, normalizer=own)
        times = compare(sides, rounds)
        found += [
            {"what": name, "with": which, "ratio": times[which] / times["plain"]}
            for which in times
            if which != "plain"
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="shorter, fewer repetitions")
    options = parser.parse_args()
    torch.set_num_threads(THREADS)
    length, rounds = (2048, 3) if options.quick else (4096, 9)
    found = table(length, rounds)
    for row in found:
        print(f"{row['what']:40} {row['with']:15} {row['ratio']:6.2f}", flush=True)
    kept = {
        "command": "python -m benchmarks.caps_and_sinks" + " --quick" * options.quick,
        "date": date.today().isoformat(),
        "machine": machine(),
        "torch": torch.__version__,
        "threads": THREADS,
        "length": length,
        "table": found,
    }
    RESULTS.mkdir(exist_ok=True)
    name = "caps_and_sinks" + "_quick" * options.quick
    (RESULTS / f"{name}.json").write_text(json.dumps(kept, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
