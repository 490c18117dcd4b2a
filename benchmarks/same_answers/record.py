"""Records what the `regard` on the path answers: `python -m benchmarks.same_answers.record FILE`.

`benchmarks.same_answers` starts this once for each commit, with `PYTHONPATH` at its `src`.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import regard


def record(parts: list[str]) -> dict[str, Any]:
    """Everything asked for, with the seconds each part took."""
    found: dict[str, Any] = {"seconds": {}}
    with tempfile.TemporaryDirectory(prefix="same-answers-") as folder:
        os.chdir(folder)  # so that no path in any output names it
        for part, recorded in PARTS.items():
            if part in parts:
                start = time.perf_counter()
                found |= recorded()
                found["seconds"][part] = round(time.perf_counter() - start, 1)
        os.chdir("/")
    return found


def _models() -> dict[str, Any]:
    from benchmarks.same_answers import python_api
    from benchmarks.same_answers.cases import CASES
    from benchmarks.same_answers.commands import warm
    from benchmarks.same_answers.files import write_files
    from benchmarks.same_answers.models import answers_of, trained

    warm()
    write_files()
    found = {}
    for case in CASES:
        start = time.perf_counter()
        found[case.name] = {"training": trained(case), "answers": answers_of(case)}
        print(f"{case.name}: {time.perf_counter() - start:.1f} s", file=sys.stderr, flush=True)
    return {"models": found, "python": python_api.answers([case.name for case in CASES])}


def _arrays() -> dict[str, Any]:
    from benchmarks.same_answers.arrays import answers

    return {"arrays": answers()}


PARTS = {"models": _models, "arrays": _arrays}
"""Models first: their commands are forked from a process that has computed nothing."""


def main() -> None:
    """Record into a file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", choices=PARTS, action="append")
    options = parser.parse_args()
    source = Path(os.environ["PYTHONPATH"]).resolve()
    if not Path(regard.__file__ or "").resolve().is_relative_to(source):
        parser.error(f"regard comes from {regard.__file__}, not from {source}")
    file = options.file.resolve()
    found = record(options.only or [*PARTS])
    file.write_text(json.dumps(found, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
