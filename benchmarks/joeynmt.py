"""Training and decoding speed beside JoeyNMT 2.3.0, same architecture, data and batches, in one run.

JoeyNMT lives in an environment of its own::

    python3.11 -m venv joey
    joey/bin/pip install torch==2.13.0
    joey/bin/pip install joeynmt==2.3.0 importlib_metadata sentencepiece==0.2.0
    python -m benchmarks.joeynmt --joeynmt joey/bin/python

Both train on Multi30k de-en from a random start for a few updates, by turns, and both then write 1,000
captions with beam 5: 15 tokens and then an end, so that neither gains by stopping early. These are 16 steps
of the network, which is what JoeyNMT's `max_output_length` counts; here `max_length` does not count the end.
(A beam of JoeyNMT's that does not take the end at the last step is cut there, after as many.)
Target tokens a second, padding not counted; medians of the repetitions; ratios above 1 are in our favour.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from benchmarks.results import KEPT, ROOT, machine
from regard.api.config.settings import RunSettings, resolve
from regard.api.tasks.translation import Translator
from regard.data import read_parallel
from regard.decoding import DecodingSettings
from regard.training import ProcessGroup
from regard.training.update import Updater

DATA = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data")) / "multi30k-de-en"
UPDATES, WARM, LENGTH = 30, 10, 15

SHAPES: dict[str, dict[str, Any]] = {
    "transformer": {
        "width": 128,
        "heads": 4,
        "feedforward": 256,
        "encoder_layers": 4,
        "decoder_layers": 4,
        "dropout": 0.1,
        "joint": True,
    },
    "rnn": {
        "cell": "gru",
        "score": "additive",
        "embedding": 256,
        "width": 256,
        "dropout": 0.1,
        "joint": True,
        "input_feeding": True,
    },
}

PIECES = """
import sentencepiece, pathlib, sys
folder, *files = sys.argv[1:]
sentencepiece.SentencePieceTrainer.train(input=files, model_prefix=f"{folder}/pieces", vocab_size=8000,
    model_type="bpe", character_coverage=1.0, minloglevel=2)
model = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/pieces.model")
pieces = [model.id_to_piece(i) for i in range(3, model.vocab_size())]
pathlib.Path(folder, "vocabulary.txt").write_text("\\n".join(pieces) + "\\n", encoding="utf-8")
"""


LENGTHY = f"""
import joeynmt.search as search, joeynmt.__main__ as command, functools
search.beam_search = functools.partial(search.beam_search, min_output_length={LENGTH})
command.main()
"""
"""Its command with the least length it was told: 2.3.0 reads `min_output_length` and never passes it on, so
that a model of a few updates ends most sentences at once."""


def joey_model(kind: str) -> dict[str, Any]:
    """The same architecture in its words."""
    shared = {
        "initializer": "xavier_uniform",
        "embed_initializer": "xavier_uniform",
        "tied_embeddings": True,
        "tied_softmax": True,
    }
    if kind == "transformer":
        part = {
            "type": "transformer",
            "num_layers": 4,
            "num_heads": 4,
            "embeddings": {"embedding_dim": 128, "scale": True},
            "hidden_size": 128,
            "ff_size": 256,
            "dropout": 0.1,
            "layer_norm": "pre",
        }
        return {**shared, "encoder": part, "decoder": part}
    part = {
        "type": "recurrent",
        "rnn_type": "gru",
        "num_layers": 1,
        "embeddings": {"embedding_dim": 256},
        "hidden_size": 256,
        "dropout": 0.1,
    }
    encoder = {**part, "bidirectional": True}
    decoder = {
        **part,
        "attention": "bahdanau",
        "hidden_dropout": 0.1,
        "input_feeding": True,
        "init_hidden": "bridge",
    }
    return {**shared, "encoder": encoder, "decoder": decoder}


def joey_config(kind: str, folder: Path) -> Path:
    """Its configuration file."""
    side = {
        "max_length": 256,
        "level": "bpe",
        "voc_limit": 8000,
        "voc_file": str(folder / "vocabulary.txt"),
        "tokenizer_type": "sentencepiece",
        "tokenizer_cfg": {"model_file": str(folder / "pieces.model"), "model_type": "bpe"},
    }
    ids = {"unk": 0, "pad": 1, "bos": 2, "eos": 3}
    tokens = {"unk": "<unk>", "pad": "<pad>", "bos": "<s>", "eos": "</s>"}
    special = {f"{n}_id": i for n, i in ids.items()} | {f"{n}_token": t for n, t in tokens.items()}
    content = {
        "name": kind,
        "joeynmt_version": "2.3.0",
        "model_dir": str(folder / f"joey-{kind}"),
        "use_cuda": False,
        "fp16": False,
        "data": {
            "train": str(DATA / "train"),
            "dev": str(DATA / "val"),
            "test": str(DATA / "test_2016_flickr"),
            "dataset_type": "plain",
            "src": {"lang": "de", **side},
            "trg": {"lang": "en", **side},
            "special_symbols": special,
        },
        "testing": {
            "beam_size": 5,
            "beam_alpha": 1.0,
            "batch_size": 4096,
            "batch_type": "token",
            "min_output_length": LENGTH,
            "max_output_length": LENGTH + 1,
            "eval_metrics": ["bleu"],
        },
        "training": {
            "optimizer": "adam",
            "learning_rate": 0.001,
            "scheduling": "warmupinversesquareroot",
            "learning_rate_warmup": 1000,
            "label_smoothing": 0.1,
            "normalization": "tokens",
            "loss": "crossentropy",
            "batch_size": 4096,
            "batch_type": "token",
            "epochs": 10,
            "updates": UPDATES,
            "validation_freq": 10**6,
            "logging_freq": WARM,
            "early_stopping_metric": "loss",
            "overwrite": True,
            "shuffle": True,
        },
        "model": joey_model(kind),
    }
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def joey(python: Path, verb: str, config: Path, threads: int) -> str:
    """What it printed."""
    start = ["-c", LENGTHY] if verb == "test" else ["-m", "joeynmt"]
    command = [str(python), *start, verb, str(config)]
    command += ["--skip-test"] if verb == "train" else []
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"JoeyNMT failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def joey_training(python: Path, config: Path, threads: int) -> float:
    """Its own tokens a second, without the first stretch."""
    rates = re.findall(r"Tokens per Sec:\s+(\d+)", joey(python, "train", config, threads))
    return statistics.mean(map(float, rates[1:]))


def joey_decoding(python: Path, config: Path, threads: int) -> float:
    """Its own seconds for the test part."""
    printed = joey(python, "test", config, threads)
    return float(re.findall(r"[Gg]eneration took ([\d.]+)", printed)[-1])


def our_model(kind: str) -> tuple[Translator, RunSettings, Any]:
    """The same architecture here, with its training part."""
    values = {**SHAPES[kind], "vocabulary": 8000, "batch_tokens": 4096, "ema": 0.0}
    settings = resolve("translation", kind=kind, values=values)
    examples = read_parallel([DATA / "train.de"], [DATA / "train.en"])
    model = Translator.from_examples(examples, settings)
    return model, settings, model.encode_examples(examples, training=True)


def our_training(kind: str) -> tuple[float, Translator]:
    """Target tokens a second, after as many updates to warm up."""
    model, settings, prepared = our_model(kind)
    batches = prepared.epochs(settings.training)(0)
    updater = Updater(model.network, settings.training, total=1000, process_group=ProcessGroup())
    model.network.train()
    tokens, start = 0, 0.0
    for step in range(UPDATES):
        if step == WARM:
            tokens, start = 0, time.perf_counter()
        batch = batches[step]
        updater(model.loss, [batch], step + 1)
        tokens += int(batch.target_lengths.sum())
    return tokens / (time.perf_counter() - start), model


def our_decoding(model: Translator) -> float:
    """Seconds for the test part."""
    texts = (DATA / "test_2016_flickr.de").read_text(encoding="utf-8").split("\n")[:-1]
    settings = DecodingSettings(beam=5, min_length=LENGTH, max_length=LENGTH)
    model.network.eval()
    model.write(texts[:50], settings=settings)  # compiled code is loaded, as JoeyNMT's model is
    start = time.perf_counter()
    model.write(texts, settings=settings)
    return time.perf_counter() - start


def compare(python: Path, kind: str, repetitions: int, threads: int) -> dict[str, Any]:
    """Both, by turns."""
    training: dict[str, list[float]] = {"ours": [], "joeynmt": []}
    decoding: dict[str, list[float]] = {"ours": [], "joeynmt": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [str(DATA / "train.de"), str(DATA / "train.en")]
        subprocess.run([str(python), "-c", PIECES, name, *files], check=True)
        config = joey_config(kind, folder)
        for _ in range(repetitions):
            speed, model = our_training(kind)
            training["ours"].append(speed)
            decoding["ours"].append(our_decoding(model))
            training["joeynmt"].append(joey_training(python, config, threads))
            decoding["joeynmt"].append(joey_decoding(python, config, threads))
    speeds = {who: statistics.median(values) for who, values in training.items()}
    seconds = {who: statistics.median(values) for who, values in decoding.items()}
    return {
        "model": kind,
        "training target tokens a second": speeds,
        "training ratio": speeds["ours"] / speeds["joeynmt"],
        "decoding 1,000 captions, seconds": seconds,
        "decoding ratio": seconds["joeynmt"] / seconds["ours"],
    }


def main() -> None:
    """Compare both architectures and keep the result."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--joeynmt", type=Path, required=True, help="Python of its environment")
    parser.add_argument("--models", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(given.threads)
    found = []
    for kind in given.models:
        found.append(compare(given.joeynmt, kind, given.repetitions, given.threads))
        print(json.dumps(found[-1], indent=1), flush=True)
    content = {"machine": machine(), "threads": given.threads, "comparisons": found}
    KEPT.mkdir(exist_ok=True)
    (KEPT / "joeynmt.json").write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
