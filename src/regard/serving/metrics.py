"""Metrics of a server in Prometheus' text format, and a record in the log for each request."""

from __future__ import annotations

import logging
import time
from collections.abc import Iterable
from importlib import import_module
from typing import Any

from regard.serving.batch_queue import BatchQueue
from regard.serving.limits import Limits
from regard.serving.middleware import App, Message, Receive, Send
from regard.serving.notes import notes_of
from regard.serving.pool import WorkerPool
from regard.serving.registry import ModelRegistry
from regard.serving.tracing import Tracing

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
        models: that answer; so are the workers.
        limits: of the queue.

    Raises:
        ModuleNotFoundError: `prometheus_client` is not installed.
    """

    def __init__(
        self, queue: BatchQueue, models: ModelRegistry | WorkerPool, limits: Limits
    ) -> None:
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
        for model in models.infos:
            info.labels(model.name, model.task, model.kind).set(1)
            parameters.labels(model.name).set(model.parameters)
        limit = self._client.Gauge("regard_queue_limit", "Requests that may wait.", **own)
        limit.set(limits.max_queue)
        self._registry.register(_QueueReadings(queue))
        self._registry.register(_WorkerReadings(models))
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


class _WorkerReadings:
    """State of the workers. The server itself counts what clients see of all of them."""

    def __init__(self, models: ModelRegistry | WorkerPool) -> None:
        self._models = models
        self._families: Any = import_module("prometheus_client.core")

    def collect(self) -> Iterable[Any]:
        yield self._families.GaugeMetricFamily(
            "regard_workers",
            "Processes that answer at the same time, now.",
            value=self._models.workers,
        )
        if not isinstance(self._models, WorkerPool):
            return
        counters = (
            ("regard_worker_restarts", "Starts after a death.", self._models.restarts),
            ("regard_worker_batches", "Batches given to a worker.", self._models.batches),
        )
        for name, text, counts in counters:
            family = self._families.CounterMetricFamily(name, text, labels=["worker"])
            for number, count in counts.items():
                family.add_metric([str(number)], count)
            yield family
        memory = self._families.GaugeMetricFamily(
            "regard_worker_memory_bytes",
            "Memory of a worker: resident, and private, which no other process shares.",
            labels=["worker", "kind"],
        )
        for worker in self._models.living:
            for kind, size in worker.memory().items():
                memory.add_metric([str(worker.number), kind], size)
        yield memory


def make_metrics(
    queue: BatchQueue, models: ModelRegistry | WorkerPool, limits: Limits
) -> Metrics | None:
    """Metrics of a server; `None` if `prometheus_client` is not installed."""
    try:
        return Metrics(queue, models, limits)
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "prometheus_client":
            raise
        return None


class RequestObserver:
    """ASGI middleware that counts, logs and traces requests, also those that others answer for the application.

    Args:
        app: the wrapped application.
        routes: the paths that are counted by name.
        metrics: `None` to count nothing.
        tracing: `None` to trace nothing.
    """

    def __init__(
        self,
        app: App,
        *,
        routes: Iterable[str],
        metrics: Metrics | None,
        tracing: Tracing | None = None,
    ) -> None:
        self.app: App = app
        self.routes: frozenset[str] = frozenset(routes)
        self.metrics: Metrics | None = metrics
        self.tracing: Tracing | None = tracing

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Pass a request on and note how it ended."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        begin, clock, status, complete = time.time_ns(), time.monotonic(), _HUNG_UP, False

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
            seconds = time.monotonic() - clock
            self._note(scope, status if complete else _HUNG_UP, begin, seconds)

    def _note(self, scope: Message, status: int, begin: int, seconds: float) -> None:
        route = scope["path"] if scope["path"] in self.routes else "none"
        notes = notes_of(scope)
        if self.metrics is not None:
            self.metrics.count(route, status, seconds)
        if self.tracing is not None:
            end = begin + int(1e9 * seconds)
            self.tracing.record(scope, notes, route=route, status=status, begin=begin, end=end)
        fields = {"route": route, "status": status, "seconds": round(seconds, 4)}
        fields |= {"method": scope["method"], "client": (scope.get("client") or ("",))[0]}
        if notes.worker:
            fields["worker"] = notes.worker
        # Answers are as many as the models can give; what is refused is one record a minute of each kind.
        kind = None if status < 400 else (route, status)
        _log.info("%s %d", route, status, extra={"fields": fields, "kind": kind})
