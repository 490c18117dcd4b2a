"""A server on loopback that speaks the Hub's protocol as `huggingface_hub` uses it.

It holds models in memory. Hashes are real: small files have Git's, large ones (LFS) their SHA-256.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

TOKEN = "hf_of_the_tests"
LARGE = (".safetensors", ".png")


class Hub(BaseHTTPRequestHandler):
    """One request: `server.models` holds the files of each model by name, `server.requested` the paths."""

    server: HubServer
    protocol_version = "HTTP/1.1"

    def do_HEAD(self) -> None:
        self._get(body=False)

    def do_GET(self) -> None:
        self._get(body=True)

    def _get(self, *, body: bool) -> None:
        path = self.path.partition("?")[0]
        self.server.requested.append(path)
        parts = path.strip("/").split("/")
        if parts[:2] == ["api", "whoami-v2"]:
            self._json({"type": "user", "name": "me", "orgs": []})
            return
        is_api = parts[:2] == ["api", "models"]
        name = "/".join(parts[2:4] if is_api else parts[:2])
        rest = parts[4:] if is_api else parts[2:]
        files = self.server.models.get(name)
        if files is None:
            self._json({}, status=404, error="RepoNotFound")
        elif is_api and rest[:1] in ([], ["revision"]):
            if rest and rest[1] not in self.server.revisions:
                self._json({}, status=404, error="RevisionNotFound")
                return
            siblings = [{"rfilename": file} for file in files]
            self._json(
                {"id": name, "sha": self.server.commit, "siblings": siblings, "private": False}
            )
        elif is_api and rest[0] == "tree":
            self._json([_entry(file, content) for file, content in files.items()])
        elif not is_api and rest[0] == "resolve":
            self._file(files, "/".join(rest[2:]), body=body)
        else:
            self._json({}, status=404)

    def _file(self, files: Mapping[str, bytes], name: str, *, body: bool) -> None:
        if name not in files:
            self._json({}, status=404, error="EntryNotFound")
            return
        content = files[name]
        self.send_response(200)
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Length", str(len(content)))
        self.send_header("ETag", f'"{_etag(name, content)}"')
        self.send_header("X-Repo-Commit", self.server.commit)
        self.end_headers()
        if body:
            damaged = content[:-1] + bytes([content[-1] ^ 1])
            self.wfile.write(damaged if name in self.server.damaged else content)

    def do_POST(self) -> None:
        path = self.path.partition("?")[0]
        self.server.requested.append(path)
        content = self._read()
        if path == "/api/validate-yaml":
            self._json({"errors": [], "warnings": []})
        elif path.endswith("/info/lfs/verify"):
            self._json({})
        elif self.headers.get("Authorization") != f"Bearer {TOKEN}":
            self._json({"error": "Invalid credentials"}, status=401)
        elif path == "/api/repos/create":
            self._create(json.loads(content))
        elif "/preupload/" in path:
            files = json.loads(content)["files"]
            modes = [
                {
                    "path": file["path"],
                    "uploadMode": "lfs" if file["path"].endswith(LARGE) else "regular",
                    "shouldIgnore": False,
                }
                for file in files
            ]
            self._json({"files": modes})
        elif path.endswith("/info/lfs/objects/batch"):
            self._json({"transfer": "basic", "objects": [*map(self._action, _objects(content))]})
        elif "/commit/" in path:
            self._commit(path.strip("/").split("/"), content)
        else:
            self._json({}, status=404)

    def _create(self, wanted: Mapping[str, Any]) -> None:
        name = f"{wanted.get('organization') or 'me'}/{wanted['name']}"
        address = f"{self.server.address}/{name}"
        if name.startswith("others/"):
            self._json({"error": "You don't have the rights"}, status=403)
        elif name in self.server.models:
            self._json({"url": address, "error": "You already created this repo"}, status=409)
        else:
            self.server.models[name] = {}
            self.server.private[name] = (
                wanted.get("private") is True or wanted.get("visibility") == "private"
            )
            self._json({"url": address})

    def _action(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        if wanted["oid"] in self.server.objects:
            return dict(wanted)
        upload = {"href": f"{self.server.address}/objects/{wanted['oid']}"}
        verify = {"href": f"{self.server.address}/info/lfs/verify"}
        return {**wanted, "actions": {"upload": upload, "verify": verify}}

    def do_PUT(self) -> None:
        self.server.requested.append(self.path)
        content = self._read()
        assert hashlib.sha256(content).hexdigest() == self.path.rpartition("/")[2]
        self.server.objects[self.path.rpartition("/")[2]] = content
        self._json({})

    def _commit(self, parts: list[str], content: bytes) -> None:
        name = "/".join(parts[2:4])
        files = self.server.models[name]
        for line in content.splitlines():
            entry = json.loads(line)
            value = entry["value"]
            if entry["key"] == "file":
                files[value["path"]] = base64.b64decode(value["content"])
            elif entry["key"] == "lfsFile":
                files[value["path"]] = self.server.objects[value["oid"]]
            elif entry["key"] == "deletedFile":
                del files[value["path"]]
        everything = json.dumps({n: hashlib.sha1(c).hexdigest() for n, c in files.items()})
        self.server.commit = hashlib.sha1(everything.encode()).hexdigest()
        self.server.revisions.add(self.server.commit)
        address = f"{self.server.address}/{name}/commit/{self.server.commit}"
        self._json({"success": True, "commitOid": self.server.commit, "commitUrl": address})

    def _read(self) -> bytes:
        if self.headers.get("Transfer-Encoding", "").lower() != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length", 0)))
        content = b""
        while size := int(self.rfile.readline(), 16):
            content += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return content

    def _json(self, content: object, *, status: int = 200, error: str = "") -> None:
        encoded = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(encoded)))
        if error:
            self.send_header("X-Error-Code", error)
        self.send_header("X-Repo-Commit", self.server.commit)
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(encoded)

    def log_message(self, *args: object) -> None:
        """Nothing is written."""


class HubServer(ThreadingHTTPServer):
    """The Hub.

    Attributes:
        models: files by name, of each model.
        damaged: names of files that do not arrive as they are.
    """

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Hub)
        self.models: dict[str, dict[str, bytes]] = {}
        self.private: dict[str, bool] = {}
        self.objects: dict[str, bytes] = {}
        self.requested: list[str] = []
        self.damaged: set[str] = set()
        self.commit = "a" * 40
        self.revisions = {"main", "v1", self.commit}
        self.address = f"http://127.0.0.1:{self.server_port}"

    def add(self, name: str, folder: Path) -> None:
        """Hold a model of the files of a folder."""
        files = [path for path in sorted(folder.iterdir()) if path.is_file()]
        self.models[name] = {path.name: path.read_bytes() for path in files}

    def environment(
        self, home: Path, *, offline: bool = False, token: str = TOKEN
    ) -> dict[str, str]:
        """Variables with which `huggingface_hub` asks this server, and keeps its files in a folder."""
        return {
            **os.environ,
            "HF_ENDPOINT": self.address,
            "HF_HOME": str(home),
            "HF_HUB_OFFLINE": "1" if offline else "0",
            "HF_TOKEN": token,
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_XET": "1",
            "NO_PROXY": "127.0.0.1",
        }


@contextmanager
def running() -> Iterator[HubServer]:
    """Context in which a Hub without models answers."""
    with HubServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def _objects(content: bytes) -> list[dict[str, Any]]:
    return [{"oid": each["oid"], "size": each["size"]} for each in json.loads(content)["objects"]]


def _etag(name: str, content: bytes) -> str:
    if name.endswith(LARGE):
        return hashlib.sha256(content).hexdigest()
    return hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()


def _entry(name: str, content: bytes) -> dict[str, Any]:
    entry = {"type": "file", "path": name, "size": len(content), "oid": _etag(name, content)[:40]}
    if name.endswith(LARGE):
        entry["lfs"] = {"oid": _etag(name, content), "size": len(content), "pointerSize": 130}
    return entry
