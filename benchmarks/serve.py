"""Load on the server from many clients: every response is 200 or 429, and memory stays level.

Starts `regard serve` on a free port of the loopback interface with a tiny model of a made-up language. Each
client sends a request as soon as the previous one is answered. Latency is the wait of the client for a response
with status 200; 429s and the pause after them do not count.

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
    """Train a model that copies; its quality does not matter here."""
    draw = random.Random(0)
    texts = [" ".join(draw.choices(WORDS, k=draw.randint(4, 12))) for _ in range(200)]
    pairs = [Example(text, text) for text in texts]
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


def resident_mib(process: int) -> float:
    """Return the resident memory of a process in MiB."""
    match = re.search(r"VmRSS:\s+(\d+)", Path(f"/proc/{process}/status").read_text())
    assert match is not None
    return int(match[1]) / 1024


async def client(
    http: httpx.AsyncClient, until: float, statuses: Counter[int], waits: list[float]
) -> None:
    """Send requests until the given time, count their statuses and collect the waits."""
    draw = random.Random(len(waits))
    while time.monotonic() < until:
        start = time.monotonic()
        text = " ".join(draw.choices(WORDS, k=draw.randint(4, 12)))
        response = await http.post("/translate", json={"text": text})
        statuses[response.status_code] += 1
        if response.status_code == 200:
            waits.append(time.monotonic() - start)
        else:
            await asyncio.sleep(
                float(response.headers.get("retry-after", 1)) * draw.uniform(0.5, 1.5)
            )


async def load(address: str, process: int, clients: int, seconds: float) -> dict[str, object]:
    """Run all clients at once and measure the memory of the server twice a second."""
    statuses: Counter[int] = Counter()
    waits: list[float] = []
    memory: list[float] = []
    limits = httpx.Limits(max_connections=clients)
    async with httpx.AsyncClient(base_url=address, timeout=60, limits=limits) as http:
        until = time.monotonic() + seconds
        tasks = [asyncio.create_task(client(http, until, statuses, waits)) for _ in range(clients)]
        while time.monotonic() < until:
            memory.append(resident_mib(process))
            await asyncio.sleep(0.5)
        await asyncio.gather(*tasks)
    # The first quarter still allocates buffers for batches of new sizes.
    steady = memory[len(memory) // 4 :]
    half = len(steady) // 2
    return {
        "clients": clients,
        "seconds": seconds,
        "answers": dict(sorted(statuses.items())),
        "answers_per_second": round(statuses[200] / seconds, 1),
        "wait_ms": {f"p{p}": round(1000 * float(np.percentile(waits, p))) for p in (50, 95, 99)},
        "memory_mib": {
            "start": round(memory[0]),
            "middle": round(max(steady[:half])),
            "end": round(max(steady[half:])),
        },
    }


def main() -> None:
    """Train the model, start the server, run the clients and print the measurements."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clients", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=60)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        model = Path(folder) / "copy"
        train(model)
        command = [sys.executable, "-m", "regard", "serve", str(model), "--port", "0"]
        server = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ})
        assert server.stderr is not None
        address = re.search(r"http://\S+/", server.stderr.readline())
        assert address is not None
        result = asyncio.run(load(address[0], server.pid, options.clients, options.seconds))
        server.send_signal(signal.SIGINT)
        result["stopped"] = server.wait(30)
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
