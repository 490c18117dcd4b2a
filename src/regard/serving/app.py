"""The application: routes, and how refusals are told."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Hashable, Sequence
from contextlib import asynccontextmanager
from typing import Annotated, Any

from fastapi import FastAPI, Query, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import HTMLResponse, JSONResponse, Response, StreamingResponse
from starlette.exceptions import HTTPException

from regard.errors import InputError
from regard.serving import assets, events, handlers
from regard.serving import schemas as m
from regard.serving.batch_queue import Desk
from regard.serving.errors import Refusal, too_long
from regard.serving.handlers import Hall, WriteItem
from regard.serving.limits import Limits
from regard.serving.middleware import Gate
from regard.version import __version__
from regard.viewing import page

__all__ = ["create_app"]

_PROBLEMS: dict[int | str, dict[str, Any]] = {
    404: {"model": m.Problem, "description": "No model of that name."},
    413: {"model": m.Problem, "description": "The text is too long."},
    422: {"model": m.Problem, "description": "The request cannot be understood."},
    429: {"model": m.Problem, "description": "Too many requests are waiting."},
    503: {"model": m.Problem, "description": "No answer in time, or the server is stopping."},
}
_DESCRIPTION = (
    "Models of regard over HTTP. Every answer says where the model looked; every refusal says what "
    "to do instead, in `error`."
)


def create_app(models: Hall, *, limits: Limits | None = None, loopback: bool = True) -> FastAPI:
    """An ASGI application that serves some models.

    Args:
        models: loaded.
        limits: how much it takes on.
        loopback: whether requests must be addressed to this machine by a local name.
    """
    limits = limits or Limits()
    desk = Desk(limits)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        desk.open()
        yield
        desk.close()

    app = FastAPI(
        title="regard",
        version=__version__,
        description=_DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=lifespan,
    )
    app.add_middleware(Gate, body=limits.body, loopback=loopback, refuse=_told)
    app.add_exception_handler(Refusal, _refused)
    app.add_exception_handler(InputError, _refused)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    _add_api(app, _Front(models, desk, limits))
    _add_pages(app)
    return app


class _Front:
    """Between routes and the desk: which model, how long a text, which batch."""

    def __init__(self, models: Hall, desk: Desk, limits: Limits) -> None:
        self.models, self.desk, self.limits = models, desk, limits

    def put(
        self,
        verb: Callable[[str, Any, Sequence[Any]], Sequence[Any]],
        question: m.Question,
        task: str | None,
        *,
        item: Any = None,
        alike: Hashable = None,
    ) -> Any:
        """Queue a question; those `alike` for the same model and verb are answered together."""
        for field in ("text", "begin", "target"):
            value = getattr(question, field, None) or ""
            if len(value) > self.limits.characters:
                raise too_long(f"'{field}'", len(value), self.limits.characters)
        name, model = self.models.find(question.model, task)
        return self.desk.put(
            (verb, name, alike),
            lambda items: verb(name, model, items),
            question if item is None else item,
        )

    async def ask(self, *args: Any, **options: Any) -> Any:
        """Queue and wait."""
        return await self.desk.wait(self.put(*args, **options))

    async def write(self, question: m.Write, task: str) -> Any:
        """A written answer, at once or as it grows."""
        if not question.stream:
            item = WriteItem(question)
            return await self.ask(handlers.write, question, task, item=item, alike=question.beam)
        drafts = events.Drafts()
        item = WriteItem(question, drafts.hear)
        future = self.put(handlers.write, question, task, item=item, alike=question.beam)
        return StreamingResponse(
            events.events(drafts, self.desk.wait(future)), media_type="text/event-stream"
        )


def _add_api(app: FastAPI, front: _Front) -> None:
    @app.post("/translate", response_model=m.Written, responses=_PROBLEMS, tags=["answers"])
    async def translate(question: m.Write) -> Any:
        """Translate a text; say how the translation must begin, or hide words from attention."""
        return await front.write(question, "translation")

    @app.post("/summarize", response_model=m.Written, responses=_PROBLEMS, tags=["answers"])
    async def summarize(question: m.Write) -> Any:
        """Summarise a text. A model that picks sentences answers with sentences for words."""
        return await front.write(question, "summarization")

    @app.post("/classify", response_model=m.Classified, responses=_PROBLEMS, tags=["answers"])
    async def classify(question: m.Classify) -> Any:
        """Label a text; change how strongly single words are attended to."""
        return await front.ask(handlers.classify, question, "classification")

    @app.post("/instead", response_model=m.NextWords, responses=_PROBLEMS, tags=["seeing"])
    async def instead(question: m.Instead) -> Any:
        """What a written answer could go on with after `begin`, and where each way leads."""
        name, model = front.models.find(question.model, None)
        if not model.writes:
            raise Refusal(422, f"{name!r} does not write word by word; try /{model.verb}")
        return await front.ask(handlers.instead, question, None)

    @app.post("/look", response_model=m.Looked, responses=_PROBLEMS, tags=["seeing"])
    async def look(question: m.Look) -> Any:
        """What a model attends to: one of its maps, in numbers."""
        return await front.ask(handlers.look, question, None)

    @app.get("/health", response_model=m.Health, tags=["server"])
    async def health() -> m.Health:
        """How the server is, and which models it has."""
        return m.Health(
            status="ok",
            version=__version__,
            waiting=len(front.desk),
            most_waiting=front.limits.waiting,
            most_characters=front.limits.characters,
            models=front.models.facts,
        )

    @app.get("/view", include_in_schema=False)
    async def view(
        text: str, model: str | None = None, target: Annotated[str | None, Query()] = None
    ) -> Response:
        """Everything a model attends to, as the interactive page that `record.save` writes."""
        question = m.Look(text=text, model=model, target=target)
        record = await front.ask(handlers.record, question, None)
        # The page carries a policy of its own: exactly its script and its style, and no network.
        return HTMLResponse(
            page.html(record), headers={"content-security-policy": "frame-ancestors 'none'"}
        )


def _add_pages(app: FastAPI) -> None:
    @app.get("/", include_in_schema=False)
    async def index() -> Response:
        return assets.response("serving/page/index.html")

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return assets.response("serving/page/docs.html")

    @app.get("/assets/{name:path}", include_in_schema=False)
    async def asset(name: str) -> Response:
        if name not in assets.NAMES:
            raise Refusal(404, "no such page; try / or /docs")
        return assets.response(name)


# Refusals


def _told(refusal: Refusal) -> Response:
    headers = {} if refusal.retry_after is None else {"retry-after": str(refusal.retry_after)}
    return JSONResponse({"error": str(refusal)}, refusal.status, headers)


async def _refused(request: Request, error: Exception) -> Response:
    return _told(error if isinstance(error, Refusal) else Refusal(422, str(error)))


async def _http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    advice = {404: "nothing here; try / or /docs", 405: "another method is expected; see /docs"}
    text = advice.get(error.status_code, str(error.detail))
    return JSONResponse({"error": text}, error.status_code, error.headers)


async def _invalid(request: Request, error: Exception) -> Response:
    """What is wrong first, without repeating what came."""
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = ".".join(str(part) for part in first["loc"] if part != "body")[:200]
    text = f"{place}: {first['msg']}" if place else str(first["msg"])
    return _told(Refusal(422, f"{text}; see /docs for what is expected"))
