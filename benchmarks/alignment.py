"""Alignment error of trained translators' cross-attention, at both steps of each target word.

Multi30k has no word links drawn by people. Links that IBM Model 1 finds in both directions take their place:
few, but mostly right. They are learned from 4,200 pairs; 200 of these, of the validation part, are measured,
with the reference as the decoder's input. Reads the models that `python -m benchmarks.translation` wrote to
runs/ (or --runs).

    python -m benchmarks.alignment multi30k-transformer multi30k-rnn
"""

from __future__ import annotations

import argparse
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.results import DATA, ROOT, machine, write_json
from regard.api.trust import trust
from regard.data import Example, read_parallel
from regard.evaluation import AlignmentVerdict, ibm_model_1

MEASURED_PAIRS, TRAINING_PAIRS = 200, 4000


def examples_with_links() -> tuple[list[Example], str]:
    """Return the pairs to measure, and their links in the format of `regard trust --gold`."""
    folder = DATA / "multi30k-de-en"
    measured, training = (
        list(read_parallel([folder / f"{part}.de"], [folder / f"{part}.en"]))[:count]
        for part, count in (("val", MEASURED_PAIRS), ("train", TRAINING_PAIRS))
    )
    pairs = [(pair.text.split(), (pair.target or "").split()) for pair in [*measured, *training]]
    links = ibm_model_1(pairs)[: len(measured)]
    return measured, "\n".join(
        " ".join(f"{source + 1}-{target + 1}" for source, target in sorted(of_pair))
        for of_pair in links
    )


def measure(folder: Path, examples: list[Example], gold: str) -> dict[str, Any]:
    """Return the error rates of every layer at both readings; the model's folder is not changed."""
    with tempfile.TemporaryDirectory() as name:
        copy = shutil.copytree(folder, Path(name) / "model")
        links = Path(name) / "gold.txt"
        links.write_text(gold + "\n", encoding="utf-8")
        verdict = trust(copy, examples, gold=links)
    assert isinstance(verdict, AlignmentVerdict)
    print(f"{folder.name}\n{verdict}\n", flush=True)
    layers = [
        {reading: round(100 * score.error_rate, 1) for reading, score in layer.items()}
        for layer in verdict.layers
    ]
    return {"layers": layers, "diagonal": round(100 * verdict.diagonal.error_rate, 1)}


def main() -> None:
    """Measure the named models and write the error rates."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    options = parser.parse_args()
    examples, gold = examples_with_links()
    rates = {name: measure(options.runs / name, examples, gold) for name in options.models}
    content = {"machine": machine(), "pairs": len(examples), "alignment error rate": rates}
    write_json("alignment", content)


if __name__ == "__main__":
    main()
