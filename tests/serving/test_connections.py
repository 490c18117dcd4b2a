"""Connections over real sockets: clients that send in part, never read, come in crowds, hang up."""

import json
import socket
import threading
import time

import httpx
import pytest

from regard.cancel import check_cancelled
from regard.serving import Limits, handlers, server

HEAD = b"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
HALF_HEAD = HEAD[:-9]
HALF_BODY = HEAD + b"Content-Length: 100\r\n\r\n{"
PATIENCE = 30  # seconds until a test fails that waits for something


class Running:
    """A server in a thread."""

    server: server._Server

    def __init__(self, folders, monkeypatch, limits, **options):
        ready = threading.Event()

        class Recorded(server._Server):
            def __init__(inner, *args):
                super().__init__(*args)
                self.server = inner

        def work():
            server.serve(
                folders, port=0, limits=Limits(**limits), ready=self._ready(ready), **options
            )

        monkeypatch.setattr(server, "_Server", Recorded)
        self.thread = threading.Thread(target=work, daemon=True)
        self.thread.start()
        assert ready.wait(PATIENCE)
        self.sockets = []

    def _ready(self, event):
        def ready(address):
            self.address = address
            self.port = int(address.rsplit(":", 1)[1].strip("/"))
            event.set()

        return ready

    @property
    def connections(self):
        return self.server._connections.open

    def connect(self, *sent, receive_buffer=None):
        client = socket.socket()
        self.sockets.append(client)
        if receive_buffer:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        client.settimeout(PATIENCE)
        client.connect(("127.0.0.1", self.port))
        for part in sent:
            client.sendall(part)
        return client

    def health(self):
        return httpx.get(f"{self.address}health", timeout=PATIENCE)

    def classify(self, **options):
        return httpx.post(
            f"{self.address}classify", json={"text": "good"}, timeout=PATIENCE, **options
        )

    def stop(self):
        self.server.should_exit = True
        self.thread.join(PATIENCE)
        for client in self.sockets:
            client.close()
        assert not self.thread.is_alive()


@pytest.fixture
def start(folders, monkeypatch):
    started = []

    def start(limits=None, **options):
        started.append(Running(folders[2:3], monkeypatch, limits or {}, **options))
        return started[-1]

    yield start
    for each in started:
        each.stop()


def answer_of(client):
    """Status, headers and JSON of the answer after which the server closes the connection."""
    content = b""
    try:
        while part := client.recv(65536):
            content += part
    except ConnectionResetError:  # it has closed before it has read all
        pass
    if not content:
        return None, {}, None
    head, body = content.split(b"\r\n\r\n", 1)
    status, *lines = head.decode().split("\r\n")
    headers = dict(line.lower().split(": ", 1) for line in lines)
    return int(status.split()[1]), headers, json.loads(body)


def until(condition):
    deadline = time.monotonic() + PATIENCE
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


class Held:
    """A handler that waits to be released, stepping, so that it can be cancelled."""

    def __init__(self, monkeypatch):
        self.begun, self.released, self.cancelled = (threading.Event() for _ in range(3))
        self.seen = 0
        classify = handlers.classify

        def held(name, model, items):
            self.seen += len(items)
            self.begun.set()
            while not self.released.wait(0.01):
                try:
                    check_cancelled()
                except Exception:
                    self.cancelled.set()
                    raise
            return classify(name, model, items)

        monkeypatch.setattr(handlers, "classify", held)


@pytest.mark.parametrize(
    ("sent", "what"),
    [(HALF_HEAD, "the head of the request"), (HALF_BODY, "the body of the request")],
    ids=["head", "body"],
)
def test_a_request_in_part_is_408(start, sent, what):
    running = start({"read_timeout": 0.3})
    status, headers, content = answer_of(running.connect(sent))
    assert status == 408
    assert content["error"].startswith(f"{what} did not come whole within 0.3 s")
    assert headers["connection"] == "close"
    assert headers["x-content-type-options"] == "nosniff"
    assert answer_of(running.connect()) == (None, {}, None)  # it has asked for nothing
    until(lambda: not running.connections)


