"""The server: bind, serve, stop gracefully."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
import signal
import socket
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from os import PathLike
from typing import Any

import uvicorn

from regard.choices import Precision
from regard.errors import InputError
from regard.serving.app import create_app
from regard.serving.batch_queue import BatchQueue
from regard.serving.connections import Connection, Connections
from regard.serving.limits import Limits
from regard.serving.logs import LogFormat, log_to_stderr
from regard.serving.origin import is_loopback
from regard.serving.pool import WorkerPool
from regard.serving.registry import ModelRegistry

__all__ = ["serve"]

_BACKLOG = 512  # connections that the kernel may hold ready
_ACCEPTED = 128  # connections that asyncio accepts at once
_ROUNDS = 3  # of connections accepted and not yet looked at, or closed and not yet gone
_OTHER_FILES = (
    96  # that are open beside the connections, with those on which only /health is answered
)
_KEEP_ALIVE = 30  # seconds between two requests: a client that comes back just when it ends meets a closed door

_log = logging.getLogger(__name__)


def serve(
    folders: Sequence[str | PathLike[str]],
    *,
    host: str = "127.0.0.1",
    port: int = 8000,
    limits: Limits | None = None,
    workers: int = 1,
    proxies: Sequence[str] = (),
    log_format: LogFormat = "text",
    precision: Precision = "float32",
    ready: Callable[[str], None] = lambda address: None,
) -> None:
    """Serve model folders until SIGINT or SIGTERM; what is being answered then has `limits.grace` to end.

    Args:
        folders: as `regard train` wrote them; read once, now.
        host: an address of this machine; anything but loopback can be reached from elsewhere.
        port: 0 takes a free one.
        limits: of text, queue, batch, connections and time, of all workers together.
        workers: processes that run the models; 1 runs them in this process, more in processes of their own,
            which share the memory of the weights and are started again when they die.
        proxies: addresses, or networks, of reverse proxies whose `X-Forwarded-For` names the client.
        log_format: of the lines on standard error: `"text"` or `"json"`.
        precision: of the matrix products with which the models answer.
        ready: called with the address of the page once connections are accepted.

    Raises:
        InputError: the port cannot be bound; a proxy that is no address; too few files may be open; no worker.
    """
    if workers < 1:
        raise InputError(
            f"workers={workers}: expected at least 1, the processes that run the models"
        )
    _check_proxies(proxies)
    limits = limits or Limits()
    with (
        _ended_by_sigterm(),
        log_to_stderr(log_format),
        _models(folders, workers, limits, log_format, precision) as models,
        _bind(host, port) as bound,
    ):
        limits, accepted = _fit_files(limits)
        app = create_app(models, limits=limits, loopback=is_loopback(host))
        metrics = app.state.metrics
        count = partial(metrics.count, "none") if metrics else _ignore
        connections = Connections(limits, count)
        protocol: Any = partial(Connection, table=connections)  # uvicorn calls it like a class
        config = uvicorn.Config(
            app,
            http=protocol,
            ws="none",
            lifespan="on",
            log_config=None,
            access_log=False,  # texts belong to whoever typed them
            server_header=False,
            proxy_headers=bool(proxies),
            forwarded_allow_ips=list(proxies),
            backlog=accepted,
            timeout_keep_alive=_KEEP_ALIVE,
            h11_max_incomplete_event_size=limits.body,  # /view takes a whole text in its address
            timeout_graceful_shutdown=math.ceil(limits.grace) + 2,
        )
        name = f"[{host}]" if ":" in host else host
        address = f"http://{name}:{bound.getsockname()[1]}/"
        server = _Server(config, connections, app.state.queue, lambda: ready(address))
        with suppress(KeyboardInterrupt):  # uvicorn raises it again after stopping
            server.run(sockets=[bound])


@contextmanager
def _models(
    folders: Sequence[str | PathLike[str]],
    workers: int,
    limits: Limits,
    log_format: LogFormat,
    precision: Precision,
) -> Iterator[ModelRegistry | WorkerPool]:
    """Context with the models of a server, loaded."""
    if workers == 1:
        yield ModelRegistry.of(folders, precision=precision)
        return
    with WorkerPool(
        folders, workers, patience=limits.timeout, log_format=log_format, precision=precision
    ) as pool:
        yield pool


@contextmanager
def _ended_by_sigterm() -> Iterator[None]:
    """Context that SIGTERM ends as an exception does, so that nothing is left; then it ends the process.

    uvicorn has a handler of its own while it serves, and raises the signal again afterwards.
    """
    if threading.current_thread() is not threading.main_thread():  # no place for handlers
        yield
        return
    came: list[int] = []

    def end(number: int, frame: object) -> None:
        if not came:  # else it is ending already
            came.append(number)
            raise SystemExit(128 + number)

    before = signal.signal(signal.SIGTERM, end)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
        if came:
            signal.raise_signal(signal.SIGTERM)


def _ignore(status: int) -> None:
    """Count nothing."""


class _Server(uvicorn.Server):
    """uvicorn's server, with deadlines for connections and for the end."""

    def __init__(
        self,
        config: uvicorn.Config,
        connections: Connections,
        queue: BatchQueue,
        ready: Callable[[], None],
    ) -> None:
        super().__init__(config)
        self._connections = connections
        self._queue = queue
        self._ready = ready

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Accept connections, then say so; signals are heeded by now."""
        await super().startup(sockets=sockets)
        for bound in sockets or ():
            bound.listen(_BACKLOG)
        self._watch = asyncio.create_task(self._connections.watch())
        self._ready()

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take no more requests, and give up after the time of grace what is not answered by then."""
        self._watch.cancel()
        self._queue.refuse()
        loop = asyncio.get_running_loop()
        given_up = loop.call_later(self._connections.limits.grace, self._queue.abandon_all)
        try:
            await super().shutdown(sockets=sockets)
        finally:
            given_up.cancel()


