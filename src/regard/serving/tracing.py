"""Traces of requests by OpenTelemetry: the request, its wait in the queue, the run of the model.

Configured by the usual environment variables alone, and nothing is sent unless one of them asks for it. Spans
hold routes, statuses, models and times; no text of a request, no address, no path that is no route.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Mapping
from importlib import import_module
from typing import Any

from regard.serving.notes import Notes
from regard.version import __version__

__all__ = ["Tracing", "make_tracing"]

_ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
_PROTOCOLS = ("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", "OTEL_EXPORTER_OTLP_PROTOCOL")
_EXPORTERS = "OTEL_TRACES_EXPORTER"
_SERVICE = "regard"  # where OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES name none
_LAST = 0.5  # seconds for the last spans when the server stops

_log = logging.getLogger(__name__)


class Tracing:
    """Writes the spans of requests that have ended.

    Args:
        provider: `TracerProvider` of the OpenTelemetry SDK.
    """

    def __init__(self, provider: Any) -> None:
        self._provider = provider
        self._tracer = provider.get_tracer("regard", __version__)
        # By name, since the rest of the server works without them.
        self._trace: Any = import_module("opentelemetry.trace")
        self._propagate: Any = import_module("opentelemetry.propagate")

    def record(
        self,
        scope: Mapping[str, Any],
        notes: Notes,
        *,
        route: str,
        status: int,
        begin: int,
        end: int,
    ) -> None:
        """Write the spans of one request; the header `traceparent` of its client names their parent.

        Args:
            scope: of ASGI.
            notes: on the request.
            route: of the API; `"none"` for a request that reached none.
            status: of the answer.
            begin: nanoseconds since 1970.
            end: nanoseconds since 1970.
        """
        headers = {k.decode("latin-1"): v.decode("latin-1") for k, v in scope["headers"]}
        method = scope["method"]
        span = self._tracer.start_span(
            f"{method} {route}",
            context=self._propagate.extract(headers),
            kind=self._trace.SpanKind.SERVER,
            start_time=begin,
            attributes={
                "http.request.method": method,
                "http.route": route,
                "http.response.status_code": status,
                "url.scheme": scope.get("scheme", "http"),
            },
        )
        if status >= 500:
            span.set_status(self._trace.StatusCode.ERROR)
        context = self._trace.set_span_in_context(span)
        for since, run in notes.waited:
            self._child("queue", context, since, end if run is None else run.begin, {})
            if run is not None:
                facts = {
                    "regard.model": run.model,
                    "regard.batch": run.batch,
                    "regard.worker": run.worker,
                }
                self._child("model", context, run.begin, run.end, facts)
        span.end(end_time=end)

    def _child(
        self, name: str, context: Any, begin: int, end: int, attributes: Mapping[str, Any]
    ) -> None:
        span = self._tracer.start_span(
            name, context=context, start_time=begin, attributes=attributes
        )
        span.end(end_time=max(begin, end))

    def close(self) -> None:
        """Send what is left, if that can be done at once: a collector that is away does not hold the server."""
        last = threading.Thread(target=self._provider.shutdown, name="regard-traces", daemon=True)
        last.start()
        last.join(_LAST)


def make_tracing(environment: Mapping[str, str] = os.environ) -> Tracing | None:
    """Tracing as the environment asks for it; `None` if it does not, or the extra is not installed.

    Args:
        environment: with `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT` or
            `OTEL_TRACES_EXPORTER`, which turn tracing on, and `OTEL_SDK_DISABLED`, which turns it off. The SDK
            reads all others, from the process: `OTEL_SERVICE_NAME`, `OTEL_RESOURCE_ATTRIBUTES`,
            `OTEL_EXPORTER_OTLP_HEADERS`, `OTEL_TRACES_SAMPLER`, `OTEL_BSP_...`, `OTEL_PROPAGATORS`.
    """
    kind = _requested_exporter(environment)
    if kind is None:
        return None
    try:
        sdk: Any = import_module("opentelemetry.sdk.trace")
        export: Any = import_module("opentelemetry.sdk.trace.export")
        resources: Any = import_module("opentelemetry.sdk.resources")
        exporter = (
            export.ConsoleSpanExporter()
            if kind == "console"
            else import_module(kind).OTLPSpanExporter()
        )
    except ModuleNotFoundError as error:
        if not (error.name or "").startswith("opentelemetry"):
            raise
        _log.warning(
            "traces are asked for, and %s is not installed: pip install 'regard[otel]'; none are sent",
            error.name,
        )
        return None
    resource = resources.Resource({"service.name": _SERVICE, "service.version": __version__})
    named = resources.OTELResourceDetector().detect()
    provider = sdk.TracerProvider(
        resource=resources.Resource.create().merge(resource).merge(named), shutdown_on_exit=False
    )
    provider.add_span_processor(export.BatchSpanProcessor(exporter))
    return Tracing(provider)


def _requested_exporter(environment: Mapping[str, str]) -> str | None:
    """`"console"`, the module of an OTLP exporter, or `None`."""
    if environment.get("OTEL_SDK_DISABLED", "").strip().lower() == "true":
        return None
    wanted = environment.get(_EXPORTERS, "").strip().lower()
    if not wanted:
        wanted = "otlp" if any(environment.get(name) for name in _ENDPOINTS) else "none"
    if wanted == "otlp":
        protocol = next((environment[name] for name in _PROTOCOLS if environment.get(name)), "")
        kind = "grpc" if protocol == "grpc" else "http"
        return f"opentelemetry.exporter.otlp.proto.{kind}.trace_exporter"
    if wanted not in ("none", "console"):
        _log.warning("%s=%s is not known; expected otlp, console or none", _EXPORTERS, wanted)
    return "console" if wanted == "console" else None
