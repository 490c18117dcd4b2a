"""Makes the folders of `format1/` and `expected.json`: a tiny model of each kind, in format 1.

Run on commit 8a02f86, which wrote format 1 (later commits write later formats, and know other names):

    git worktree add /tmp/format1 8a02f86
    PYTHONPATH=/tmp/format1/src OMP_NUM_THREADS=1 python tests/api/storage/make_format1.py
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
OUT = HERE / "format1"
KEPT = ("config.json", "model.safetensors", "source.json", "target.json", "history.jsonl")

COLOURS = {"red": "rot", "blue": "blau", "gold": "golden"}
THINGS = {"bird": "Vogel", "stone": "Stein", "lamp": "Lampe"}
DEEDS = {"sings": "singt", "falls": "sinkt", "waits": "wartet"}
MOODS = {"good": ("warm", "bright", "lovely"), "bad": ("dull", "slow", "bitter")}

QUICK = (
    "warmup=4 log_every=50 ema=0.5 patience=0 learning_rate=0.03 schedule=constant weight_decay=0"
)
TABLE = "classification --train moods.txt --source words --target mood --separator ; --format csv"
TABLE += " --max-characters 90 --over-long cut"
DOCUMENTS = "summarization --train documents.jsonl --source lines --target short"
PHRASES = "translation --train phrases.en phrases.de"

TRAININGS = {
    "transformer": (
        f"{PHRASES} --model transformer",
        "tokenizer=word joint=false tied=false width=8 heads=2 feedforward=12 encoder_layers=1 "
        "decoder_layers=1 norm=post activation=gelu positions=learned model.max_length=30 dropout=0.01 "
        "attention_dropout=0.02 decoding.max_length=6 decoding.beam=3 decoding.length_penalty=0.8 "
        "lowercase=true epochs=20 batch_tokens=120 label_smoothing=0.02 beta2=0.97 clip=2.5",
    ),
    "rnn": (
        f"{PHRASES} --model rnn",
        "tokenizer=word joint=false tied=false cell=lstm score=concat input_feeding=false embedding=6 "
        "width=8 encoder_layers=1 decoder_layers=1 dropout=0.01 word_dropout=0.02 replace_unknown=true "
        "decoding.beam=2 decoding.max_length=7 epochs=25 batch_tokens=120",
    ),
    "pointer": (
        f"{DOCUMENTS} --model pointer",
        "cell=gru tied=false embedding=6 width=8 coverage=0.4 dropout=0.01 min_count=3 vocabulary=40 "
        "decoding.max_length=6 decoding.block_ngrams=2 decoding.block_unknown=false epochs=25 "
        "batch_tokens=200",
    ),
    "extractive": (
        f"{DOCUMENTS} --model extractive",
        "embedding=6 width=5 places=3 dropout=0.01 vocabulary=40 epochs=8 batch_tokens=200",
    ),
    "wide": (
        f"{TABLE} --model wide",
        "deep=cnn deep_preset=tiny share=0.7 words=3 skips=2 leads=1 most_ngrams=70 margin=hinge "
        "penalty=0.8 dropout=0.2 word_dropout=0.05 tokenizer=bpe vocabulary=50 epochs=3 batch_tokens=150",
    ),
    "feedforward": (
        "classification --train colours.tsv --label-separator | --rare-labels keep --model feedforward",
        "embedding=6 heads=3 dropout=0.01 word_dropout=0.02 members=1 epochs=8 batch_tokens=100",
    ),
    "bigru": (
        f"{TABLE} --model bigru",
        "embedding=6 width=5 layers=2 dropout=0.01 word_dropout=0.02 members=2 epochs=5 batch_tokens=150",
    ),
    "cnn": (
        f"{TABLE} --model cnn",
        "embedding=6 width=6 windows=[1,2] looks=3 peaks=true heads=2 dropout=0.01 word_dropout=0.02 "
        "epochs=5 batch_tokens=150",
    ),
    "transformer-classifier": (
        f"{TABLE} --model transformer-classifier",
        "embedding=12 looks=3 layers=1 feedforward=10 head=first positions=rotary dropout=0.01 "
        "word_dropout=0.02 epochs=5 batch_tokens=150 learning_rate=0.01",
    ),
    "hierarchical": (
        f"{TABLE} --model hierarchical",
        "embedding=6 width=5 longest=4 dropout=0.01 word_dropout=0.02 epochs=8 batch_tokens=150",
    ),
    "lm": (
        "language --train phrases.en",
        "tokenizer=word tied=false width=8 heads=4 key_heads=2 feedforward=12 layers=1 dropout=0.01 "
        "attention_dropout=0.02 decoding.method=beam decoding.beam=2 decoding.max_length=4 epochs=12 "
        "batch_tokens=120",
    ),
}
"""Arguments of `regard train`, and settings: every name that format 2 gives up, none at its default."""

TEXTS = {
    "translation": ["the red bird sings", "the gold lamp waits", "the blue stone falls", ""],
    "classification": ["A warm and bright film about a bird.", "So slow. A bitter stone.", "red"],
    "summarization": [
        "Nobody knows. The red bird sings. It is late.",
        "It is late. Who asks? The gold lamp of Zyx waits.",
    ],
    "language": ["the red", "the"],
}
VERDICTS = {"cnn": "moods.txt", "rnn": "phrases.en phrases.de --gold phrases.links"}
"""Models that are asked how far to trust them, and with what."""


def write_files() -> None:
    """Everything to train on, into the folder we are in."""
    phrases = [(c, t, d) for c in COLOURS for t in THINGS for d in DEEDS]
    _write("phrases.en", [f"the {c} {t} {d}" for c, t, d in phrases])
    _write("phrases.de", [f"{THINGS[t]} {COLOURS[c]} {DEEDS[d]}" for c, t, d in phrases])
    _write("phrases.links", ["2-2 3-1 4-3"] * len(phrases))
    films = [
        (f"A {first} and {second} film about a {thing}. It {deed}.", mood, n)
        for n, (mood, words) in enumerate(MOODS.items())
        for first in words
        for second in words
        for thing, deed in zip(THINGS, DEEDS, strict=True)
    ]
    _write("moods.txt", ["number;mood;words", *(f"{n};{mood};{text}" for text, mood, n in films)])
    chosen = [[a] if a == b else [a, b] for a in COLOURS for b in COLOURS]
    rows = [
        f"{' and '.join(some)} over the {t}\t{'|'.join(some)}" for some in chosen for t in THINGS
    ]
    _write("colours.tsv", rows)
    documents = []
    for n, (colour, thing, deed) in enumerate(phrases):
        lines = ["Nobody knows.", f"The {colour} {thing} of Zyx{n} {deed}.", "It is late."]
        lines = lines[n % 3 :] + lines[: n % 3]
        documents.append(json.dumps({"lines": lines, "short": f"The {colour} {thing} {deed}."}))
    _write("documents.jsonl", documents)


def _write(name: str, lines: list[str]) -> None:
    Path(name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def run(*arguments: str) -> None:
    """One command."""
    subprocess.run([sys.executable, "-m", "regard.cli", *arguments], check=True)


def make(kind: str) -> dict[str, object]:
    """Train a model, keep its folder, and say what it answers."""
    from test_format1 import answers  # type: ignore[import-not-found]  # beside this script

    import regard
    from regard.api import evaluate

    arguments, settings = TRAININGS[kind]
    sets = [word for one in [*QUICK.split(), *settings.split()] for word in ("--set", one)]
    run("train", *arguments.split(), "--out", kind, "--preset", "tiny", *sets)
    if kind in VERDICTS:
        run("trust", kind, "--texts", "4", "--test", *VERDICTS[kind].split())
    folder = OUT / kind
    folder.mkdir(parents=True)
    for name in (*KEPT, "trust.json"):
        if (Path(kind) / name).is_file():
            shutil.copy(Path(kind) / name, folder / name)
    model = regard.load(folder)
    found: dict[str, object] = {
        "texts": TEXTS[model.task],
        "answers": answers(model, TEXTS[model.task]),
    }
    if kind in VERDICTS:
        found["verdict"] = model.verdict
    if kind == "wide":
        found["table"] = (
            "words;mood;more\nA dull lamp.;bad;1\nLovely, so lovely!;good;2\nA bird.;bad;3\n"
        )
        Path("test.txt").write_text(str(found["table"]), encoding="utf-8")
        found["scores"] = [score.value for score in evaluate(folder, ["test.txt"]).scores]
    return found


def main() -> None:
    """Make everything anew."""
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir()
    (OUT / "expected.json").write_text("{}\n", encoding="utf-8")  # read where the test is imported
    with tempfile.TemporaryDirectory() as name:
        os.chdir(name)
        write_files()
        expected = {kind: make(kind) for kind in TRAININGS}
        os.chdir(HERE)
    text = json.dumps(expected, indent=1, ensure_ascii=False, sort_keys=True)
    (OUT / "expected.json").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
