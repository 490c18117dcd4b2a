"""Traces by OpenTelemetry: asked for by the environment alone, received by a collector on loopback."""

import sys
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from starlette.testclient import TestClient

from regard.serving import create_app
from regard.serving.tracing import make_tracing

NEEDED = "OpenTelemetry is not installed (pip install 'regard[otel]')"
TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
PARENT = "00f067aa0ba902b7"


class Collector(HTTPServer):
    """Takes what an OTLP exporter posts."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Receiver)
        self.posts = []
        self.thread = threading.Thread(target=self.serve_forever, args=(0.01,))

    @property
    def address(self):
        return f"http://127.0.0.1:{self.server_port}"

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *error):
        self.shutdown()
        self.thread.join()
        self.server_close()

    def exports(self):
        trace = pytest.importorskip("opentelemetry.proto.collector.trace.v1.trace_service_pb2")
        return [trace.ExportTraceServiceRequest.FromString(body) for _, body in self.posts]

    def spans(self):
        resources = [resource for export in self.exports() for resource in export.resource_spans]
        return [s for each in resources for scope in each.scope_spans for s in scope.spans]


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        assert isinstance(self.server, Collector)
        self.server.posts.append((self.path, body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.end_headers()

    def log_message(self, *args):
        pass


def value(found):
    return getattr(found, found.WhichOneof("value"))


def facts(span):
    return {each.key: value(each.value) for each in span.attributes}


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch):
    for name in ("ENDPOINT", "TRACES_ENDPOINT", "PROTOCOL", "TRACES_PROTOCOL", "COMPRESSION"):
        monkeypatch.delenv(f"OTEL_EXPORTER_OTLP_{name}", raising=False)
    for name in ("OTEL_SDK_DISABLED", "OTEL_TRACES_EXPORTER", "OTEL_SERVICE_NAME"):
        monkeypatch.delenv(name, raising=False)


def test_a_request_its_wait_and_its_run_are_spans(models, monkeypatch):
    pytest.importorskip("opentelemetry.exporter.otlp.proto.http", reason=NEEDED)
    with Collector() as collector:
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.address)
        monkeypatch.setenv("OTEL_SERVICE_NAME", "reviews")
        with TestClient(create_app(models), base_url="http://localhost") as client:
            headers = {"traceparent": f"00-{TRACE}-{PARENT}-01"}
            question = {"text": "my secret was good"}
            assert client.post("/classify", json=question, headers=headers).status_code == 200
            assert client.get("/my-secret-path").status_code == 404
        # The application has sent what it had when it ended.
        assert {path for path, _ in collector.posts} == {"/v1/traces"}
        (named,) = {
            value(each.value)
            for export in collector.exports()
            for resource in export.resource_spans
            for each in resource.resource.attributes
            if each.key == "service.name"
        }
        assert named == "reviews"
        spans = {span.name: span for span in collector.spans()}
        assert not any(b"secret" in body for _, body in collector.posts)
    request, queue, run = (spans[name] for name in ("POST /classify", "queue", "model"))
    assert sorted(spans) == ["GET none", "POST /classify", "model", "queue"]
    assert (request.trace_id.hex(), request.parent_span_id.hex()) == (TRACE, PARENT)
    assert queue.parent_span_id == run.parent_span_id == request.span_id
    assert facts(request)["http.response.status_code"] == 200
    assert facts(request)["http.route"] == "/classify"
    assert facts(run) == {"regard.model": "mood", "regard.batch": 1, "regard.worker": 0}
    times = [request.start_time_unix_nano, queue.start_time_unix_nano, queue.end_time_unix_nano]
    times += [run.start_time_unix_nano, run.end_time_unix_nano, request.end_time_unix_nano]
    assert times == sorted(times)
    assert queue.end_time_unix_nano == run.start_time_unix_nano


ENDPOINT = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


@pytest.mark.parametrize(
    "environment",
    [
        {},
        {"OTEL_SERVICE_NAME": "reviews"},
        {**ENDPOINT, "OTEL_SDK_DISABLED": "true"},
        {**ENDPOINT, "OTEL_TRACES_EXPORTER": "none"},
    ],
    ids=["nothing", "a name alone", "disabled", "no exporter"],
)
def test_nothing_is_sent_unless_it_is_asked_for(environment):
    assert make_tracing(environment) is None


def test_without_the_extra_a_warning_and_no_traces(monkeypatch, caplog):
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    assert make_tracing(ENDPOINT) is None
    assert "pip install 'regard[otel]'" in caplog.text


def test_an_exporter_that_is_not_known_is_named(caplog):
    assert make_tracing({**ENDPOINT, "OTEL_TRACES_EXPORTER": "zipkin"}) is None
    assert "OTEL_TRACES_EXPORTER=zipkin is not known; expected otlp, console or none" in caplog.text
