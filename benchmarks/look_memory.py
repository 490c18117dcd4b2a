"""Memory of looking at a long text with our own models, above that of answering it.

Each measurement runs in its own process: the peak after `look` and `save("x.html")` minus the peak after the
answer. Claim: at most 300 MB for 5,000 tokens, since a record holds statistics and pooled maps of long texts
and no matrix.

    python -m benchmarks.look_memory                  # 5,000 tokens, every kind
    python -m benchmarks.look_memory --tokens 20000 --kinds cnn
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from benchmarks.results import command, machine, write_json

CLAIM = 300  # MB
KINDS: dict[str, tuple[str, dict[str, Any]]] = {
    "wide": ("classification", {}),
    "bigru": ("classification", {}),
    "cnn": ("classification", {}),
    "transformer-classifier": ("classification", {}),
    "hierarchical": ("classification", {}),
    "extractive": ("summarization", {}),
    "transformer": ("translation", {}),
    "rnn": ("translation", {}),
    "lm": ("language", {}),
}
"""Models by kind: their task and settings; presets are those that `regard train` takes by default."""


def main() -> None:
    """Measure every kind, print a line for each and write the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tokens", type=int, default=5000)
    parser.add_argument("--kinds", nargs="+", default=list(KINDS), choices=list(KINDS))
    parser.add_argument("--worker", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        print(json.dumps(_measure(options.worker, options.tokens)))
        return
    results = []
    for kind in options.kinds:
        arguments = [sys.executable, "-m", "benchmarks.look_memory", "--worker", kind]
        run = subprocess.run(
            [*arguments, "--tokens", str(options.tokens)],
            capture_output=True,
            text=True,
            check=True,
        )
        results.append(json.loads(run.stdout.splitlines()[-1]))
        print(" ".join(f"{name} {value}" for name, value in results[-1].items()), flush=True)
    about = {"command": command(), "machine": machine(), "claim_mb": CLAIM}
    write_json("look_memory", {**about, "results": results})
    worst = max(result["above_mb"] for result in results)
    print(f"at most {worst} MB above the answer; the claim is {CLAIM}")


def _measure(kind: str, tokens: int) -> dict[str, Any]:
    import regard

    task, settings = KINDS[kind]
    with tempfile.TemporaryDirectory() as folder:
        model = _trained(kind, task, {**settings, "tokenizer": "word"}, Path(folder), tokens)
        text = " ".join(f"w{i % 997} ." if i % 20 == 19 else f"w{i % 997}" for i in range(tokens))
        text = " ".join(text.split()[:tokens])
        regard.__version__  # noqa: B018 - imported before the first peak
        model.look("w1 w2 .").save(Path(folder) / "short.html")  # imports and compiles
        start = time.perf_counter()
        _answer(model, text)
        answered, before = time.perf_counter() - start, _peak()
        start = time.perf_counter()
        record = model.look(text, "w1 w2") if model.writes else model.look(text)
        page = record.save(Path(folder) / "long.html")
        return {
            "kind": kind,
            "tokens": tokens,
            "answer_mb": round(before),
            "above_mb": round(_peak() - before),
            "page_mb": round(page.stat().st_size / 1e6, 1),
            "answer_s": round(answered, 1),
            "look_s": round(time.perf_counter() - start, 1),
        }


def _trained(kind: str, task: Any, settings: dict[str, Any], folder: Path, tokens: int) -> Any:
    """A model trained for one step: its memory does not depend on what it has learned."""
    import regard
    from regard.data import Example

    texts = [" ".join(f"w{i}" for i in range(n, n + 8)) + " ." for n in range(0, 1000, 8)]
    if task == "classification":
        examples = [Example(t, labels=(str(n % 2),)) for n, t in enumerate(texts)]
    elif task == "language":
        examples = [Example(t) for t in texts]
    else:
        examples = [Example(f"{t} {t}", t) for t in texts]
    settings = {**settings, "steps": 1, "max_tokens": tokens + 2}
    return regard.train(task, train=examples, out=folder / "model", model=kind, settings=settings)


def _answer(model: Any, text: str) -> None:
    if model.task == "classification":
        model.classify(text)
    elif model.task == "summarization":
        model.summarize(text)
    elif model.task == "translation":
        model.translate([text], settings=model.decoding_settings({"max_length": 4}))
    else:
        model.generate([text], settings=model.decoding_settings({"max_length": 4}))


def _peak() -> float:
    """Peak memory of this process so far, in MB."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    main()
