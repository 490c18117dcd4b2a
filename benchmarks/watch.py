"""Memory and time of watching a GPT-shaped model, beside running it bare and beside eager.

Each measurement is a process of its own, so that its peak memory is its own: what the process had at
most, less what it had before the forward pass. Claim: watching grows with length, not its square.

    python -m benchmarks.watch                   # lengths 1,024 to 16,384
    python -m benchmarks.watch --padded          # one text of two padded: causal and padding masks
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import time

LENGTHS = (1024, 2048, 4096, 8192, 16384)
HEADS, WIDTH, LAYERS = 4, 256, 2
EAGER_LIMIT = 4096  # eager keeps layers x heads x length^2 floats: 2 GB at 8,192


def measure(kind: str, length: int, padded: bool) -> None:
    """Run one forward pass and print its time and memory as JSON."""
    import torch
    from transformers import GPT2Config, GPT2Model

    import regard

    torch.manual_seed(0)
    torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "2")))
    config = GPT2Config(
        vocab_size=512,
        n_embd=WIDTH,
        n_layer=LAYERS,
        n_head=HEADS,
        n_positions=length,
    )
    model = GPT2Model(config).eval()
    ids = torch.randint(512, (2 if padded else 1, length))
    mask = torch.ones_like(ids)
    if padded:
        mask[1, : length // 3] = 0
    if kind == "eager":
        model.set_attn_implementation("eager")
    with torch.no_grad():
        with regard.watch(model):
            model(ids[:, :64], attention_mask=mask[:, -64:])  # import and compile what there is
        before = _peak()
        start = time.perf_counter()
        if kind == "watch":
            with regard.watch(model):
                model(ids, attention_mask=mask)
        else:
            model(ids, attention_mask=mask, output_attentions=kind == "eager")
        seconds = time.perf_counter() - start
    print(json.dumps({"seconds": seconds, "mib": (_peak() - before) / 1024}))


def _peak() -> int:
    """The most memory this process has had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure every kind at every length and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--padded", action="store_true")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "LENGTH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return measure(options.one[0], int(options.one[1]), options.padded)
    print("| tokens | bare s | watched s | ratio | bare MiB | watched MiB | eager s | eager MiB |")
    print("|---|---|---|---|---|---|---|---|")
    for length in LENGTHS:
        kinds = ("bare", "watch", "eager") if length <= EAGER_LIMIT else ("bare", "watch")
        found = {kind: _run(kind, length, options.padded) for kind in kinds}
        bare, watched = found["bare"], found["watch"]
        eager = found.get("eager")
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
    return None


def _run(kind: str, length: int, padded: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.watch", "--one", kind, str(length)]
    output = subprocess.run(
        command + ["--padded"] * padded, check=True, capture_output=True, text=True
    ).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