def _bind(host: str, port: int) -> socket.socket:
    """A listening socket, so that early clients wait for the server."""
    try:
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        return socket.create_server((host, port), family=family, backlog=_BACKLOG)
    except (OSError, OverflowError) as error:
        raise InputError(
            f"{host}:{port} cannot be bound ({error}); try another --port, 0 takes a free one"
        ) from None


def _check_proxies(proxies: Sequence[str]) -> None:
    for proxy in proxies:
        try:
            ipaddress.ip_network(proxy, strict=False)
        except ValueError:
            raise InputError(
                f"proxy {proxy!r} is no address; expected one such as 127.0.0.1, or a network such as "
                "10.0.0.0/8"
            ) from None


def _fit_files(limits: Limits) -> tuple[Limits, int]:
    """Limits whose connections the system lets this process open, and how many to accept at once.

    asyncio accepts in rounds, and looks at the connections of one while it accepts the next. If a file
    cannot be opened then, it reports that for every connection of the round, and pauses for a second.
    """
    wanted = limits.max_connections + _ROUNDS * _ACCEPTED + _OTHER_FILES
    allowed = _allow_files(wanted)
    if allowed is None or allowed >= wanted:
        return limits, _ACCEPTED
    accepted = min(_ACCEPTED, max(8, (allowed - _OTHER_FILES) // 8))
    fitting = allowed - _OTHER_FILES - _ROUNDS * accepted
    if fitting < 1:
        raise InputError(
            f"this process may open {allowed} files, too few for a server; expected at least "
            f"{wanted}: ulimit -n {wanted}"
        )
    _log.warning(
        "this process may open %d files (ulimit -n): at most %d connections instead of %d",
        allowed,
        fitting,
        limits.max_connections,
    )
    return limits.replace(max_connections=fitting), accepted


def _allow_files(wanted: int) -> int | None:
    """Raise the number of files that this process may open, if possible; `None` where none is set."""
    try:
        import resource
    except ImportError:  # Windows
        return None
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return None if soft == resource.RLIM_INFINITY else soft
    more = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    with suppress(ValueError, OSError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (more, hard))
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]