def test_what_comes_to_no_request_is_counted(start):
    pytest.importorskip("prometheus_client", reason="pip install 'regard[serve]'")
    running = start({"read_timeout": 0.3})
    assert answer_of(running.connect(HALF_HEAD))[0] == 408
    assert answer_of(running.connect(HALF_BODY))[0] == 408
    assert answer_of(running.connect(b"rubbish\r\n\r\n"))[0] == 400
    found = httpx.get(f"{running.address}metrics", timeout=PATIENCE).text.splitlines()
    assert 'regard_rejected_total{status="408"} 2.0' in found
    assert 'regard_requests_total{route="none",status="400"} 1.0' in found
    assert 'regard_requests_total{route="/classify",status="408"} 1.0' in found


@pytest.mark.parametrize(
    "begun",
    [b"", HALF_BODY, HEAD + b"Transfer-Encoding: chunked\r\n\r\n"],
    ids=["head", "body", "chunks"],
)
def test_dripping_does_not_help(start, begun):
    running = start({"read_timeout": 0.3})
    client = running.connect(begun)
    client.settimeout(0.02)
    deadline, closed = time.monotonic() + PATIENCE, False
    while not closed:
        assert time.monotonic() < deadline
        try:
            client.sendall(b"1\r\nx\r\n" if b"chunked" in begun else b"G")
            closed = not client.recv(4096)
        except TimeoutError:
            pass
        except OSError:
            closed = True
    until(lambda: not running.connections)


def test_a_crowd_takes_the_places_of_those_who_wait(start, capsys):
    running = start({"max_connections": 5})
    crowd = [running.connect(HALF_HEAD) for _ in range(40)]
    assert running.health().status_code == 200
    assert running.classify().status_code == 200
    status, headers, content = answer_of(crowd[0])
    assert (status, headers["retry-after"]) == (503, "1")
    assert content["error"].startswith("5 connections are open already; close some")
    until(lambda: len(running.connections) <= 5)
    assert len(capsys.readouterr().err.splitlines()) <= 1


def test_health_is_answered_when_every_connection_is_in_use(start, monkeypatch):
    held, running = Held(monkeypatch), start({"max_connections": 2})
    body = b'{"text": "good"}'
    request = HEAD + b"Connection: close\r\nContent-Length: %d\r\n\r\n" % len(body) + body
    busy = [running.connect(request) for _ in range(2)]
    assert held.begun.wait(PATIENCE)
    until(lambda: len(running.connections) == 2)
    found = running.health()
    assert found.status_code == 200
    assert found.json()["status"] == "ok"
    refused = running.classify()
    assert refused.status_code == 503
    assert refused.headers["retry-after"] == "1"
    assert "2 connections are open already" in refused.json()["error"]
    held.released.set()
    assert [answer_of(client)[0] for client in busy] == [200, 200]


