"""Load on `regard serve` with one worker and with two: requests per second, and how long each waits.

Both servers run at the same time on free ports of the loopback interface, and are loaded by turns, so that
whatever else the machine does meets both alike. Each client sends its next request as soon as it has the answer
to the one before. The models are small Transformers that have hardly been trained, which changes nothing about
their speed: one classifies sentences, one translates by a beam of five, at most twenty words.

    python -m benchmarks.serve_workers --seconds 10 --rounds 3 --clients 16
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np

import regard
from benchmarks.results import machine, write_json
from regard.data import Example

WORDS = [f"wort{n}" for n in range(400)]
WARMING = 8.0  # seconds
TASKS = {"classification": "/classify", "translation": "/translate"}


def sentence(draw: random.Random) -> str:
    return " ".join(draw.choices(WORDS, k=draw.randint(8, 20)))


def train(folder: Path) -> list[Path]:
    """Train a classifier and a translator for a few updates."""
    draw = random.Random(0)
    texts = [sentence(draw) for _ in range(200)]
    labelled = [Example(text, labels=(draw.choice(["a", "b"]),)) for text in texts]
    settings = {"steps": 5, "tokenizer": "word"}
    for task, rows, kind in (
        ("classification", labelled, "transformer-classifier"),
        ("translation", [Example(text, text) for text in texts], "transformer"),
    ):
        regard.train(
            task,
            train=rows[:190],
            valid=rows[190:],
            out=folder / task,
            model=kind,
            preset="small",
            settings={**settings, "max_length": 20} if task == "translation" else settings,
        )
    return [folder / task for task in TASKS]


@contextmanager
def serving(folders: list[Path], workers: int):
    """Start a server, and yield its port."""
    command = [sys.executable, "-m", "regard", "serve", *map(str, folders)]
    command += ["--port", "0", "--workers", str(workers)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as server:
        assert server.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", server.stderr.readline())
        assert found is not None
        try:
            yield int(found[1])
        finally:
            server.terminate()


async def client(
    port: int, task: str, seed: int, until: float, statuses: Counter[int], waits: list[float]
) -> None:
    """Send one request after another on one connection, by few instructions: the server needs the cores."""
    draw = random.Random(seed)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    while time.monotonic() < until:
        body = json.dumps({"text": sentence(draw), "model": task}).encode()
        head = (
            f"POST {TASKS[task]} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
        )
        begin = time.monotonic()
        writer.write(f"{head}content-length: {len(body)}\r\n\r\n".encode() + body)
        answer = await reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", answer, re.IGNORECASE)
        assert length is not None
        await reader.readexactly(int(length[1]))
        statuses[int(answer.split(None, 2)[1])] += 1
        waits.append(time.monotonic() - begin)
    writer.close()
    await writer.wait_closed()


async def load(port: int, task: str, clients: int, seconds: float) -> dict[str, float]:
    """Requests per second, and quantiles of the wait in milliseconds."""
    statuses: Counter[int] = Counter()
    waits: list[float] = []
    begin = time.monotonic()
    until = begin + seconds
    running = (client(port, task, seed, until, statuses, waits) for seed in range(clients))
    await asyncio.gather(*running)
    assert set(statuses) == {200}, statuses
    p50, p99 = (1000 * float(np.percentile(waits, p)) for p in (50, 99))
    return {"per_second": len(waits) / (time.monotonic() - begin), "p50_ms": p50, "p99_ms": p99}


def measure(
    workers: list[int], clients: int, seconds: float, rounds: int
) -> dict[str, dict[str, dict[str, float]]]:
    """Medians over the rounds, by task and number of workers."""
    found: dict[tuple[str, int], list[dict[str, float]]] = {}
    with ExitStack() as stack:
        folders = train(Path(stack.enter_context(tempfile.TemporaryDirectory())))
        ports = {n: stack.enter_context(serving(folders, n)) for n in workers}
        for task in TASKS:
            for port in ports.values():  # each worker loads and compiles what it needs
                asyncio.run(load(port, task, clients, WARMING))
            for _ in range(rounds):
                for n, port in ports.items():
                    found.setdefault((task, n), []).append(
                        asyncio.run(load(port, task, clients, seconds))
                    )
    return {
        task: {
            str(n): {
                name: round(statistics.median(each[name] for each in found[task, n]), 1)
                for name in ("per_second", "p50_ms", "p99_ms")
            }
            for n in workers
        }
        for task in TASKS
    }


def main() -> None:
    """Load both servers by turns, and print and write the medians."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--clients", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    found = measure(options.workers, options.clients, options.seconds, options.rounds)
    print(f"{machine()}, float32, {options.clients} clients")
    print("| task | workers | requests per second | median wait | 99th percentile |")
    print("|---|---|---|---|---|")
    for task, by_workers in found.items():
        for workers, figures in by_workers.items():
            print(
                f"| {task} | {workers} | {figures['per_second']:,.0f} | {figures['p50_ms']:.0f} ms "
                f"| {figures['p99_ms']:.0f} ms |"
            )
    facts = {"machine": machine(), "precision": "float32", **vars(options)}
    write_json("serve_workers", {**facts, "tasks": found})


if __name__ == "__main__":
    main()
