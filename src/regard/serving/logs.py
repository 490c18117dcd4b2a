"""The server's log: one line per record on standard error, and few of them however many requests are bad."""

from __future__ import annotations

import json
import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from traceback import extract_tb
from typing import Any, Literal

__all__ = ["JsonFormatter", "LogFormat", "RepeatFilter", "log_to_stderr"]

LogFormat = Literal["text", "json"]

_INTERVAL = 60.0  # seconds in which one record of a kind is written
_LOGGERS = ("uvicorn", "asyncio", "opentelemetry", "regard", "py.warnings")


class RepeatFilter(logging.Filter):
    """Lets one record of each kind through per interval; the next one says how many were held back.

    A kind is a line of code that logs, with the line that raised the exception, so that there are finitely
    many. A record may tell finer kinds apart by its attribute `kind`; `None` there lets it through.

    Args:
        interval: in seconds.
        clock: in seconds, from any beginning.
    """

    def __init__(
        self, interval: float = _INTERVAL, clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._interval = interval
        self._clock = clock
        self._last: dict[object, float] = {}
        self._held: dict[object, int] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Decide about a record, and add the count of those held back to it."""
        if getattr(record, "kind", "") is None:
            return True
        kind, now = _kind(record), self._clock()
        if now - self._last.get(kind, -self._interval) < self._interval:
            self._held[kind] = self._held.get(kind, 0) + 1
            return False
        self._last[kind] = now
        if held := self._held.pop(kind, 0):
            record.msg = f"{record.getMessage()} (and {held:,} more since the last such line)"
            record.args = None
        return True


def _kind(record: logging.LogRecord) -> object:
    kind, _, trace = record.exc_info or (None, None, None)
    raised = extract_tb(trace)[-1] if trace is not None else None
    at = (kind, raised.filename, raised.lineno) if raised is not None else None
    # Of warnings, all of which Python logs at one line, each is a kind.
    named = record.getMessage() if record.name == "py.warnings" else getattr(record, "kind", None)
    return record.name, record.levelno, record.pathname, record.lineno, at, named


class JsonFormatter(logging.Formatter):
    """A record as one JSON object: `time`, `level`, `logger`, `message`, `exception`, its `fields`.

    Args:
        worker: number of the process that logs, a field of each of its records; 0 is the server itself.
    """

    def __init__(self, worker: int = 0) -> None:
        super().__init__()
        self._own: dict[str, Any] = {"worker": worker} if worker else {}

    def format(self, record: logging.LogRecord) -> str:
        """Write the object on one line."""
        content: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
            **self._own,
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            content["exception"] = self.formatException(record.exc_info)
        return json.dumps(content, ensure_ascii=False)


@contextmanager
def log_to_stderr(style: LogFormat, *, worker: int = 0) -> Iterator[None]:
    """Write the records of the server and its libraries to standard error.

    Args:
        style: `"text"`, warnings and errors; or `"json"`, in which each answered request is a record, too, and
            so is what Python's `warnings` write.
        worker: number of the process, which its records name; 0 is the server itself.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(RepeatFilter())
    name = f"regard: worker {worker}" if worker else "regard"
    plain = logging.Formatter(f"{name}: %(message)s")
    handler.setFormatter(plain if style == "text" else JsonFormatter(worker))
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.level, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.addHandler(handler)
        logger.propagate = False
        requests = style == "json" and logger.name == "regard"
        logger.setLevel(logging.INFO if requests else logging.WARNING)
    if style == "json":
        logging.captureWarnings(True)
    try:
        yield
    finally:
        if style == "json":
            logging.captureWarnings(False)
        for logger, (level, propagate) in zip(loggers, before, strict=True):
            logger.removeHandler(handler)
            logger.setLevel(level)
            logger.propagate = propagate
