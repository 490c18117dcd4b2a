"""Runs the README's commands, so that what it promises is true.

Every fenced block marked `sh` or `python` is run, in the order of the page, in a fresh folder that holds small
files of the names the page uses. A block that starts with `# not run here` is left out, and says why.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BLOCK = re.compile(r"^```(sh|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


def files(folder: Path) -> None:
    """Small files of the names the README uses, with the demo's task as their text."""
    from regard.data import dates

    pairs = [(e.text, e.target or "") for e in dates.generate(400, seed=3)]
    for name, part in {"train": pairs[:360], "valid": pairs[360:380], "test": pairs[380:]}.items():
        (folder / f"{name}.de").write_text(
            "".join(f"{source}\n" for source, _ in part), encoding="utf-8"
        )
        (folder / f"{name}.en").write_text(
            "".join(f"{target}\n" for _, target in part), encoding="utf-8"
        )
    moods = [("a warm and funny film", "good"), ("dull , long and empty", "bad")]
    rows = [(f"{text} , part {n}", label) for n in range(60) for text, label in moods]
    for name in ("reviews.tsv", "test.tsv"):
        (folder / name).write_text(
            "".join(f"{t}\t{label}\n" for t, label in rows), encoding="utf-8"
        )
    paper = {
        "source": ["We look at dates.", "They are short.", "We read them."],
        "target": "Dates are short.",
    }
    (folder / "papers.jsonl").write_text(f"{json.dumps(paper)}\n" * 40, encoding="utf-8")


def commands() -> list[tuple[str, str]]:
    """The page's blocks that are run."""
    page = (ROOT / "README.md").read_text(encoding="utf-8")
    return [
        (kind, text) for kind, text in BLOCK.findall(page) if not text.startswith("# not run here")
    ]


def main() -> int:
    """Run them all; stop at the first that fails."""
    binaries = Path(sys.executable).parent
    environment = {**os.environ, "PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    folder = Path(tempfile.mkdtemp(prefix="readme-"))
    try:
        files(folder)
        for kind, text in commands():
            print(f"--- {kind}\n{text}", end="", flush=True)
            call = (
                ["bash", "-euo", "pipefail", "-c", text]
                if kind == "sh"
                else [sys.executable, "-c", text]
            )
            code = subprocess.run(  # noqa: S603  (our own page)
                call, cwd=folder, env=environment, stdin=subprocess.DEVNULL
            ).returncode
            if code:
                print(f"failed with {code}", file=sys.stderr)
                return 1
    finally:
        shutil.rmtree(folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
