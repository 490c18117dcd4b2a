"""Shards on a Ray cluster: a local one that starts by itself, or one that is joined.

Shards go to actors, and not through Ray Data: docs/decisions/0031-shards-on-actors.md says why. Ray is imported
and a cluster started with the first shard that is to be done.
"""

from __future__ import annotations

import importlib.util
import logging
import os
import pickle
import secrets
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from typing import Any, Self, TypeVar

from regard.engines.contracts import AnyWork, Done, Work
from regard.engines.ray_pool import Pool
from regard.errors import MissingExtraError, RegardError

__all__ = ["RayEngine"]

S = TypeVar("S")
R = TypeVar("R")

ADDRESS = "RAY_ADDRESS"
"""Environment variable that names a cluster to join, as everywhere in Ray."""

OBJECT_STORE = 2**29
"""Bytes of shared memory of a local cluster: shards are texts. Ray writes what is more to disk."""

_QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",  # nothing is sent to Ray's makers unless the user says so
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else it warns of a change to come
}
_PRIVATE = {
    "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",  # servers of a local cluster listen on loopback alone
    "RAY_AUTH_MODE": "token",  # and only to this user's processes: whoever reaches Ray runs code
}


class RayEngine:
    """Workers on a Ray cluster, one for each of its processors as far as memory allows.

    Where `RAY_ADDRESS` is set, that cluster is joined; a session of Ray that the program has begun is used
    as it is; otherwise a cluster starts on this machine, on the loopback address, without a dashboard, and
    ends with the engine. Each node of a cluster needs this version of regard.

    Example::

        with RayEngine() as engine:
            report = regard.heads("runs/language", "corpus.txt", engine=engine)

    Raises:
        MissingExtraError: Ray is not installed.
    """

    def __init__(self) -> None:
        if importlib.util.find_spec("ray") is None:
            raise MissingExtraError("the engine ray", "ray")
        self._ray: Any = None
        self._pool: Pool[Any] | None = None
        self._owns = False
        self._on_sigterm: Any = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """End the session with the cluster, and a cluster that started for it."""
        self._end_pool()
        if self._owns:
            self._ray.shutdown()
            if threading.current_thread() is threading.main_thread():
                signal.signal(
                    signal.SIGTERM, self._on_sigterm or signal.SIG_DFL
                )  # Ray leaves its own behind
        self._owns, self._ray = False, None

    def run(
        self, make_work: Callable[[bool], Work[S, R]], shards: Iterable[S | Done[R]]
    ) -> Iterator[R]:
        """Results of all shards, in their order: see `Engine.run`."""
        rest = iter(shards)
        for first in rest:
            if not isinstance(first, Done):
                break
            yield first.result
        else:
            return  # nothing is left to do, and no cluster starts for it
        ray = self._session()
        hosts = {node["NodeManagerHostname"] for node in ray.nodes() if node["Alive"]}
        pool = self._pool_for(ray, make_work(hosts != {socket.gethostname()}))
        try:
            yield from pool.results(chain([first], rest))
        except BaseException:  # also where nobody wants the rest of the results
            self._end_pool()
            raise

    def _pool_for(self, ray: Any, work: AnyWork) -> Pool[Any]:
        """Workers for some work: those of the last run, if that was the same."""
        pickled = pickle.dumps(work)
        if self._pool is None or self._pool.work != pickled:
            self._end_pool()
            self._pool = Pool(ray, pickled, work.memory)
        return self._pool

    def _end_pool(self) -> None:
        if self._pool is not None:
            self._pool.close()
        self._pool = None

    def _session(self) -> Any:
        """Ray, in a session with a cluster."""
        if self._ray is None:
            self._ray = sys.modules.get("ray")
            if self._ray is None or not self._ray.is_initialized():
                self._on_sigterm = signal.getsignal(signal.SIGTERM)
                self._ray = _start(os.environ.get(ADDRESS))
                self._owns = True
        return self._ray


def _start(address: str | None) -> Any:
    """Begin a session with a cluster; return Ray.

    Raises:
        RegardError: there is no cluster at the address, or none can be started.
    """
    for name, value in (_QUIET if address else _QUIET | _PRIVATE).items():
        os.environ.setdefault(name, value)  # before Ray is imported: it reads them then
    if not address and os.environ["RAY_AUTH_MODE"] == "token":
        os.environ.setdefault("RAY_AUTH_TOKEN", secrets.token_hex(32))
    import ray

    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    own: dict[str, Any] = {"include_dashboard": False, "object_store_memory": OBJECT_STORE}
    try:
        ray.init(address=address, **quiet) if address else ray.init("local", **own, **quiet)
    except (ConnectionError, RuntimeError, ValueError, OSError) as error:
        reason = str(error).strip().split("\n")[0]
        if address:
            raise RegardError(
                f"no Ray cluster can be joined at {ADDRESS}={address} ({reason}); start one there (ray start "
                f"--head), or unset {ADDRESS} for one on this machine"
            ) from error
        raise RegardError(
            f"no Ray cluster can be started on this machine ({reason}); see its logs (ray logs), or leave "
            "--engine out"
        ) from error
    return ray
