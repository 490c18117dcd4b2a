"""How well trained translators' cross-attention reads as word alignment, at either of a word's two steps.

Nobody drew word links for Multi30k. Links that IBM Model 1 finds in both directions stand in for them: few,
but mostly right. They come from 4,200 pairs; 200 of those, of the validation part, are asked about, with
the reference fed in. Reads the models that `python -m benchmarks.translation` left in runs/ (or --runs).

    python -m benchmarks.alignment multi30k-transformer multi30k-rnn
"""

from __future__ import annotations

import argparse
import json
import shutil
import tempfile
from pathlib import Path
from typing import Any

from benchmarks.results import KEPT, ROOT, machine
from benchmarks.translation import DATA
from regard.api.trust import trust
from regard.data import Example, read_parallel
from regard.evaluation.alignment.ibm_model1 import ibm_model_1
from regard.evaluation.alignment.verdict import AlignmentVerdict

ASKED, LEARNED_FROM = 200, 4000


def examples() -> tuple[list[Example], str]:
    """The pairs asked about, and links for them in the form `regard trust --gold` reads."""
    folder = DATA / "multi30k-de-en"
    asked, more = (
        list(read_parallel([folder / f"{part}.de"], [folder / f"{part}.en"]))[:count]
        for part, count in (("val", ASKED), ("train", LEARNED_FROM))
    )
    words = [(one.text.split(), (one.target or "").split()) for one in [*asked, *more]]
    links = ibm_model_1(words)[: len(asked)]
    return asked, "\n".join(
        " ".join(f"{source + 1}-{target + 1}" for source, target in sorted(of_pair))
        for of_pair in links
    )


def measure(folder: Path, asked: list[Example], gold: str) -> dict[str, Any]:
    """Error rates of every layer and reading; the model's own folder is left as it is."""
    with tempfile.TemporaryDirectory() as name:
        copy = shutil.copytree(folder, Path(name) / "model")
        links = Path(name) / "gold.txt"
        links.write_text(gold + "\n", encoding="utf-8")
        verdict = trust(copy, asked, gold=links)
    assert isinstance(verdict, AlignmentVerdict)
    print(f"{folder.name}\n{verdict}\n", flush=True)
    layers = [
        {reading: round(100 * score.error_rate, 1) for reading, score in layer.items()}
        for layer in verdict.layers
    ]
    return {"layers": layers, "diagonal": round(100 * verdict.diagonal.error_rate, 1)}


def main() -> None:
    """Ask the models named and keep the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="+")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs")
    given = parser.parse_args()
    asked, gold = examples()
    found = {name: measure(given.runs / name, asked, gold) for name in given.models}
    content = {"machine": machine(), "pairs": len(asked), "alignment error rate": found}
    text = json.dumps(content, indent=1)
    (KEPT / "alignment.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
