"""A corpus through a command, in one process and on a Ray cluster: equal files, times, memory, a killed worker.

Claim: `--engine ray` writes the rows that one process writes, also where a worker is killed in the middle, and
the memory of the process that reads and writes does not grow with the corpus.

    python -m benchmarks.corpora --lines 20000
    python -m benchmarks.corpora --lines 1000000 --no-alone
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

import regard
from benchmarks.results import machine, write_json
from regard.data import dates

SIZE = {"width": 32, "heads": 2, "feedforward": 64, "joint": False, "tokenizer": "char"}

LINES_PER_DRAW = 10_000


class Run(NamedTuple):
    """A command that has ended.

    Attributes:
        seconds: from start to end.
        megabytes: of the process itself after a tenth of the lines, and at its end.
        sha256: of what it wrote, or of the rows of a table.
        killed: number of workers that were killed.
    """

    seconds: float
    megabytes: tuple[int, int]
    sha256: str
    killed: int


def write_lines(path: Path, count: int) -> None:
    """Write a Parquet file of written dates with their numbers."""
    schema = pa.schema({"text": pa.string(), "number": pa.int64()})
    with pq.ParquetWriter(path, schema) as file:
        for start in range(0, count, LINES_PER_DRAW):
            drawn = dates.generate(min(LINES_PER_DRAW, count - start), seed=start, part="test")
            numbers = range(start, start + len(drawn))
            columns = {"text": [each.text for each in drawn], "number": [*numbers]}
            file.write_table(pa.table(columns, schema=schema))


def train(folder: Path, steps: int) -> None:
    """Train a small translator of dates."""
    settings: dict[str, Any] = {**SIZE, "steps": steps, "batch_tokens": 1024}
    settings["decoding.max_length"] = 12
    regard.train(
        "translation",
        train=dates.generate(4000),
        valid=dates.generate(50, part="valid"),
        out=folder,
        preset="tiny",
        settings=settings,
    )


def run(folder: Path, texts: Path, name: str, *options: str, kill: bool = False) -> Run:
    """Translate greedily, from Parquet to Parquet."""
    out, state = texts.with_name(f"{name}.parquet"), texts.with_name(f"{name}.state")
    command = [sys.executable, "-m", "regard", "translate", folder, texts, "--beam", "1"]
    begin, early, latest, killed = time.perf_counter(), 0, 0, 0
    process = subprocess.Popen(
        [*map(str, command), "--out", str(out), "--state", str(state), *options],
        stderr=subprocess.DEVNULL,
    )
    batches = pq.ParquetFile(texts).metadata.num_rows // 256
    while process.poll() is None:
        time.sleep(0.5)
        done = _lines(state)
        latest = max(latest, _megabytes(process.pid))
        if not early and done > batches // 10:
            early = latest
        if kill and not killed and done > batches // 2:
            os.kill(next(_workers(process.pid)), signal.SIGKILL)
            killed += 1
    if process.returncode:
        raise SystemExit(f"{name} ended with {process.returncode}")
    return Run(time.perf_counter() - begin, (early, latest), _rows_sha256(out), killed)


def _lines(path: Path) -> int:
    """Batches in a log of answers."""
    if not path.exists():
        return 0
    counted = subprocess.run(["wc", "-l", path], capture_output=True, check=True)
    return int(counted.stdout.split()[0])


def _megabytes(process: int) -> int:
    """Resident memory of a process that is its own, without what it shares."""
    try:
        text = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return 0
    fields = dict(line.split(":", 1) for line in text.splitlines() if ":" in line)
    return int(fields.get("RssAnon", "0 kB").split()[0]) // 1024


def _workers(driver: int) -> Iterator[int]:
    """Processes of workers of our Ray cluster: descendants of the driver."""
    parents = {}
    for status in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = status.read_text().partition(") ")
        except OSError:
            continue
        parents[int(status.parent.name)] = (int(rest.split()[1]), name)
    for process, (_, name) in parents.items():
        ancestor = process
        while ancestor in parents and ancestor != driver:
            ancestor = parents[ancestor][0]
        if ancestor == driver and "ray::Worker" in name:
            yield process


def _rows_sha256(path: Path) -> str:
    found = hashlib.sha256()
    for batch in pq.ParquetFile(path).iter_batches():
        for row in batch.to_pylist():
            found.update(repr(row).encode())
    return found.hexdigest()


def main() -> None:
    """Measure, compare the files, and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lines", type=int, default=20_000)
    parser.add_argument("--steps", type=int, default=200, help="of training")
    parser.add_argument("--model", type=Path, help="a trained one; otherwise one is trained")
    parser.add_argument("--no-alone", action="store_true", help="on the cluster alone")
    options = parser.parse_args()
    found: dict[str, Run] = {}
    with tempfile.TemporaryDirectory() as place:
        folder, texts = options.model or Path(place) / "model", Path(place) / "texts.parquet"
        if options.model is None:
            train(folder, options.steps)
        write_lines(texts, options.lines)
        if not options.no_alone:
            found["one process"] = run(folder, texts, "alone")
        found["ray"] = run(folder, texts, "spread", "--engine", "ray", kill=True)
    for name, each in found.items():
        print(f"{name:12} {options.lines / each.seconds:8,.0f} lines a second, {each}", flush=True)
    if len({each.sha256 for each in found.values()}) > 1:
        raise SystemExit("the files differ")
    runs = {name: each._asdict() for name, each in found.items()}
    write_json("corpora", {"machine": machine(), "lines": options.lines, "runs": runs})


if __name__ == "__main__":
    main()
