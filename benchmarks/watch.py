"""Time and memory of watching models of BERT's and GPT's shape, beside the bare model and eager mode.

Claims: with all maps kept in full, watching a BERT of usual size at 512 tokens takes at most 1.5 of the
time of the bare model on `scaled_dot_product_attention`; a GPT shape at 2,048 tokens and more, with the
default `Keep`, at most 1.3; and memory grows with the length, not its square.

The kinds of run alternate in one process, and the fastest of each counts, in processor time (of all
threads), so that other load on the machine matters little. Memory is that of a process of its own: its
peak minus its peak before.

    python -m benchmarks.watch             # BERT's shape at 512 tokens, GPT-2's at 512 to 16,384
    python -m benchmarks.watch --quick     # 512 and 2,048 tokens, fewer repetitions
    python -m benchmarks.watch --padded    # two texts, one of them padded
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from datetime import date
from typing import Any

from benchmarks.results import command, machine, write_json

ROWS = (("bert", 512), *(("gpt", 2**n) for n in range(9, 15)))
QUICK_ROWS = (("bert", 512), ("gpt", 2048))
HEADS, WIDTH, LAYERS = 4, 256, 2
INITIALIZER_RANGE = 0.04
"""Standard deviation of the weights, as of trained ones: with the usual 0.02 attention is almost even."""
DENSE_LIMIT = 512
"""Longest text whose full maps `watch` keeps by default, to be compared with those of eager mode."""
EAGER_LIMIT = 4096
"""Longest text in eager mode, which keeps layers x heads x length^2 floats: 2 GB at 8,192."""


class Case:
    """One model and its input.

    Args:
        shape: `"bert"` or `"gpt"`.
        length: number of tokens.
        padded: whether there are two texts, one of them padded.
    """

    def __init__(self, shape: str, length: int, padded: bool) -> None:
        import torch

        torch.manual_seed(0)
        torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
        self.length = length
        self.model = _model(shape, length)
        self.ids = torch.randint(512, (2 if padded else 1, length))
        self.mask = torch.ones_like(self.ids)
        if padded and shape == "gpt":
            self.mask[1, : length // 3] = 0
        elif padded:
            self.mask[1, length - length // 3 :] = 0

    def run(self, kind: str) -> Any:
        """Run the model once: `"bare"`, `"watch"` (returns what was seen) or `"eager"`."""
        import torch

        import regard

        with torch.no_grad():
            if kind == "watch":
                with regard.watch(self.model) as seen:
                    self.model(self.ids, attention_mask=self.mask)
                return seen
            if kind == "bare":
                return self.model(self.ids, attention_mask=self.mask)
            self.model.set_attn_implementation("eager")
            output = self.model(self.ids, attention_mask=self.mask, output_attentions=True)
            self.model.set_attn_implementation("sdpa")
            return output

    def difference(self) -> float:
        """Return the largest difference of a watched weight from eager mode, over all layers."""
        import torch

        seen, largest = self.run("watch"), 0.0
        for layer, eager in zip(seen[seen.sites[0]], self.run("eager").attentions, strict=True):
            rows = self.mask.bool()[:, None, :, None]  # queries that are padding have no meaning
            largest = max(
                largest, float(((torch.from_numpy(layer.dense) - eager) * rows).abs().max())
            )
        return largest


def _model(shape: str, length: int) -> Any:
    from transformers import BertConfig, BertModel, GPT2Config, GPT2Model

    if shape == "gpt":
        return GPT2Model(
            GPT2Config(
                vocab_size=512,
                n_embd=WIDTH,
                n_layer=LAYERS,
                n_head=HEADS,
                n_positions=length,
                initializer_range=INITIALIZER_RANGE,
                bos_token_id=0,
                eos_token_id=1,
            )
        ).eval()
    return BertModel(
        BertConfig(
            vocab_size=512, max_position_embeddings=length, initializer_range=INITIALIZER_RANGE
        )
    ).eval()


def seconds(case: Case, kinds: list[str], budget: float) -> dict[str, float]:
    """Return the fastest run of each kind, of at least two that alternate until the budget is spent."""
    for kind in kinds:
        case.run(kind)  # imports and compiles
    best = dict.fromkeys(kinds, float("inf"))
    begin, rounds = time.perf_counter(), 0
    while rounds < 2 or time.perf_counter() - begin < budget:
        rounds += 1
        for kind in kinds:
            start = time.process_time()
            case.run(kind)
            best[kind] = min(best[kind], time.process_time() - start)
    return best


def mebibytes(case: Case, kind: str) -> float:
    """Return how much the peak memory of this process grows in one run."""
    import regard

    with regard.watch(case.model):
        case.model(case.ids[:, :64], attention_mask=case.mask[:, -64:])  # imports and compiles
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    case.run(kind)
    return (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) / 1024


def main() -> None:
    """Measure every row, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--padded", action="store_true", help="two texts, one of them padded")
    parser.add_argument("--quick", action="store_true", help="two rows, fewer repetitions")
    parser.add_argument(
        "--one", nargs=3, metavar=("WHAT", "SHAPE", "LENGTH"), help=argparse.SUPPRESS
    )
    options = parser.parse_args()
    if options.one:
        what, shape, length = options.one[0], options.one[1], int(options.one[2])
        print(json.dumps(_measure(what, Case(shape, length, options.padded), options.quick)))
        return
    print(
        "| shape, tokens | bare s | watched | eager | bare MiB | watched MiB | eager MiB | difference |"
    )
    print("|---|---|---|---|---|---|---|---|")
    flags = ["--padded"] * options.padded + ["--quick"] * options.quick
    table = []
    for shape, length in QUICK_ROWS if options.quick else ROWS:
        table.append({"shape": shape, "tokens": length, **_row(shape, length, flags)})
        _print_row(table[-1])
    content = {
        "command": command(),
        "date": date.today().isoformat(),
        "machine": machine(),
        "table": table,
    }
    write_json("watch" + "-padded" * options.padded + "_quick" * options.quick, content)


