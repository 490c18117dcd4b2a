"""An answer as it grows, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable
from typing import Any

from pydantic import BaseModel

from regard.errors import RegardError

__all__ = ["Drafts", "events"]


class Drafts:
    """The latest draft: told in the desk's thread, read in the loop's.

    One that nobody read in time is overwritten, so a slow client costs nothing.
    """

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._told = asyncio.Event()
        self._latest = ""

    def hear(self, text: str) -> None:
        """A longer draft, from any thread."""
        self._loop.call_soon_threadsafe(self._keep, text)

    def _keep(self, text: str) -> None:
        self._latest = text
        self._told.set()

    async def next(self) -> str:
        """Wait for a draft that was not read."""
        await self._told.wait()
        self._told.clear()
        return self._latest


async def events(drafts: Drafts, answer: Awaitable[Any]) -> AsyncIterator[str]:
    """`draft` events while the answer is being written, then `answer`, or `error` with what to do."""
    final = asyncio.ensure_future(answer)
    try:
        while not final.done():
            draft = asyncio.ensure_future(drafts.next())
            await asyncio.wait({final, draft}, return_when=asyncio.FIRST_COMPLETED)
            if draft.done():
                yield _event("draft", json.dumps({"text": draft.result()}))
            draft.cancel()
        found = final.result()
        assert isinstance(found, BaseModel)
        yield _event("answer", found.model_dump_json())
    except RegardError as error:
        yield _event("error", json.dumps({"error": str(error)}))
    finally:
        final.cancel()


def _event(name: str, data: str) -> str:
    return f"event: {name}\ndata: {data}\n\n"
