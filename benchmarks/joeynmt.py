"""Training and decoding speed beside JoeyNMT 2.3.0, same architecture, data and batches, in one run.

JoeyNMT needs its own environment::

    python3.11 -m venv joey
    joey/bin/pip install torch==2.13.0
    joey/bin/pip install joeynmt==2.3.0 importlib_metadata sentencepiece==0.2.0
    python -m benchmarks.joeynmt --joeynmt joey/bin/python

Both train on Multi30k de-en from a random start for a few updates, alternately, and both then translate 1,000
captions with beam 5 into 15 tokens and the end of sentence, so that neither gains by stopping early. These are
16 steps of the network, which is what JoeyNMT's `max_output_length` counts; here `max_length` does not count
the end. (A beam of JoeyNMT that does not take the end at the last step is cut there, after 16 steps too.)
Ours trains in float32 and in bfloat16 (its products), JoeyNMT in float32, its only precision on a processor;
both decode in float32. Speeds are target tokens per second without padding; medians of the repetitions;
ratios above 1 are in our favour.
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

from benchmarks.results import DATA, machine, write_json
from regard.api.config.settings import RunSettings, resolve
from regard.api.tasks.translation import Translator
from regard.data import read_parallel
from regard.decoding import DecodingSettings
from regard.training import ProcessGroup
from regard.training.update import Updater

MULTI30K = DATA / "multi30k-de-en"
PRECISIONS = ("float32", "bfloat16")
UPDATES, WARMUP_UPDATES, LENGTH = 30, 10, 15

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

TRAIN_SENTENCEPIECE = """
import sentencepiece, pathlib, sys
folder, *files = sys.argv[1:]
sentencepiece.SentencePieceTrainer.train(input=files, model_prefix=f"{folder}/pieces", vocab_size=8000,
    model_type="bpe", character_coverage=1.0, minloglevel=2)
model = sentencepiece.SentencePieceProcessor(model_file=f"{folder}/pieces.model")
pieces = [model.id_to_piece(i) for i in range(3, model.vocab_size())]
pathlib.Path(folder, "vocabulary.txt").write_text("\\n".join(pieces) + "\\n", encoding="utf-8")
"""


TEST_WITH_MIN_LENGTH = f"""
import joeynmt.search as search, joeynmt.__main__ as command, functools
search.beam_search = functools.partial(search.beam_search, min_output_length={LENGTH})
command.main()
"""
"""JoeyNMT's command with a minimum length: 2.3.0 reads `min_output_length` but never passes it on, so a model
of a few updates would end most sentences at once."""


def joey_model(kind: str) -> dict[str, Any]:
    """Return the architecture of `SHAPES[kind]` as JoeyNMT configures it."""
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
    """Write JoeyNMT's configuration file and return its path."""
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
            "train": str(MULTI30K / "train"),
            "dev": str(MULTI30K / "val"),
            "test": str(MULTI30K / "test_2016_flickr"),
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
            "logging_freq": WARMUP_UPDATES,
            "early_stopping_metric": "loss",
            "overwrite": True,
            "shuffle": True,
        },
        "model": joey_model(kind),
    }
    path = folder / f"{kind}.yaml"
    path.write_text(yaml.safe_dump(content), encoding="utf-8")
    return path


