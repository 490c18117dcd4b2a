"""Many clients at once: every answer is 200 or 429, and memory stays level.

Starts `regard serve` on a free port of loopback with a tiny model of a made-up language and lets some
clients ask it, each again as soon as it is answered. Latency counts what the client waits, 429s and
their pause included in neither.

    python -m benchmarks.serve --clients 200 --seconds 60
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import random
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

import httpx
import numpy as np

import regard
from regard.data import Example

WORDS = [f"wort{n}" for n in range(60)]


def train(folder: Path) -> None:
    """A model that copies; how well does not matter here."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(4, 12))) for _ in range(200)]
    pairs = [Example(text, text, (), (None, 0), ()) for text in texts]
    settings = {"epochs": 1, "tokenizer": "word", "max_length": 20}
    regard.train(
        "translation",
        train=pairs[:190],
        valid=pairs[190:],
        out=folder,
        model="rnn",
        preset="tiny",
        settings=settings,
    )


def resident(process: int) -> float:
    """Memory of a process in MiB."""
    found = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    assert found is not None
    return int(found[1]) / 1024


async def client(
    http: httpx.AsyncClient, until: float, seen: Counter[int], waits: list[float]
) -> None:
    draw = random.Random(len(waits))
    while time.monotonic() < until:
        begun = time.monotonic()
        text = " ".join(draw.choices(WORDS, k=draw.randint(4, 12)))
        response = await http.post("/translate", json={"text": text})
        seen[response.status_code] += 1
        if response.status_code == 200:
            waits.append(time.monotonic() - begun)
        else:
            await asyncio.sleep(
                float(response.headers.get("retry-after", 1)) * draw.uniform(0.5, 1.5)
            )


async def load(address: str, process: int, clients: int, seconds: float) -> dict[str, object]:
    """All clients at once, memory looked at twice a second."""
    seen: Counter[int] = Counter()
    waits: list[float] = []
    memory: list[float] = []
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as http:
        until = time.monotonic() + seconds
        tasks = [asyncio.create_task(client(http, until, seen, waits)) for _ in range(clients)]
        while time.monotonic() < until:
            memory.append(resident(process))
            await asyncio.sleep(0.5)
        await asyncio.gather(*tasks)
    late = memory[len(memory) // 4 :]  # the first batches of each size have been seen by then
    half = len(late) // 2
    return {
        "clients": clients,
        "seconds": seconds,
        "answers": dict(sorted(seen.items())),
        "answers_per_second": round(seen[200] / seconds, 1),
        "wait_ms": {f"p{p}": round(1000 * float(np.percentile(waits, p))) for p in (50, 95, 99)},
        "memory_mib": {
            "begin": round(memory[0]),
            "then": round(max(late[:half])),
            "end": round(max(late[half:])),
        },
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "copy"
        train(model)
        command = [sys.executable, "-m", "regard.cli", "serve", str(model), "--port", "0"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
        assert server.stderr is not None
        address = re.search(r"http://\S+/", server.stderr.readline())
        assert address is not None
        result = asyncio.run(load(address[0], server.pid, wanted.clients, wanted.seconds))
        server.send_signal(signal.SIGINT)
        result["stopped"] = server.wait(30)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
