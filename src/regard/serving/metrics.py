"""Metrics of a server in Prometheus' text format, and a record in the log for each request."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable, Sequence
from importlib import import_module
from typing import Any

from regard.serving import schemas as m
from regard.serving.batch_queue import BatchQueue
from regard.serving.limits import Limits
from regard.serving.middleware import App, Message, Receive, Send

__all__ = ["Metrics", "RequestObserver", "make_metrics"]

_BUCKETS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)  # seconds
_REJECTED = (408, 429, 503)  # for what clients do all together, or do too slowly
_HUNG_UP = 499  # as nginx counts a client that did not wait for its answer

_log = logging.getLogger(__name__)


class Metrics:
    """Counters of one server, in a registry of its own.

    Labels have finitely many values: routes and statuses, never a path, a text or an address.

    Args:
        queue: measured when somebody reads.
        models: facts about each.
        limits: of the queue.

    Raises:
        ModuleNotFoundError: `prometheus_client` is not installed.
    """

    def __init__(self, queue: BatchQueue, models: Sequence[m.ModelInfo], limits: Limits) -> None:
        # By name, since the rest of the server works without it.
        self._client: Any = import_module("prometheus_client")
        self.content_type: str = import_module("prometheus_client.exposition").CONTENT_TYPE_LATEST
        self._registry = self._client.CollectorRegistry()
        own = {"registry": self._registry}
        self._requests = self._client.Counter(
            "regard_requests", "Requests by route and status.", ["route", "status"], **own
        )
        self._seconds = self._client.Histogram(
            "regard_request_seconds",
            "Seconds from a request to the end of its answer.",
            ["route"],
            buckets=_BUCKETS,
            **own,
        )
        self._rejected = self._client.Counter(
            "regard_rejected",
            "Requests that came too slowly (408), or were too many (429, 503).",
            ["status"],
            **own,
        )
        for status in _REJECTED:
            self._rejected.labels(str(status))
        info = self._client.Gauge(
            "regard_model_info",
            "Models that are served; always 1.",
            ["model", "task", "kind"],
            **own,
        )
        parameters = self._client.Gauge(
            "regard_model_parameters", "Learned parameters of a model.", ["model"], **own
        )
        for model in models:
            info.labels(model.name, model.task, model.kind).set(1)
            parameters.labels(model.name).set(model.parameters)
        limit = self._client.Gauge("regard_queue_limit", "Requests that may wait.", **own)
        limit.set(limits.max_queue)
        self._registry.register(_QueueReadings(queue))
        self._client.ProcessCollector(registry=self._registry)

    def count(self, route: str, status: int, seconds: float | None = None) -> None:
        """Count an answered request.

        Args:
            route: of the API; `"none"` for a request that reached none.
            status: of the answer.
            seconds: until its end.
        """
        self._requests.labels(route, str(status)).inc()
        if status in _REJECTED:
            self._rejected.labels(str(status)).inc()
        if seconds is not None:
            self._seconds.labels(route).observe(seconds)

    def text(self) -> bytes:
        """Everything as text for Prometheus."""
        content: bytes = self._client.generate_latest(self._registry)
        return content


class _QueueReadings:
    """What the queue counts itself."""

    def __init__(self, queue: BatchQueue) -> None:
        self._queue = queue
        self._families: Any = import_module("prometheus_client.core")

    def collect(self) -> Iterable[Any]:
        yield self._families.GaugeMetricFamily(
            "regard_queue_length", "Requests that wait.", value=len(self._queue)
        )
        yield self._families.CounterMetricFamily(
            "regard_cancelled",
            "Requests given up before their answer: the client hung up, or the time was over.",
            value=self._queue.cancelled,
        )


def make_metrics(
    queue: BatchQueue, models: Sequence[m.ModelInfo], limits: Limits
) -> Metrics | None:
    """Metrics of a server; `None` if `prometheus_client` is not installed."""
    try:
        return Metrics(queue, models, limits)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        return None


class RequestObserver:
    """ASGI middleware that counts and logs requests, with everything that others answer for the application.

    Args:
        app: the wrapped application.
        routes: the paths that are counted by name.
        metrics: `None` to log only.
    """

    def __init__(self, app: App, *, routes: Iterable[str], metrics: Metrics | None) -> None:
        self.app: App = app
        self.routes: frozenset[str] = frozenset(routes)
        self.metrics: Metrics | None = metrics

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, status, complete = time.monotonic(), _HUNG_UP, False

        async def observed(message: Message) -> None:
            nonlocal status, complete
            if message["type"] == "http.response.start":
                status = message["status"]
            elif not message.get("more_body", False):
                complete = True
            await send(message)

        try:
            await self.app(scope, receive, observed)
        except Exception:  # the framework answers it outside
            status, complete = 500, True
            raise
        finally:
            self._note(scope, status if complete else _HUNG_UP, time.monotonic() - begin)

    def _note(self, scope: Message, status: int, seconds: float) -> None:
        route = scope["path"] if scope["path"] in self.routes else "none"
        if self.metrics is not None:
            self.metrics.count(route, status, seconds)
        fields = {"route": route, "status": status, "seconds": round(seconds, 4)}
        fields |= {"method": scope["method"], "client": (scope.get("client") or ("",))[0]}
        # Answers are as many as the models can give; what is refused is one record a minute of each kind.
        kind = None if status < 400 else (route, status)
        _log.info("%s %d", route, status, extra={"fields": fields, "kind": kind})