def _measure(what: str, case: Case, quick: bool) -> Any:
    """Seconds of every kind (`"time"`), or the memory of one kind."""
    if what != "time":
        return mebibytes(case, what)
    kinds = ["bare", "watch"] + ["eager"] * (case.length <= EAGER_LIMIT)
    found: dict[str, Any] = {"seconds": seconds(case, kinds, 10 if quick else 60)}
    if case.length <= DENSE_LIMIT:
        found["difference"] = case.difference()
    return found


def _row(shape: str, length: int, flags: list[str]) -> dict[str, Any]:
    """Measure one row, each in a process of its own."""

    def one(what: str) -> Any:
        process = [
            sys.executable,
            "-m",
            "benchmarks.watch",
            "--one",
            what,
            shape,
            str(length),
            *flags,
        ]
        output = subprocess.run(process, check=True, capture_output=True, text=True).stdout
        return json.loads(output.splitlines()[-1])

    row: dict[str, Any] = one("time")
    return {**row, "mib": {kind: one(kind) for kind in row["seconds"]}}


def _print_row(row: dict[str, Any]) -> None:
    bare, mib = row["seconds"]["bare"], row["mib"]
    ratios = [
        f"{row['seconds'][kind] / bare:.2f}" if kind in row["seconds"] else ""
        for kind in ("watch", "eager")
    ]
    memory = [f"{mib[kind]:.0f}" if kind in mib else "" for kind in ("bare", "watch", "eager")]
    difference = f"{row['difference']:.1e}" if "difference" in row else ""
    cells = [f"{row['shape']}, {row['tokens']:,}", f"{bare:.2f}", *ratios, *memory, difference]
    print("| " + " | ".join(cells) + " |", flush=True)


if __name__ == "__main__":
    main()
