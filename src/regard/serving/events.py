"""Server-sent events: drafts of an answer while it is written."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from contextlib import suppress

from regard.errors import RegardError
from regard.serving.messages import Content

__all__ = ["Drafts", "events"]


class Drafts:
    """The latest draft, written by the queue's thread and read by the event loop.

    An unread draft is overwritten, so a slow client costs nothing.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._changed = asyncio.Event()
        self._latest = ""

    def on_draft(self, text: str) -> None:
        """Publish a draft, from any thread."""
        with suppress(RuntimeError):  # the loop is closed: the server has stopped
            self._loop.call_soon_threadsafe(self._store, text)

    def _store(self, text: str) -> None:
        self._latest = text
        self._changed.set()

    async def next(self) -> str:
        """Wait for an unread draft."""
        await self._changed.wait()
        self._changed.clear()
        return self._latest


async def events(drafts: Drafts, answer: Awaitable[Content]) -> AsyncIterator[str]:
    """Yield `draft` events while the answer is written, then `answer`, or `error` with a remedy."""
    final = asyncio.ensure_future(answer)
    draft = asyncio.ensure_future(drafts.next())
    try:
        while not final.done():
            await asyncio.wait({final, draft}, return_when=asyncio.FIRST_COMPLETED)
            if draft.done():
                yield _event("draft", json.dumps({"text": draft.result()}))
                draft = asyncio.ensure_future(drafts.next())
        yield _event("answer", final.result().text)
    except RegardError as error:
        yield _event("error", json.dumps({"error": str(error)}))
    finally:
        final.cancel()
        draft.cancel()


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"
