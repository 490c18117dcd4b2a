"""The command: starts, answers, stops gracefully, and says what is wrong with what it is given."""

import json
import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from regard.errors import InputError
from regard.serving import Limits, serve, server


@pytest.mark.dependency
@pytest.mark.slow
def test_the_command_serves_until_it_is_told_to_stop(folders):
    command = [sys.executable, "-m", "regard", "serve", str(folders[2]), "--port", "0"]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ}) as server:
        assert server.stderr is not None
        found_address = re.search(r"http://127\.0\.0\.1:\d+/", server.stderr.readline())
        assert found_address is not None
        address = found_address[0]
        # The socket listens already: a client that comes early waits, and is answered.
        found = httpx.post(f"{address}classify", json={"text": "the film was good"}, timeout=60)
        assert found.json()["label"] == "positive"
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
        assert server.stderr.read() == ""


def test_a_port_that_is_taken(folders):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(InputError, match=rf"127\.0\.0\.1:{port} cannot be bound .*try another"):
            serve(folders[2:3], port=port)


HEAD = b"POST /translate HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
SLOW = """
import time
from regard.cli import main
from regard.decoding.stepper import Stepper

step = Stepper.step
def slow(self, token):
    print("step", flush=True)
    time.sleep(0.1)
    return step(self, token)
Stepper.step = slow
main()
"""


@pytest.mark.dependency
@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "status"),
    [(signal.SIGINT, 0), (signal.SIGTERM, -signal.SIGTERM)],
    ids=["SIGINT", "SIGTERM"],
)
def test_a_signal_ends_it_whatever_the_clients_do(folders, number, status):
    question = json.dumps({"text": "der mann " * 100, "model": "de-en", "stream": True}).encode()
    command = [
        sys.executable,
        "-c",
        SLOW,
        "serve",
        str(folders[0]),
        "--port",
        "0",
        "--grace",
        "0.2",
    ]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stderr is not None
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", running.stderr.readline())
        assert found is not None
        clients = [socket.create_connection(("127.0.0.1", int(found[1]))) for _ in range(3)]
        clients[0].sendall(HEAD[:-5])
        clients[1].sendall(HEAD + b"Content-Length: 100\r\n\r\n{")
        clients[2].sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(question) + question)
        assert running.stdout.readline() == "step\n"  # the third one is being answered
        running.send_signal(number)
        assert running.wait(60) == status
        assert running.stderr.read() == ""
        for client in clients:
            client.close()


def test_proxies_are_addresses(folders):
    with pytest.raises(InputError, match=r"proxy 'nginx' is no address; expected one such as 127"):
        serve(folders[2:3], port=0, proxies=["10.0.0.0/8", "::1", "nginx"])


def test_as_many_connections_as_files(monkeypatch, capsys):
    monkeypatch.setattr(server, "_allow_files", lambda wanted: 256)
    limits, accepted = server._fit_files(Limits(max_connections=512))
    assert limits.max_connections + 3 * accepted + 96 <= 256
    assert limits.max_connections >= 64
    monkeypatch.setattr(server, "_allow_files", lambda wanted: None)  # no bound
    assert server._fit_files(Limits(max_connections=5000))[0].max_connections == 5000
    monkeypatch.setattr(server, "_allow_files", lambda wanted: 100)
    with pytest.raises(InputError, match=r"may open 100 files, too few for a server; .* ulimit -n"):
        server._fit_files(Limits())
