"""The application: routes, and errors as JSON."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import Depends, FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException
from starlette.routing import Route

from regard.choices import Reading
from regard.errors import InputError
from regard.serving import assets, events, handlers, language
from regard.serving import schemas as m
from regard.serving.batch_queue import BatchQueue, Job
from regard.serving.errors import RequestError, too_long
from regard.serving.limits import Limits
from regard.serving.metrics import Metrics, RequestObserver, make_metrics
from regard.serving.middleware import RequestGuard
from regard.serving.origin import client_of
from regard.serving.parts import WriteItem
from regard.serving.registry import ModelRegistry
from regard.version import __version__
from regard.viewing import page

__all__ = ["create_app"]

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    403: {"model": m.Problem, "description": "A page of another origin sent the request."},
    404: {"model": m.Problem, "description": "No model of that name."},
    408: {"model": m.Problem, "description": "The request did not come whole in time."},
    413: {"model": m.Problem, "description": "The text is too long."},
    421: {"model": m.Problem, "description": "The request is addressed to another server."},
    422: {"model": m.Problem, "description": "The request cannot be understood."},
    429: {"model": m.Problem, "description": "Too many requests are waiting."},
    503: {"model": m.Problem, "description": "No answer in time, or the server is stopping."},
}
_DESCRIPTION = (
    "Models of regard over HTTP. Every answer says where the model looked; every error says what "
    "to try, in `error`."
)


def _client(request: Request) -> str | None:
    return request.client.host if request.client else None


Client = Annotated[str | None, Depends(_client)]
"""Address of the client, as the server or the proxies that it trusts say."""


def create_app(
    models: ModelRegistry, *, limits: Limits | None = None, loopback: bool = True
) -> FastAPI:
    """An ASGI application that serves some models.

    Args:
        models: to serve.
        limits: of text, queue, batch and time.
        loopback: true to accept only requests addressed to a local name of this machine.
    """
    limits = limits or Limits()
    queue = BatchQueue(limits)
    page.preload()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        queue.open()
        yield
        queue.close()

    app = FastAPI(
        title="regard",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.state.queue = queue
    app.state.metrics = metrics = make_metrics(queue, models.infos, limits)
    app.add_middleware(RequestGuard, limits=limits, loopback=loopback, respond=_error_response)
    app.add_exception_handler(RequestError, _known_error)
    app.add_exception_handler(InputError, _known_error)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_exception_handler(Exception, _fault)
    _add_api(app, Service(models, queue, limits))
    _add_metrics(app, metrics)
    _add_pages(app)
    routes = {route.path for route in app.routes if isinstance(route, Route)}
    app.add_middleware(RequestObserver, routes=routes, metrics=metrics)
    return app


class Service:
    """Puts requests of the routes into the queue: chooses the model, checks lengths, sets the batch."""

    def __init__(self, models: ModelRegistry, queue: BatchQueue, limits: Limits) -> None:
        self.models: ModelRegistry = models
        self.queue: BatchQueue = queue
        self.limits: Limits = limits

    def put(
        self,
        handler: Callable[[str, Any, Sequence[Any]], Sequence[Any]],
        question: m.ModelRequest,
        task: str | None,
        *,
        item: Any = None,
        client: str | None,
        batch_key: Hashable = None,
    ) -> Job:
        """Queue a request; those with equal handler, model and `batch_key` are answered together."""
        for field in ("text", "pair", "begin", "target"):
            value = getattr(question, field, None) or ""
            if len(value) > self.limits.max_characters:
                raise too_long(f"'{field}'", len(value), self.limits.max_characters)
        name, model = self.models.find(question.model, task)
        return self.queue.put(
            (handler, name, batch_key),
            lambda items: handler(name, model, items),
            question if item is None else item,
            client_of(client),
        )

    async def ask(self, *args: Any, **options: Any) -> Any:
        """Queue a request and wait for its answer."""
        return await self.queue.wait(self.put(*args, **options))

    async def write(self, question: m.WriteRequest, task: str, client: str | None) -> Any:
        """Answer with a written text, whole or as a stream of drafts."""
        handler = language.continued if task == "language" else handlers.write
        key = object() if question.silence else question.beam  # steered alone
        if not question.stream:
            item = WriteItem(question)
            return await self.ask(handler, question, task, item=item, client=client, batch_key=key)
        drafts = events.Drafts()
        item = WriteItem(question, drafts.on_draft)
        job = self.put(handler, question, task, item=item, client=client, batch_key=key)
        answered = self.queue.wait(job)
        return StreamingResponse(events.events(drafts, answered), media_type="text/event-stream")


def _add_api(app: FastAPI, service: Service) -> None:
    @app.post("/translate", response_model=m.WriteAnswer, responses=_PROBLEMS, tags=["answers"])
    async def translate(question: m.WriteRequest, client: Client) -> Any:
        """Translate a text; say how the translation must begin, or hide words from attention."""
        return await service.write(question, "translation", client)

    @app.post("/summarize", response_model=m.WriteAnswer, responses=_PROBLEMS, tags=["answers"])
    async def summarize(question: m.WriteRequest, client: Client) -> Any:
        """Summarise a text. A model that picks sentences answers with sentences for words."""
        return await service.write(question, "summarization", client)

    @app.post("/generate", response_model=m.WriteAnswer, responses=_PROBLEMS, tags=["answers"])
    async def generate(question: m.WriteRequest, client: Client) -> Any:
        """Continue a text; say how the continuation must begin, or hide words of the text."""
        return await service.write(question, "language", client)

    @app.post("/classify", response_model=m.ClassifyAnswer, responses=_PROBLEMS, tags=["answers"])
    async def classify(question: m.ClassifyRequest, client: Client) -> Any:
        """Label a text; change how strongly single words are attended to."""
        alone = object() if question.strength or question.silence or question.explain else None
        return await service.ask(
            handlers.classify, question, "classification", client=client, batch_key=alone
        )

    @app.post("/alternatives", response_model=m.NextWords, responses=_PROBLEMS, tags=["seeing"])
    async def alternatives(question: m.AlternativesRequest, client: Client) -> Any:
        """Alternative next words after `begin`, each with the answer that follows."""
        name, model = service.models.find(question.model, None)
        if not model.writes:
            raise RequestError(422, f"{name!r} does not write word by word; try /{model.verb}")
        return await service.ask(
            handlers.alternatives, question, None, client=client, batch_key=object()
        )

    @app.post("/look", response_model=m.LookAnswer, responses=_PROBLEMS, tags=["seeing"])
    async def look(question: m.LookRequest, client: Client) -> Any:
        """What a model attends to: one of its maps, in numbers."""
        return await service.ask(handlers.look, question, None, client=client, batch_key=object())

    @app.get("/health", response_model=m.Health, tags=["server"])
    async def health() -> m.Health:
        """State of the server, and its models."""
        return m.Health(
            status="ok",
            version=__version__,
            queued=len(service.queue),
            max_queue=service.limits.max_queue,
            max_characters=service.limits.max_characters,
            models=service.models.infos,
        )

    @app.get("/view", include_in_schema=False)
    async def view(
        text: str,
        client: Client,
        model: str | None = None,
        target: Annotated[str | None, Query()] = None,
        reading: Reading | None = None,
        pair: str | None = None,
        hide: Annotated[list[int] | None, Query()] = None,
        silence: Annotated[list[str] | None, Query()] = None,
    ) -> Response:
        """Everything a model attends to, as the interactive page that `record.save` writes."""
        question = m.LookRequest(
            text=text,
            model=model,
            target=target,
            reading=reading,
            pair=pair,
            hide=hide or [],
            silence=silence or [],
        )
        html = await service.ask(handlers.view, question, None, client=client, batch_key=object())
        # The page carries a policy of its own: exactly its script and its style, and no network.
        return HTMLResponse(html, headers={"content-security-policy": "frame-ancestors 'none'"})


def _add_metrics(app: FastAPI, metrics: Metrics | None) -> None:
    @app.get("/metrics", include_in_schema=False)
    async def read_metrics() -> Response:
        if metrics is None:
            raise RequestError(404, "metrics need prometheus_client: pip install 'regard[serve]'")
        return Response(metrics.text(), media_type=metrics.content_type)


def _add_pages(app: FastAPI) -> None:
    files = assets.read()

    def response(name: str) -> Response:
        return assets.response(name, files[name])

    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return response("serving/page/index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return response("serving/page/docs.html")

    @app.get("/assets/{name:path}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in files:
            raise RequestError(404, "no such page; try / or /docs")
        return response(name)


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
