"""The command: starts, answers, stops gracefully, and says what is wrong with what it is given."""

import os
import re
import signal
import socket
import subprocess
import sys

import httpx
import pytest

from regard.errors import InputError
from regard.serving import serve
from regard.serving.middleware import is_loopback


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


def test_whatis_loopback():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.5", "example.org")))
