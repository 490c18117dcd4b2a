"""Metrics as Prometheus reads them, and a record of each request, with and without prometheus_client."""

import json
import logging
import re
import sys
import threading

import pytest
from starlette.testclient import TestClient

from regard.serving import Limits, create_app
from regard.serving.logs import JsonFormatter, RepeatFilter

NEEDED = "prometheus_client is not installed (pip install 'regard[serve]')"


@pytest.fixture
def client(models):
    with TestClient(create_app(models), base_url="http://localhost") as client:
        yield client


def read(client):
    """Values by name and labels."""
    response = client.get("/metrics")
    assert response.status_code == 200
    assert response.headers["content-type"].startswith("text/plain; version=")
    lines = [line for line in response.text.splitlines() if not line.startswith("#")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in lines)}


def test_requests_by_route_and_status(client):
    pytest.importorskip("prometheus_client", reason=NEEDED)
    for _ in range(2):
        assert client.post("/classify", json={"text": "good"}).status_code == 200
    client.post("/classify", json={"text": "x" * 5001})
    client.post("/classify", json={"text": "x"}, headers={"sec-fetch-site": "cross-site"})
    client.post("/translate", json={"text": "der", "model": "de-en", "stream": True})
    for n in range(5):
        client.get(f"/secret-{n}")
    found = read(client)
    assert found['regard_requests_total{route="/classify",status="200"}'] == 2
    assert found['regard_requests_total{route="/classify",status="413"}'] == 1
    assert found['regard_requests_total{route="/classify",status="403"}'] == 1
    assert found['regard_requests_total{route="/translate",status="200"}'] == 1
    assert found['regard_requests_total{route="none",status="404"}'] == 5
    assert not any("secret" in name for name in found)
    assert found['regard_request_seconds_count{route="/classify"}'] == 4
    assert found['regard_request_seconds_bucket{le="+Inf",route="/classify"}'] == 4
    assert found['regard_request_seconds_sum{route="/classify"}'] > 0
    assert found['regard_model_info{kind="feedforward",model="mood",task="classification"}'] == 1
    assert found['regard_model_parameters{model="mood"}'] > 100
    assert found["regard_queue_length"] == 0
    assert found["regard_queue_limit"] == 100


def test_what_is_rejected_and_cancelled(models):
    pytest.importorskip("prometheus_client", reason=NEEDED)
    app = create_app(models, limits=Limits(timeout=0.001, max_queue=1))
    with TestClient(app, base_url="http://localhost") as client:
        begun, released = threading.Event(), threading.Event()

        def held(items):
            begun.set()
            assert released.wait(30)
            return items

        app.state.queue.put("held", held, 0)
        assert begun.wait(30)
        assert (
            client.post("/classify", json={"text": "good"}).status_code == 503
        )  # the time is over
        app.state.queue.put("waits", held, 0)
        assert client.post("/classify", json={"text": "good"}).status_code == 429
        found = read(client)
        released.set()
    assert found['regard_rejected_total{status="503"}'] == 1
    assert found['regard_rejected_total{status="429"}'] == 1
    assert found['regard_rejected_total{status="408"}'] == 0
    assert found["regard_cancelled_total"] == 1
    assert found["regard_queue_length"] == 1


def test_two_servers_count_apart(models, client):
    pytest.importorskip("prometheus_client", reason=NEEDED)
    client.get("/health")
    with TestClient(create_app(models), base_url="http://localhost") as other:
        assert 'regard_requests_total{route="/health",status="200"}' not in read(other)
    assert read(client)['regard_requests_total{route="/health",status="200"}'] == 1


def test_without_the_package_everything_else_works(models, monkeypatch):
    monkeypatch.setitem(sys.modules, "prometheus_client", None)
    with TestClient(create_app(models), base_url="http://localhost") as client:
        assert client.get("/health").status_code == 200
        missing = client.get("/metrics")
        assert missing.status_code == 404
        assert "pip install 'regard[serve]'" in missing.json()["error"]


def test_a_request_as_a_record(client, caplog):
    with caplog.at_level(logging.INFO, logger="regard.serving"):
        client.post("/classify?secret=1", json={"text": "my secret"})
        for _ in range(3):
            client.get("/secret")
    limit = RepeatFilter()
    records = [r for r in caplog.records if r.name == "regard.serving.metrics" and limit.filter(r)]
    assert [record.getMessage() for record in records] == ["/classify 200", "none 404"]
    lines = [JsonFormatter().format(record) for record in records]
    assert not re.search("secret", "".join(lines))
    found = json.loads(lines[0])
    assert {name: found[name] for name in ("route", "status", "method", "level")} == {
        "route": "/classify",
        "status": 200,
        "method": "POST",
        "level": "info",
    }
    assert found["seconds"] > 0
    assert found["client"] == "testclient"
