"""Memory and time of watching a GPT- or BERT-shaped model, beside running it bare and beside eager.

Each measurement is a process of its own, so that its peak memory is its own: what the process had at
most, less what it had before the forward pass. Claim: watching grows with length, not its square.

    python -m benchmarks.watch                   # GPT-2's shape, lengths 1,024 to 16,384
    python -m benchmarks.watch --padded          # one text of two padded: causal and padding masks
    python -m benchmarks.watch --shape bert      # BERT's, 512 tokens; how far from eager's maps
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shlex
import subprocess
import sys
import time
from datetime import date
from typing import Any

from benchmarks.results import KEPT, machine

LENGTHS = {"gpt": (512, 1024, 2048, 4096, 8192, 16384), "bert": (512,)}
HEADS, WIDTH, LAYERS = 4, 256, 2
SPREAD = (
    0.04  # of first weights, as trained ones have: with the usual 0.02 attention is next to even
)
WHOLE = 512  # up to here `watch` keeps whole maps, to be held against eager's
EAGER_LIMIT = 4096  # eager keeps layers x heads x length^2 floats: 2 GB at 8,192


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
            model(ids[:, :64], attention_mask=mask[:, -64:])  # import and compile what there is
        before = _peak()
        start = time.perf_counter()
        if kind == "watch":
            with regard.watch(model) as seen:
                model(ids, attention_mask=mask)
        else:
            model(ids, attention_mask=mask, output_attentions=kind == "eager")
        seconds = time.perf_counter() - start
    figures = {"seconds": seconds, "mib": (_peak() - before) / 1024}
    if seen is not None and length <= WHOLE:
        figures["difference"] = _difference(model, ids, mask, seen)
    print(json.dumps(figures))


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
                initializer_range=SPREAD,
            )
        ).eval()
    return BertModel(
        BertConfig(vocab_size=512, max_position_embeddings=length, initializer_range=SPREAD)
    ).eval()


def _difference(model: Any, ids: Any, mask: Any, seen: Any) -> float:
    """The largest difference of any watched weight from eager's, over all layers."""
    import torch

    model.set_attn_implementation("eager")
    with torch.no_grad():
        maps = model(ids, attention_mask=mask, output_attentions=True).attentions
    worst = 0.0
    for layer, eager in enumerate(maps):
        own = torch.from_numpy(seen[seen.sites[0]][layer].dense)
        rows = mask.bool()[:, None, :, None]  # a query in the padding may see nothing at all
        worst = max(worst, float(((own - eager) * rows).abs().max()))
    return worst


def _peak() -> int:
    """The most memory this process has had, in KiB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def main() -> None:
    """Measure every kind at every length, print a table and keep it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--padded", action="store_true")
    parser.add_argument("--shape", choices=sorted(LENGTHS), default="gpt")
    parser.add_argument("--one", nargs=2, metavar=("KIND", "LENGTH"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        return measure(options.one[0], int(options.one[1]), options.shape, options.padded)
    print("| tokens | bare s | watched s | ratio | bare MiB | watched MiB | eager s | eager MiB |")
    print("|---|---|---|---|---|---|---|---|")
    table = []
    for length in LENGTHS[options.shape]:
        kinds = ("bare", "watch", "eager") if length <= EAGER_LIMIT else ("bare", "watch")
        found = {kind: _run(kind, length, options.shape, options.padded) for kind in kinds}
        table.append({"tokens": length, **found})
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
        if "difference" in watched:
            print(f"largest difference from eager's maps: {watched['difference']:.1e}", flush=True)
    content = {
        "command": "python -m " + shlex.join(["benchmarks.watch", *sys.argv[1:]]),
        "date": date.today().isoformat(),
        "machine": machine(),
        "table": table,
    }
    name = f"watch-{options.shape}{'-padded' * options.padded}.json"
    (KEPT / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return None


def _run(kind: str, length: int, shape: str, padded: bool) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.watch", "--one", kind, str(length)]
    output = subprocess.run(
        [*command, "--shape", shape, *["--padded"] * padded],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    figures: dict[str, float] = json.loads(output.splitlines()[-1])
    return figures


if __name__ == "__main__":
    main()
