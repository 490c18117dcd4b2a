"""Routes of the application."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import FastAPI, Query
from fastapi.responses import HTMLResponse, Response

from regard.choices import Reading
from regard.serving import assets, handlers, language
from regard.serving import schemas as m
from regard.serving.errors import RequestError
from regard.serving.metrics import Metrics
from regard.serving.service import Asking, Service
from regard.version import __version__

__all__ = ["add_answers", "add_maps", "add_pages", "add_state"]

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


def add_answers(app: FastAPI, service: Service) -> None:
    """Add the calls that answer a text."""

    @app.post("/translate", response_model=m.WriteAnswer, responses=_PROBLEMS, tags=["answers"])
    async def translate(question: m.WriteRequest, asking: Asking) -> Any:
        """Translate a text; say how the translation must begin, or hide words from attention."""
        return await service.write(question, "translate", asking)

    @app.post("/summarize", response_model=m.WriteAnswer, responses=_PROBLEMS, tags=["answers"])
    async def summarize(question: m.WriteRequest, asking: Asking) -> Any:
        """Summarise a text. A model that picks sentences answers with sentences for words."""
        return await service.write(question, "summarize", asking)

    @app.post("/generate", response_model=m.WriteAnswer, responses=_PROBLEMS, tags=["answers"])
    async def generate(question: m.WriteRequest, asking: Asking) -> Any:
        """Continue a text; say how the continuation must begin, or hide words of the text."""
        return await service.write(question, "generate", asking)

    @app.post("/fill", response_model=m.FillAnswer, responses=_PROBLEMS, tags=["answers"])
    async def fill(question: m.FillRequest, asking: Asking) -> Any:
        """Find the words in whose places `[MASK]` stands (models of `train language --model masked`)."""
        return await service.ask(language.filled, question, "fill", asking)

    @app.post("/classify", response_model=m.ClassifyAnswer, responses=_PROBLEMS, tags=["answers"])
    async def classify(question: m.ClassifyRequest, asking: Asking) -> Any:
        """Label a text; change how strongly single words are attended to."""
        alone = bool(question.strength or question.silence or question.explain)
        return await service.ask(handlers.classify, question, "classify", asking, alone=alone)


def add_maps(app: FastAPI, service: Service) -> None:
    """Add the calls that look into a model."""

    @app.post("/alternatives", response_model=m.NextWords, responses=_PROBLEMS, tags=["seeing"])
    async def alternatives(question: m.AlternativesRequest, asking: Asking) -> Any:
        """Alternative next words after `begin`, each with the answer that follows."""
        model = service.models.find(question.model, None)
        if not model.writes:
            raise RequestError(
                422, f"{model.name!r} does not write word by word; try /{model.verb}"
            )
        return await service.ask(handlers.alternatives, question, None, asking)

    @app.post("/look", response_model=m.LookAnswer, responses=_PROBLEMS, tags=["seeing"])
    async def look(question: m.LookRequest, asking: Asking) -> Any:
        """What a model attends to: one of its maps, in numbers."""
        return await service.ask(handlers.look, question, None, asking)

    @app.get("/view", include_in_schema=False)
    async def view(
        text: str,
        asking: Asking,
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
        html = await service.view(question, asking)
        # The page carries a policy of its own: exactly its script and its style, and no network.
        return HTMLResponse(html, headers={"content-security-policy": "frame-ancestors 'none'"})


def add_state(app: FastAPI, service: Service, metrics: Metrics | None) -> None:
    """Add the calls that tell how the server is."""

    @app.get("/health", response_model=m.Health, tags=["server"])
    async def health() -> m.Health:
        """State of the server, and its models."""
        return m.Health(
            status="ok",
            version=__version__,
            queued=len(service.queue),
            max_queue=service.limits.max_queue,
            max_characters=service.limits.max_characters,
            workers=service.models.workers,
            models=service.models.infos,
        )

    @app.get("/metrics", include_in_schema=False)
    async def read_metrics() -> Response:
        if metrics is None:
            raise RequestError(404, "metrics need prometheus_client: pip install 'regard[serve]'")
        return Response(metrics.text(), media_type=metrics.content_type)


def add_pages(app: FastAPI) -> None:
    """Add the web page, and what it loads."""
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
