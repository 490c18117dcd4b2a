"""What routes do with a request: choose the model, check lengths, queue it, wait for the answer."""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass
from typing import Annotated, Any

from fastapi import Depends, Request
from fastapi.responses import Response, StreamingResponse

from regard.serving import events, handlers, language
from regard.serving import schemas as m
from regard.serving.batch_queue import BatchQueue, Job
from regard.serving.errors import too_long
from regard.serving.limits import Limits
from regard.serving.messages import Content, Handler
from regard.serving.notes import Notes, notes_of
from regard.serving.origin import client_of
from regard.serving.parts import WriteItem
from regard.serving.pool import WorkerPool
from regard.serving.registry import ModelRegistry

__all__ = ["Asking", "Service"]


@dataclass(frozen=True)
class _Asking:
    """Who asks, and what is noted of it.

    Attributes:
        client: that shares the queue with others.
        notes: for the log and the trace.
    """

    client: str
    notes: Notes


# FastAPI runs a function that is not `async` in another thread, which takes half as long as a small model.
async def _asking(request: Request) -> _Asking:
    # Address of the client, as the server or the proxies that it trusts say.
    client = client_of(request.client.host if request.client else None)
    return _Asking(client, notes_of(request.scope))


Asking = Annotated[_Asking, Depends(_asking)]
"""Who asks: a parameter of a route."""


class Service:
    """Puts requests of the routes into the queue, and makes responses of their answers.

    Args:
        models: that answer.
        queue: in front of them.
        limits: of texts.
    """

    def __init__(
        self, models: ModelRegistry | WorkerPool, queue: BatchQueue, limits: Limits
    ) -> None:
        self.models: ModelRegistry | WorkerPool = models
        self.queue: BatchQueue = queue
        self.limits: Limits = limits

    async def ask(
        self,
        handler: Handler,
        question: m.ModelRequest,
        verb: str | None,
        asking: _Asking,
        *,
        alone: bool = True,
    ) -> Response:
        """Queue a request and respond with its answer; others are answered with it unless it is `alone`."""
        key = object() if alone else None
        job = self._put(handler, question, verb, question, asking, key)
        return _json(await self._answered(job, asking))

    async def view(self, question: m.LookRequest, asking: _Asking) -> str:
        """Queue a request for a page."""
        job = self._put(handlers.view, question, None, question, asking, object())
        return (await self._answered(job, asking)).text

    async def write(self, question: m.WriteRequest, verb: str, asking: _Asking) -> Response:
        """Respond with a written text, whole or as a stream of drafts."""
        handler = language.continued if verb == "generate" else handlers.write
        key = object() if question.silence else question.beam  # steered alone
        if not question.stream:
            job = self._put(handler, question, verb, WriteItem(question), asking, key)
            return _json(await self._answered(job, asking))
        drafts = events.Drafts()
        item = WriteItem(question, drafts.on_draft)
        job = self._put(handler, question, verb, item, asking, key)
        answer = self._answered(job, asking)
        return StreamingResponse(events.events(drafts, answer), media_type="text/event-stream")

    def _put(
        self,
        handler: Handler,
        question: m.ModelRequest,
        verb: str | None,
        item: Any,
        asking: _Asking,
        key: Hashable,
    ) -> Job:
        """Queue a request; those with equal handler, model and `key` are answered together."""
        for field in ("text", "pair", "begin", "target"):
            value = getattr(question, field, None) or ""
            if len(value) > self.limits.max_characters:
                raise too_long(f"'{field}'", len(value), self.limits.max_characters)
        name = self.models.find(question.model, verb).name
        return self.queue.put(
            (handler, name, key),
            lambda items: self.models.answer(handler, name, items),
            item,
            asking.client,
        )

    async def _answered(self, job: Job, asking: _Asking) -> Content:
        """Wait for an answer, and note how long it waited and what it came from."""
        try:
            content: Content = await self.queue.wait(job)
        except BaseException:  # also of a client that hangs up
            asking.notes.add(job.since, None)
            raise
        asking.notes.add(job.since, content.run)
        return content


def _json(content: Content) -> Response:
    return Response(content.text, media_type="application/json")
