"""`regard serve --workers 2`: one queue, shared weights, deaths that nobody sees, and nothing left behind."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from regard.api import Translator
from regard.serving import ModelRegistry

TEXT = "der mann sieht die katze ."


class Served:
    """A server with two workers, and the lines of its log."""

    def __init__(self, folders, temporary):
        command = [sys.executable, "-m", "regard", "serve", *map(str, folders), "--port", "0"]
        options = ["--workers", "2", "--log-format", "json", "--timeout", "60"]
        self.process = subprocess.Popen(
            [*command, *options],
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "TMPDIR": str(temporary), "OMP_NUM_THREADS": "2"},
        )
        self.lines = []
        self.reader = threading.Thread(target=self._read)
        self.reader.start()
        self.client = httpx.Client(base_url=self.line("address")["address"], timeout=60)

    def _read(self):
        assert self.process.stderr is not None
        for line in self.process.stderr:
            # A line that is no record is told by whatever waits for one.
            self.lines.append(json.loads(line) if line.startswith("{") else {"plain": line})

    def line(self, field, value=None):
        """The first record with a field, as soon as it is written."""
        while True:
            for line in self.lines:
                if field in line and value in (None, line[field]):
                    return line
            assert self.process.poll() is None, self.lines
            time.sleep(0.02)

    def metrics(self):
        text = self.client.get("/metrics").text
        lines = [line for line in text.splitlines() if not line.startswith("#")]
        return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}

    def end(self):
        self.client.close()
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        self.reader.join()
        assert self.process.stderr is not None
        self.process.stderr.close()


def children(process):
    tasks = Path(f"/proc/{process}/task").iterdir()  # each thread has its own
    return sorted(int(n) for task in tasks for n in (task / "children").read_text().split())


def mapped_weights(process):
    """Sizes in kB of the mappings of weights, by kind of page, summed."""
    found: dict[str, int] = {}
    blocks = re.split(r"\n(?=[0-9a-f]+-[0-9a-f]+ )", Path(f"/proc/{process}/smaps").read_text())
    for block in blocks:
        if "/memfd:de-en/model.safetensors" in block:
            for name, size in re.findall(r"^(\w+): +(\d+) kB$", block, re.M):
                found[name] = found.get(name, 0) + int(size)
    return found


def alive(process):
    try:
        return Path(f"/proc/{process}/stat").read_text().rsplit(") ", 1)[1][0] != "Z"
    except FileNotFoundError:
        return False


@pytest.fixture
def served(folders, tmp_path):
    server = Served([folders[0], folders[2]], tmp_path)
    yield server
    server.end()


@pytest.mark.dependency
@pytest.mark.slow
def test_two_workers(folders, served, tmp_path):
    translator = ModelRegistry.of(folders[:1]).models["de-en"]
    assert isinstance(translator, Translator)
    client, workers = served.client, children(served.process.pid)
    assert client.get("/health").json()["workers"] == len(workers) == 2
    assert list(tmp_path.iterdir()) == []  # what they loaded from

    # Together they have as many threads as the server was given: more would wait for each other, and spin.
    for worker in workers:
        assert b"OMP_NUM_THREADS=1" in Path(f"/proc/{worker}/environ").read_bytes().split(b"\0")

    # Each maps all of the weights, and none has a page of its own.
    for worker in workers:
        pages = mapped_weights(worker)
        assert pages["Rss"] * 1024 >= (folders[0] / "model.safetensors").stat().st_size
        assert pages["Private_Clean"] + pages["Private_Dirty"] == 0
        assert 2 * pages["Pss"] == pages["Rss"]

    # Answers, drafts, errors and pages are those of one process.
    translated = client.post("/translate", json={"text": TEXT, "model": "de-en"}).json()
    assert translated["answer"]["text"] == translator.translate(TEXT)[0].text
    question = {"text": TEXT, "model": "de-en", "stream": True}
    events = client.post("/translate", json=question).text.strip().split("\n\n")
    assert events[0].startswith("event: draft\n")
    assert json.loads(events[-1].removeprefix("event: answer\ndata: ")) == translated
    refused = client.post("/translate", json={"text": TEXT, "model": "de-en", "hide": [99]})
    assert (refused.status_code, "word 99 of a text of" in refused.text) == (422, True)
    assert "<html" in client.get("/view", params={"text": "good", "model": "mood"}).text

    # Both are answering when one of them dies: its request is answered by the other.
    for worker in workers:
        os.kill(worker, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as threads:
        answers = [
            threads.submit(
                client.post, "/translate", json={"text": TEXT, "model": "de-en", "beam": beam}
            )
            for beam in (1, 2)
        ]
        while sum(v for k, v in served.metrics().items() if "worker_batches_total" in k) < 6:
            time.sleep(0.02)
        os.kill(workers[0], signal.SIGKILL)
        os.kill(workers[1], signal.SIGCONT)
        assert [each.result().status_code for each in answers] == [200, 200]
    death = served.line("status", -9)
    assert "ended (signal 9); it is started again" in death["message"]
    while client.get("/health").json()["workers"] < 2:
        time.sleep(0.05)

    # One process counts for both; the log says which of them answered.
    found = served.metrics()
    assert found['regard_requests_total{route="/translate",status="200"}'] == 4
    assert found['regard_requests_total{route="/translate",status="422"}'] == 1
    restarts = {n: found[f'regard_worker_restarts_total{{worker="{n}"}}'] for n in (1, 2)}
    assert restarts == {n: float(n == death["worker"]) for n in (1, 2)}
    assert found['regard_worker_memory_bytes{kind="resident",worker="1"}'] > 2**20
    answered = [line for line in served.lines if "route" in line and line["status"] == 200]
    assert {line["worker"] for line in answered if line["route"] == "/translate"} <= {1, 2}
    assert not any("worker" in line for line in answered if line["route"] == "/health")

    assert [line for line in served.lines if "plain" in line] == []

    # SIGTERM leaves nothing.
    last = children(served.process.pid)
    served.process.send_signal(signal.SIGTERM)
    assert served.process.wait(60) == -signal.SIGTERM
    assert not any(map(alive, {*workers, *last}))
    assert list(tmp_path.iterdir()) == []
