"""Folders of the benchmarks, their results as JSON, and the page of results.

The accuracy benchmarks pass their results to `save_results`, which writes `docs/results.md` from all of
`benchmarks/results/accuracy-*.json`, so no number on the page was typed by hand. The others write their
JSON with `write_json`.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("REGARD_DATA", ROOT.parent / "shared" / "data"))
"""Folder of the data sets."""
RESULTS = ROOT / "benchmarks" / "results"
PAGE = ROOT / "docs" / "results.md"

INTRODUCTION = """# Results

Every row was written by the script named in its command; no number was typed by hand. Choices were made on
validation parts; each system was scored on a test part once, at the end, with two exceptions. `wide` was scored
twice on the sentiment sentences: 85.2, then 85.6 after a change that was chosen on other splits (see the log).
`wide` was scored twice on TREC: 89.0 with `deep=cnn`, then with the settings below, which cross-validation on
the training part had chosen in the meantime, and with no others. The sentiment sentences have no test part of
their own: choices were made on splits of the same 3,000 sentences, drawn with other seeds, so they share
sentences with the splits reported. The baseline of each row is on the same split. Minutes are wall-clock time
with one thread on a machine shared with other jobs: an upper bound. Networks were trained in bfloat16 on the
Xeon, which multiplies it in hardware (AMX), and in float32 on the EPYC.
"""


@dataclass(frozen=True)
class Result:
    """One row of the page.

    Args:
        data: data set and size of its test part.
        system: model and its settings.
        score: value with its unit, e.g. `"36.9 BLEU"`.
        spread: an interval or a standard deviation, and over what.
        baseline: score of a simple system on the same split.
        peers: scores that others report.
        seeds: seeds of the runs.
        minutes: wall clock of the training.
        note: anything else a reader must know to trust the score.
    """

    data: str
    system: str
    score: str
    spread: str
    baseline: str
    peers: str
    seeds: str
    minutes: float
    note: str = ""


def machine() -> str:
    """Return the name of the processor and the number of its cores."""
    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            x.partition(":")[2].strip() for x in info.read_text().splitlines() if "model name" in x
        ]
        name = names[0] if names else name
    return f"{name}, {os.cpu_count()} cores"


def command() -> str:
    """Return the command line that runs this benchmark again."""
    module = f"benchmarks.{Path(sys.argv[0]).stem}"
    return "python -m " + shlex.join([module, *sys.argv[1:]])


def write_json(name: str, content: Mapping[str, object]) -> None:
    """Write a JSON file of this name to the folder of results."""
    RESULTS.mkdir(exist_ok=True)
    text = json.dumps(content, indent=1, ensure_ascii=False)
    (RESULTS / f"{name}.json").write_text(text + "\n", encoding="utf-8")


def save_results(name: str, results: Sequence[Result]) -> None:
    """Write the results of one benchmark under `name`, and the page with all of them."""
    content = {
        "command": command(),
        "date": date.today().isoformat(),
        "machine": machine(),
        "results": [asdict(result) for result in results],
    }
    write_json(f"accuracy-{name}", content)
    write_page()


def write_page() -> None:
    """Write `docs/results.md` from all results saved so far."""
    parts = [INTRODUCTION]
    for path in sorted(RESULTS.glob("accuracy-*.json")):
        content = json.loads(path.read_text(encoding="utf-8"))
        parts.append(f"## {path.stem.removeprefix('accuracy-')}\n")
        parts.append(f"`{content['command']}` · {content['date']} · {content['machine']}\n")
        parts.append(_table(content["results"]) + "\n")
        notes = dict.fromkeys(result["note"] for result in content["results"] if result["note"])
        parts.extend(f"{note}\n" for note in notes)
    PAGE.write_text("\n".join(parts), encoding="utf-8")


def _table(results: list[dict[str, object]]) -> str:
    head = ("data", "system", "score", "spread", "baseline", "peers", "seeds", "minutes")
    rows = [head, ("---",) * len(head)]
    rows += [tuple(_cell(result[name]) for name in head) for result in results]
    return "\n".join("| " + " | ".join(row) + " |" for row in rows)


def _cell(value: object) -> str:
    return f"{value:.0f}" if isinstance(value, float) else str(value)
