"""The application: middleware, routes, and errors as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.routing import Route

from regard.errors import InputError
from regard.serving.batch_queue import BatchQueue
from regard.serving.errors import RequestError
from regard.serving.limits import Limits
from regard.serving.metrics import RequestObserver, make_metrics
from regard.serving.middleware import RequestGuard
from regard.serving.pool import WorkerPool
from regard.serving.registry import ModelRegistry
from regard.serving.routes import add_answers, add_maps, add_pages, add_state
from regard.serving.service import Service
from regard.serving.tracing import make_tracing
from regard.version import __version__
from regard.viewing import page

__all__ = ["create_app"]

_DESCRIPTION = (
    "Models of regard over HTTP. Every answer says where the model looked; every error says what "
    "to try, in `error`."
)


def create_app(
    models: ModelRegistry | WorkerPool, *, limits: Limits | None = None, loopback: bool = True
) -> FastAPI:
    """An ASGI application that serves some models.

    Args:
        models: to serve, in this process or by workers.
        limits: of text, queue, batch and time.
        loopback: true to accept only requests addressed to a local name of this machine.
    """
    limits = limits or Limits()
    queue = BatchQueue(limits, threads=models.most_workers)
    page.preload()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        queue.open()
        yield
        queue.close()
        if tracing is not None:
            tracing.close()

    app = FastAPI(
        title="regard",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.queue = queue
    app.state.metrics = metrics = make_metrics(queue, models, limits)
    tracing = make_tracing()
    app.add_middleware(RequestGuard, limits=limits, loopback=loopback, respond=_error_response)
    app.add_exception_handler(RequestError, _known_error)
    app.add_exception_handler(InputError, _known_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)
    service = Service(models, queue, limits)
    add_answers(app, service)
    add_maps(app, service)
    add_state(app, service, metrics)
    add_pages(app)
    routes = {route.path for route in app.routes if isinstance(route, Route)}
    app.add_middleware(RequestObserver, routes=routes, metrics=metrics, tracing=tracing)
    return app


# Errors


def _error_response(error: RequestError) -> Response:
    return JSONResponse({"error": str(error)}, error.status, error.headers)


async def _known_error(request: Request, error: Exception) -> Response:
    return _error_response(
        error if isinstance(error, RequestError) else RequestError(422, str(error))
    )


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    advice = {404: "nothing here; try / or /docs", 405: "another method is expected; see /docs"}
    text = advice.get(error.status_code, str(error.detail))
    return JSONResponse({"error": text}, error.status_code, error.headers)


async def _fault(request: Request, error: Exception) -> Response:
    """A fault of ours; the log has its traceback, the answer nothing of it."""
    return _error_response(
        RequestError(500, "a fault of the server, noted in its log; nothing to mend here")
    )


async def _invalid(request: Request, error: Exception) -> Response:
    """The first validation error, without repeating the input."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    location = ".".join(str(part) for part in first["loc"] if part != "body")[:200]
    text = f"{location}: {first['msg']}" if location else str(first["msg"])
    return _error_response(RequestError(422, f"{text}; see /docs for what is expected"))
