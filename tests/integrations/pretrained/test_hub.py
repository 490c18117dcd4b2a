"""Models of the Hub, by `huggingface_hub` itself, against a server of this test that speaks its protocol."""

from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from regard.errors import InputError
from regard.integrations.pretrained.hub import local_folder

COMMIT = "a" * 40
PROGRAM = """
import sys, warnings
warnings.simplefilter("ignore")
import regard
from regard.errors import RegardError
try:
    print(regard.load(sys.argv[1]).look("The bank").title)
except RegardError as error:
    print(type(error).__name__, error)
"""


class Hub(BaseHTTPRequestHandler):
    """The three questions that a download asks: what a revision is, what it holds, and the files."""

    folder: Path
    requested: list[str]

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.requested.append(path)
        files = {file.name: file for file in self.folder.iterdir()}
        known = [f"/api/models/me/tiny/revision/{name}" for name in ("main", "v1", COMMIT)]
        if path in known:
            siblings = [{"rfilename": name} for name in files]
            self._send(json.dumps({"id": "me/tiny", "sha": COMMIT, "siblings": siblings}).encode())
        elif path.startswith("/api/models/me/tiny/tree/"):
            listed = [
                {"type": "file", "path": n, "size": f.stat().st_size, "oid": _hash(f)}
                for n, f in files.items()
            ]
            self._send(json.dumps(listed).encode())
        elif path.startswith(f"/me/tiny/resolve/{COMMIT}/") and path.rpartition("/")[2] in files:
            file = files[path.rpartition("/")[2]]
            self._send(file.read_bytes() if body else b"", file)
        elif path.startswith("/api/models/me/tiny/revision/"):
            self._send(b"{}", status=404, error="RevisionNotFound")
        else:
            self._send(b"{}", status=404, error="RepoNotFound")

    def _send(
        self, content: bytes, file: Path | None = None, *, status: int = 200, error: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "application/json" if file is None else "text/plain")
        length = len(content) if file is None else file.stat().st_size
        self.send_header("Content-Length", str(length))
        if file is not None:
            self.send_header("ETag", f'"{_hash(file)}"')
        if error:
            self.send_header("X-Error-Code", error)
        self.send_header("X-Repo-Commit", COMMIT)
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        """Nothing is written."""


def _hash(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()[:40]


@pytest.fixture
def hub(pretrained: Callable[[str], Path]) -> Iterator[ThreadingHTTPServer]:
    handler = type("TinyHub", (Hub,), {"folder": pretrained("bert"), "requested": []})
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_a_model_is_fetched_once_and_read_from_the_cache(
    hub: ThreadingHTTPServer, tmp_path: Path
) -> None:
    requested = hub.RequestHandlerClass.requested  # type: ignore[attr-defined]

    def run(name: str, *, offline: bool = False) -> str:
        environment = {
            **os.environ,
            "HF_ENDPOINT": f"http://127.0.0.1:{hub.server_port}",
            "HF_HOME": str(tmp_path / "home"),
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }
        found = subprocess.run(
            [sys.executable, "-c", PROGRAM, name],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stderr
        return found.stdout.strip()

    assert "not in the cache" in run("hf:me/tiny@v1", offline=True)
    assert not requested
    assert run("hf:me/tiny@v1") == "The bank"
    assert any(path.endswith("model.safetensors") for path in requested)
    requested.clear()
    assert run("hf:me/tiny@v1", offline=True) == "The bank"
    assert not requested
    assert run("hf:me/tiny@v1") == "The bank"
    assert not any(path.endswith("model.safetensors") for path in requested)
    assert "no revision 'v2'" in run("hf:me/tiny@v2")
    assert "no such model" in run("hf:me/other")


@pytest.mark.parametrize("name", ["hf:", "hf:a/b/c", "hf:a b", "hf:a/b@"])
def test_names(name: str) -> None:
    with pytest.raises(InputError, match="expected hf:OWNER/NAME"):
        local_folder(name)
