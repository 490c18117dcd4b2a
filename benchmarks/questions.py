"""Questions asked of a map one by one, and small problems: as ratios of one run.

    python -m benchmarks.questions                # the tables of docs/kernel.md, three minutes
    python -m benchmarks.questions --threads 1    # in processor time, for a machine with other load
    python -m benchmarks.questions --quick        # fewer repetitions

Claims: output, then `entropy()`, `received()` and `pool(64, 64)` one by one take at most 2.4 of bare SDPA
(8 heads of 64, T = 4096); attention of BERT's shape (12 heads of 64) at 128 to 512 tokens with all statistics,
and a watched BERT, at most 1.5 of the same without. Every ratio is one of medians over rounds in which its
sides take turns, float32.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from datetime import date
from typing import Any

import torch

import regard
from benchmarks.kernel import arrays, compare, sdpa, seconds
from benchmarks.results import command, machine, write_json
from regard.attention.answers import WATCHABLE

LENGTHS, BATCHES = (128, 256, 512), (1, 8)
LAYERS = 4
LIMIT = 2.4
SMALL = 1.5


def one_by_one(q, k, v) -> None:
    """The output, then three questions to its map."""
    _, weights = regard.attend(q, k, v)
    weights.entropy()
    weights.received()
    weights.pool(64, 64)


def all_at_once(q, k, v) -> None:
    """The output with every statistic, each of which is then read."""
    _, weights = regard.attend(q, k, v, watch=tuple(WATCHABLE))
    weights.entropy()
    weights.received()
    weights.topk()
    weights.pool()


def repeated(side: Callable[..., object], count: int, *given: Any) -> Callable[[], None]:
    """Several calls, for a clock that is not fine enough for one."""

    def calls() -> None:
        for _ in range(count):
            side(*given)

    return calls


def processor_seconds(side: Callable[[], object]) -> float:
    """Processor time of all threads."""
    start = time.process_time()
    side()
    return time.process_time() - start


def model(length: int) -> torch.nn.Module:
    """A BERT of usual width, with random weights."""
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=512,
        num_hidden_layers=LAYERS,
        max_position_embeddings=length,
        initializer_range=0.04,
    )
    return BertModel(config).eval()


def watched(network: torch.nn.Module, ids: torch.Tensor) -> None:
    """One pass with everything that `watch` keeps by default."""
    with regard.watch(network):
        network(ids)


def long_table(rounds: int, measure: Callable) -> list[dict[str, object]]:
    """Questions one by one at 4,096 positions."""
    given = arrays(4096)
    sides = {
        "sdpa": lambda: sdpa(*given),
        "asked": lambda: one_by_one(*given),
        "watched": lambda: all_at_once(*given),
    }
    times = compare(sides, rounds, measure)
    return [
        row("output, then entropy, received, pool one by one / SDPA", times["asked"] / times["sdpa"], LIMIT),
        row("output with every statistic / SDPA", times["watched"] / times["sdpa"], None),
    ]  # fmt: skip


def small_table(rounds: int, measure: Callable) -> list[dict[str, object]]:
    """Attention of BERT's shape, and a whole BERT."""
    found = []
    for batch in BATCHES:
        for length in LENGTHS:
            torch.manual_seed(0)
            given = [torch.randn(batch, 12, length, 64) for _ in range(3)]
            count = max(1, 2**21 // (batch * length**2 * 4))
            times = compare(
                {
                    "sdpa": repeated(sdpa, count, *given),
                    "all": repeated(all_at_once, count, *given),
                    "one by one": repeated(one_by_one, count, *given),
                },
                rounds,
                measure,
            )
            network, ids = model(length), torch.randint(512, (batch, length))
            models = compare(
                {"bare": repeated(network, 1, ids), "watch": repeated(watched, 1, network, ids)},
                max(3, rounds // 2),
                measure,
            )
            what = f"{batch} x {length} tokens"
            found += [
                row(f"{what}: all statistics / SDPA", times["all"] / times["sdpa"], SMALL),
                row(
                    f"{what}: output, then asked / SDPA", times["one by one"] / times["sdpa"], None
                ),
                row(f"{what}: BERT watched / bare", models["watch"] / models["bare"], SMALL),
            ]
    return found


def row(what: str, ratio: float, wanted: float | None) -> dict[str, object]:
    """One line, printed at once."""
    print(f"{what:55} {ratio:6.2f}  {'' if wanted is None else f'<= {wanted}'}", flush=True)
    return {"what": what, "ratio": ratio, "wanted": wanted}


def main() -> None:
    """Measure, print and write both tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=2, help="1 counts processor time")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    measure = processor_seconds if options.threads == 1 else seconds
    rounds = 5 if options.quick else 15
    with torch.no_grad():
        table = [*long_table(rounds, measure), *small_table(rounds, measure)]
    content = {
        "command": command(),
        "date": date.today().isoformat(),
        "machine": machine(),
        "torch": torch.__version__,
        "threads": options.threads,
        "precision": "float32",
        "table": table,
    }
    write_json("questions" + "_quick" * options.quick, content)


if __name__ == "__main__":
    main()