@pytest.mark.parametrize(
    ("sent", "status", "said"),
    [
        (b"\x16\x03\x01 hello\r\n\r\n", 400, "not a request of HTTP/1.1"),
        (b"GET / HTTP/1.1\r\n\r\n", 400, "Host"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", 400, "Host"),
        (HEAD + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\n", 400, "Content-Length"),
        (HEAD + b"Transfer-Encoding: chunked\r\n\r\nZZ\r\n", 400, "chunk"),
        (HEAD + b"Transfer-Encoding: gzip\r\n\r\n", 501, "send content-length, or chunks"),
        (b"GET / HTTP/1.1\r\nHost: localhost\r\nX: " + b"x" * 200_000, 431, "too long"),
        (b"GET / HTTP/1.0\r\n\r\n", 421, "answers to localhost only"),
    ],
    ids=["tls", "no host", "two hosts", "two lengths", "chunk", "coding", "head", "http 1.0"],
)
def test_what_is_no_request_is_told_so(start, sent, status, said):
    found, _, content = answer_of(start().connect(sent))
    assert found == status
    assert said in content["error"]


def test_bad_requests_leave_few_lines(start, capsys):
    running = start()
    for _ in range(30):
        assert answer_of(running.connect(b"rubbish\r\n\r\n"))[0] == 400
        upgrade = running.connect(
            b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: upgrade, close\r\n"
            b"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n\r\n"
        )
        assert answer_of(upgrade)[0] == 200  # as if it had not asked (RFC 9110, 7.8)
    assert len(capsys.readouterr().err.splitlines()) <= 1


def test_pipelined_requests_are_answered_in_order(start):
    one = b"GET %s HTTP/1.1\r\nHost: localhost\r\n%s\r\n"
    paths = [b"/nothing"] * 20
    client = start().connect(
        b"".join(one % (path, b"") for path in paths)
        + one % (b"/nothing", b"Connection: close\r\n")
    )
    content = b""
    while part := client.recv(65536):
        content += part
    assert content.count(b"HTTP/1.1 404") == 21


def test_a_client_that_hangs_up_is_given_up(start, monkeypatch):
    held, running = Held(monkeypatch), start({"max_batch": 1})
    body = b'{"text": "good"}'
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    clients = [running.connect(request)]
    assert held.begun.wait(PATIENCE)  # before others come, or one of them might run first
    clients += [running.connect(request) for _ in range(2)]
    until(lambda: len(running.server._queue) == 2)
    for client in clients[1:]:
        client.close()
    until(lambda: len(running.server._queue) == 0)  # dropped while they wait
    assert not held.cancelled.is_set()
    clients[0].close()
    assert held.cancelled.wait(PATIENCE)  # stopped at its next step
    held.released.set()
    assert running.classify().status_code == 200
    assert held.seen == 2  # nothing was computed for the others


@pytest.mark.parametrize("trusted", [True, False])
def test_clients_behind_a_proxy(start, monkeypatch, trusted):
    held = Held(monkeypatch)
    running = start({"max_queue": 2, "max_batch": 1}, proxies=["127.0.0.1"] if trusted else [])
    body = b'{"text": "good"}'
    request = HEAD + b"X-Forwarded-For: %s\r\nConnection: close\r\nContent-Length: %d\r\n\r\n"
    first = running.connect(request % (b"192.0.2.1", len(body)) + body)
    assert held.begun.wait(PATIENCE)
    crowd = []
    for n in (1, 2):
        crowd.append(running.connect(request % (b"192.0.2.1", len(body)) + body))
        until(lambda n=n: len(running.server._queue) == n)
    other = running.connect(request % (b"192.0.2.2", len(body)) + body)
    refused = crowd[1] if trusted else other  # without a proxy the header is anybody's claim
    status, _, content = answer_of(refused)
    assert status == 429
    assert ("of this address" in content["error"]) is trusted
    held.released.set()
    assert {answer_of(each)[0] for each in (first, *crowd, other) if each is not refused} == {200}


def test_an_answer_that_nobody_reads_is_given_up(start):
    running = start({"read_timeout": 0.3})
    page = b"GET /assets/serving/page/main.js HTTP/1.1\r\nHost: localhost\r\n\r\n"
    running.connect(page * 2000, receive_buffer=1024)
    until(lambda: running.connections)
    until(lambda: not running.connections)


def test_stopping_waits_for_nobody_who_has_not_asked(start, monkeypatch):
    held, running = Held(monkeypatch), start({"grace": 0.1})
    body = b'{"text": "good"}'
    request = HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body
    clients = [running.connect(sent) for sent in (HALF_HEAD, HALF_BODY, request)]
    assert held.begun.wait(PATIENCE)
    until(lambda: len(running.connections) == 3)
    running.server.should_exit = True
    for client in clients:
        status, headers, content = answer_of(client)
        assert (status, headers["retry-after"]) == (503, "10")
        assert content["error"].startswith("the server is stopping")
    assert held.cancelled.wait(PATIENCE)
