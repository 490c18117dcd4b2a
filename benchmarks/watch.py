"""Memory and time of watching a model of GPT or BERT shape, beside the bare model and beside eager mode.

Each measurement runs in its own process: memory is the peak of the process minus its peak before the forward
pass. Claim: the memory of watching grows with the length, not its square.

    python -m benchmarks.watch                   # GPT-2's shape, lengths 512 to 16,384
    python -m benchmarks.watch --padded          # two texts, one of them padded
    python -m benchmarks.watch --shape bert      # BERT's shape, 512 tokens
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

LENGTHS = {"gpt": (512, 1024, 2048, 4096, 8192, 16384), "bert": (512,)}
HEADS, WIDTH, LAYERS = 4, 256, 2
INITIALIZER_RANGE = 0.04
"""Standard deviation of the weights, as of trained ones: with the usual 0.02 attention is almost even."""
DENSE_LIMIT = 512
"""Longest text whose full maps `watch` keeps by default, to be compared with those of eager mode."""
EAGER_LIMIT = 4096
"""Longest text in eager mode, which keeps layers x heads x length^2 floats: 2 GB at 8,192."""


def measure(kind: str, length: int, shape: str, padded: bool) -> None:
    """Run one forward pass and print its time and memory as JSON."""
    import torch

    import regard

    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    model = _model(shape, length)
    ids = torch.randint(512, (2 if padded else 1, length))
    mask = torch.ones_like(ids)
    if padded and shape == "gpt":
        mask[1, : length // 3] = 0
    elif padded:
        mask[1, length - length // 3 :] = 0
    if kind == "eager":
        model.set_attn_implementation("eager")
    seen = None
    with torch.no_grad():
        with regard.watch(model):
            model(ids[:, :64], attention_mask=mask[:, -64:])  # imports and compiles
        before = _peak()
        start = time.perf_counter()
        if kind == "watch":
            with regard.watch(model) as seen:
                model(ids, attention_mask=mask)
        else:
            model(ids, attention_mask=mask, output_attentions=kind == "eager")
        seconds = time.perf_counter() - start
    measured = {"seconds": seconds, "mib": (_peak() - before) / 1024}
    if seen is not None and length <= DENSE_LIMIT:
        measured["difference"] = _difference(model, ids, mask, seen)
    print(json.dumps(measured))


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
            )
        ).eval()
    return BertModel(
        BertConfig(
            vocab_size=512, max_position_embeddings=length, initializer_range=INITIALIZER_RANGE
        )
    ).eval()


def _difference(model: Any, ids: Any, mask: Any, seen: Any) -> float:
    """Return the largest difference of a watched weight from eager mode, over all layers."""
    import torch

    model.set_attn_implementation("eager")
    with torch.no_grad():
        maps = model(ids, attention_mask=mask, output_attentions=True).attentions
    largest = 0.0
    for layer, eager in enumerate(maps):
        own = torch.from_numpy(seen[seen.sites[0]][layer].dense)
        rows = mask.bool()[:, None, :, None]  # queries that are padding have no meaning
        largest = max(largest, float(((own - eager) * rows).abs().max()))
    return largest


def _peak() -> int:
    """Return the peak memory of this process in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure every kind of run at every length, print a table and write it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--padded", action="store_true")
    parser.add_argument("--shape", choices=sorted(LENGTHS), default="gpt")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "LENGTH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        measure(options.one[0], int(options.one[1]), options.shape, options.padded)
        return
    print("| tokens | bare s | watched s | ratio | bare MiB | watched MiB | eager s | eager MiB |")
    print("|---|---|---|---|---|---|---|---|")
    table: list[dict[str, Any]] = []
    for length in LENGTHS[options.shape]:
        kinds = ("bare", "watch", "eager") if length <= EAGER_LIMIT else ("bare", "watch")
        runs = {kind: _run(kind, length, options.shape, options.padded) for kind in kinds}
        table.append({"tokens": length, **runs})
        _print_row(length, runs)
    content = {
        "command": command(),
        "date": date.today().isoformat(),
        "machine": machine(),
        "table": table,
    }
    write_json(f"watch-{options.shape}{'-padded' * options.padded}", content)


def _print_row(length: int, runs: dict[str, dict[str, float]]) -> None:
    bare, watched, eager = runs["bare"], runs["watch"], runs.get("eager")
    cells = [
        f"{length:,}",
        f"{bare['seconds']:.2f}",
        f"{watched['seconds']:.2f}",
        f"{watched['seconds'] / bare['seconds']:.1f}",
        f"{bare['mib']:.0f}",
        f"{watched['mib']:.0f}",
        f"{eager['seconds']:.2f}" if eager else "",
        f"{eager['mib']:.0f}" if eager else "",
    ]
    print("| " + " | ".join(cells) + " |", flush=True)
    if "difference" in watched:
        print(f"largest difference from eager's maps: {watched['difference']:.1e}", flush=True)


def _run(kind: str, length: int, shape: str, padded: bool) -> dict[str, float]:
    """Measure in a process of its own."""
    process = [sys.executable, "-m", "benchmarks.watch", "--one", kind, str(length)]
    output = subprocess.run(
        [*process, "--shape", shape, *["--padded"] * padded],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    measured: dict[str, float] = json.loads(output.splitlines()[-1])
    return measured


if __name__ == "__main__":
    main()
