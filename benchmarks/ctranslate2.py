"""Translation speed beside CTranslate2 4.8.5, the same weights, beam and texts, by precision, in one run.

CTranslate2 is in the extra of export (`pip install -e ".[export]"`). The model is one of `regard train`, such
as the small Transformer that `benchmarks.joeynmt` compares (4 + 4 layers, 128 wide, 8,000 pieces)::

    regard train translation --train train.de train.en --valid val.de val.en --out runs/small --set width=128 \
        --set heads=4 --set feedforward=256 --set encoder_layers=4 --set decoder_layers=4 --set joint=true
    python -m benchmarks.ctranslate2 runs/small

It is exported by `regard.export`, which compares answers first. Both then translate the 1,000 captions of
Multi30k's test part with beam 5, text in and text out, alternately; every answer ends where the model ends it.
Medians of the repetitions. CTranslate2 runs as many threads as ours, one for a batch each, with the batch size
at which it is fastest. BLEU is of the validation part.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ctranslate2
import torch

import regard
from benchmarks.results import DATA, machine, write_json
from regard.api.export import export
from regard.api.tasks.translation import Translator
from regard.choices import Precision
from regard.decoding import DecodingSettings
from regard.evaluation import bleu

MULTI30K = DATA / "multi30k-de-en"
OURS: tuple[Precision, ...] = ("float32", "bfloat16", "int8")
THEIRS = ("float32", "int8")
BATCH_SIZES = (16, 32, 64, 128, 256)

Translate = Callable[[list[str]], list[str]]


def ours(folder: Path, precision: Precision) -> Translate:
    """Our translation of texts."""
    model = regard.load(folder, precision=precision)
    assert isinstance(model, Translator)
    settings = DecodingSettings(beam=5)
    return lambda texts: list(model.write(texts, settings=settings))


def theirs(folder: Path, exported: Path, precision: str, threads: int, size: int) -> Translate:
    """CTranslate2's translation of texts, in batches of a size."""
    model = regard.load(folder)
    assert isinstance(model, Translator)
    engine = ctranslate2.Translator(
        str(exported), compute_type=precision, inter_threads=threads, intra_threads=1
    )
    source, target = model.source_tokenizer, model.target_tokenizer
    ids = {piece: number for number, piece in enumerate(target.vocabulary)}

    def translate(texts: list[str]) -> list[str]:
        found = engine.translate_batch(
            [encoding.tokens for encoding in source.encode_batch(texts)],
            beam_size=5,
            max_batch_size=size,
        )
        return [target.decode([ids[piece] for piece in each.hypotheses[0]]) for each in found]

    return translate


def seconds(translate: Translate, texts: list[str]) -> float:
    """Wall-clock time of one translation of all texts."""
    start = time.perf_counter()
    translate(texts)
    return time.perf_counter() - start


def compare(folder: Path, repetitions: int, threads: int) -> dict[str, Any]:
    """Measure every system by turns; medians of seconds, and BLEU."""
    read = {name: _lines(MULTI30K / name) for name in ("test_2016_flickr.de", "val.de", "val.en")}
    texts, valid, references = read.values()
    with tempfile.TemporaryDirectory() as place:
        exported = Path(place) / "exported"
        export(folder, exported, to="ctranslate2", texts=valid[:200])
        systems = {f"regard, {name}": ours(folder, name) for name in OURS}
        for name in THEIRS:
            sized = [theirs(folder, exported, name, threads, size) for size in BATCH_SIZES]
            systems[f"CTranslate2, {name}"] = min(sized, key=lambda each: seconds(each, texts))
        for translate in systems.values():  # loads compiled code
            translate(texts[:50])
        times: dict[str, list[float]] = {name: [] for name in systems}
        for _ in range(repetitions):
            for name, translate in systems.items():
                times[name].append(seconds(translate, texts))
        return {
            name: {
                "seconds": statistics.median(times[name]),
                "BLEU": bleu(translate(valid), references).value,
            }
            for name, translate in systems.items()
        }


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").split("\n")[:-1]


def main() -> None:
    """Compare, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", type=Path, help="folder of a Transformer that translates")
    parser.add_argument("--repetitions", type=int, default=5)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    found = compare(options.model, options.repetitions, options.threads)
    print(json.dumps(found, indent=1))
    content = {"machine": machine(), "threads": options.threads, "systems": found}
    write_json("ctranslate2", content)


if __name__ == "__main__":
    main()