def run_joey(python: Path, verb: str, config: Path, threads: int) -> str:
    """Run a command of JoeyNMT and return what it printed."""
    start = ["-c", TEST_WITH_MIN_LENGTH] if verb == "test" else ["-m", "joeynmt"]
    command = [str(python), *start, verb, str(config)]
    command += ["--skip-test"] if verb == "train" else []
    environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise RuntimeError(f"JoeyNMT failed:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return done.stdout + done.stderr


def joey_training(python: Path, config: Path, threads: int) -> float:
    """Return the tokens per second that JoeyNMT logs, without the warm-up updates."""
    rates = re.findall(r"Tokens per Sec:\s+(\d+)", run_joey(python, "train", config, threads))
    return statistics.mean(map(float, rates[1:]))


def joey_decoding(python: Path, config: Path, threads: int) -> float:
    """Return the seconds that JoeyNMT logs for the test part."""
    printed = run_joey(python, "test", config, threads)
    return float(re.findall(r"[Gg]eneration took ([\d.]+)", printed)[-1])


def our_model(kind: str, precision: str) -> tuple[Translator, RunSettings, Any]:
    """Return our model of an architecture, its settings and its encoded training part."""
    run = {"vocabulary": 8000, "batch_tokens": 4096, "ema": 0.0, "precision": precision}
    values = {**SHAPES[kind], **run}
    settings = resolve("translation", kind=kind, values=values)
    examples = read_parallel([MULTI30K / "train.de"], [MULTI30K / "train.en"])
    model = Translator.from_examples(examples, settings)
    return model, settings, model.encode_examples(examples, training=True)


def our_training(kind: str, precision: str) -> tuple[float, Translator]:
    """Return our target tokens per second after the warm-up updates, and the model."""
    model, settings, encoded = our_model(kind, precision)
    batches = encoded.epochs(settings.training)(0)
    updater = Updater(model.network, settings.training, total=1000, process_group=ProcessGroup())
    model.network.train()
    tokens, start = 0, 0.0
    for step in range(UPDATES):
        if step == WARMUP_UPDATES:
            tokens, start = 0, time.perf_counter()
        batch = batches[step]
        updater(model.loss, [batch], step + 1)
        tokens += int(batch.target_lengths.sum())
    return tokens / (time.perf_counter() - start), model


def our_decoding(model: Translator) -> float:
    """Return our seconds for the test part."""
    texts = (MULTI30K / "test_2016_flickr.de").read_text(encoding="utf-8").split("\n")[:-1]
    settings = DecodingSettings(beam=5, min_length=LENGTH, max_length=LENGTH)
    model.network.eval()
    model.write(
        texts[:50], settings=settings
    )  # loads compiled code; JoeyNMT does not count loading either
    start = time.perf_counter()
    model.write(texts, settings=settings)
    return time.perf_counter() - start


def compare(python: Path, kind: str, repetitions: int, threads: int) -> dict[str, Any]:
    """Measure both systems alternately and return medians and ratios."""
    training: dict[str, list[float]] = {name: [] for name in (*PRECISIONS, "joeynmt")}
    decoding: dict[str, list[float]] = {"ours": [], "joeynmt": []}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = [str(MULTI30K / "train.de"), str(MULTI30K / "train.en")]
        subprocess.run([str(python), "-c", TRAIN_SENTENCEPIECE, name, *files], check=True)
        config = joey_config(kind, folder)
        for _ in range(repetitions):
            for precision in reversed(PRECISIONS):  # the model of the last, in float32, decodes
                speed, model = our_training(kind, precision)
                training[precision].append(speed)
            decoding["ours"].append(our_decoding(model))
            training["joeynmt"].append(joey_training(python, config, threads))
            decoding["joeynmt"].append(joey_decoding(python, config, threads))
    speeds = {system: statistics.median(values) for system, values in training.items()}
    seconds = {system: statistics.median(values) for system, values in decoding.items()}
    return {
        "model": kind,
        "training target tokens a second": speeds,
        "training ratio": {name: speeds[name] / speeds["joeynmt"] for name in PRECISIONS},
        "decoding 1,000 captions, seconds": seconds,
        "decoding ratio": seconds["joeynmt"] / seconds["ours"],
    }


def main() -> None:
    """Compare both architectures and write the results."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--joeynmt", type=Path, required=True, help="Python of its environment")
    parser.add_argument("--models", nargs="+", choices=SHAPES, default=list(SHAPES))
    parser.add_argument("--repetitions", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    comparisons = []
    for kind in options.models:
        comparisons.append(compare(options.joeynmt, kind, options.repetitions, options.threads))
        print(json.dumps(comparisons[-1], indent=1), flush=True)
    content = {"machine": machine(), "threads": options.threads, "comparisons": comparisons}
    write_json("joeynmt", content)


if __name__ == "__main__":
    main()
