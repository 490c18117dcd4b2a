"""One pass over a corpus, chunk by chunk, which can be interrupted and go on.

The sums of each chunk are made on their own and then added, in the order of the chunks: so it makes no
difference to any figure, bit for bit, in which process a chunk was read.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import nullcontext
from itertools import islice
from pathlib import Path
from typing import Any, Protocol, Self, TypeVar

from regard.api.corpus.attention import TextPair
from regard.api.corpus.links import WordLinks
from regard.api.corpus.pass_work import Chunk, HeadsPart
from regard.api.corpus.state import PassState, TextHash, load_state, save_state
from regard.engines import Engine
from regard.errors import DataError, InputError
from regard.training.interrupt import DeferredSignals, Interrupted

__all__ = ["OnProgress", "PassSums", "run_pass"]

TEXTS_PER_CHUNK = 128
"""Texts that are grouped by length at a time; a pass can be interrupted between chunks."""

SECONDS_BETWEEN_SAVES = 20.0

OnProgress = Callable[[int], None]
"""Called with the number of texts that are done."""


class PassSums(Protocol):
    """What a pass adds up."""

    @property
    def common(self) -> dict[str, Any] | None:
        """Facts that a pass over a part of the texts begins with; `None` while no text has told them."""
        ...

    def merge(self, part: Self) -> None:
        """Add the sums of a pass over the next texts."""
        ...

    def add(self, texts: Sequence[TextPair], links: Sequence[WordLinks | None]) -> None:
        """Read the next texts, with the links of each."""
        ...

    def save_to(self, state: PassState) -> None:
        """Put the sums into a state."""
        ...


P = TypeVar("P", bound=PassSums)


def run_pass(
    make: Callable[[PassState], P],
    texts: Iterator[TextPair],
    links: Iterator[WordLinks] | None,
    *,
    path: Path | None,
    settings: dict[str, str],
    on_progress: OnProgress | None,
    engine: Engine | None = None,
    work: Callable[[bool], HeadsPart] | None = None,
) -> P:
    """Read all texts, going on from a saved state if there is one.

    Args:
        make: makes the sums of a pass from a state.
        texts: all of them, also those that were read before.
        links: of each text.
        path: of the state; `None` keeps none.
        settings: what the pass is of, for the state.
        on_progress: called after every chunk.
        engine: who reads the chunks; `None` is this process.
        work: makes what an engine does to each (`Engine.run`).

    Raises:
        InputError: a state of another model or of other texts.
        Interrupted: by a signal, after the state was saved.
    """
    state = PassState(settings) if path is None else load_state(path, settings)
    found, hashed = make(state), TextHash()
    _skip(texts, links, state, hashed, path)
    if on_progress is not None:
        on_progress(state.done)
    saved = time.monotonic()
    parts = _parts(make, found, _chunks(texts, links, state.done), engine, work)
    with DeferredSignals() as signals:
        # Parts of an engine wait for other processes; nothing is lost by leaving them.
        waits = path is None or engine is not None
        while True:
            try:
                with signals.raising() if waits else nullcontext():
                    chunk, part = next(parts, (None, None))
            except KeyboardInterrupt:
                parts.close()
                if path is None:
                    raise
                chunk = part = None
            if chunk is not None and part is not None:
                found.merge(part)
                for text in chunk.texts:
                    hashed.add(text)
                state.done, state.texts = state.done + len(chunk.texts), hashed.value
                if on_progress is not None:
                    on_progress(state.done)
            due = time.monotonic() - saved > SECONDS_BETWEEN_SAVES
            if path is not None and (due or chunk is None or signals.signal is not None):
                found.save_to(state)
                save_state(path, state)
                saved = time.monotonic()
            if signals.signal is not None:
                raise Interrupted(path, signals.signal)
            if chunk is None:
                break
    if links is not None and next(links, None) is not None:
        raise DataError("more lines of links than texts", remedy="give a line for each text")
    return found


def _chunks(
    texts: Iterator[TextPair], links: Iterator[WordLinks] | None, done: int
) -> Iterator[Chunk]:
    """The texts that are left, chunk by chunk, with their links."""
    while chunk := list(islice(texts, TEXTS_PER_CHUNK)):
        yield Chunk(chunk, _links_of(chunk, links, done))
        done += len(chunk)


def _parts(
    make: Callable[[PassState], P],
    whole: P,
    chunks: Iterator[Chunk],
    engine: Engine | None,
    work: Callable[[bool], HeadsPart] | None,
) -> Generator[tuple[Chunk, P], None, None]:
    """Each chunk with its sums, in order.

    Without an engine, and until the pass knows what its parts have in common, this process reads them.
    """
    while engine is None or work is None or whole.common is None:
        chunk = next(chunks, None)
        if chunk is None:
            return
        part = make(PassState({}, facts=whole.common or {}))
        part.add(*chunk)
        yield chunk, part
    common, waiting = whole.common, deque[Chunk]()

    def shards() -> Iterator[Chunk]:
        for chunk in chunks:
            waiting.append(chunk)
            yield chunk

    for state in engine.run(lambda files: work(files).beginning_with(common), shards()):
        yield waiting.popleft(), make(state)


def _skip(
    texts: Iterator[TextPair],
    links: Iterator[WordLinks] | None,
    state: PassState,
    hashed: TextHash,
    path: Path | None,
) -> None:
    """Pass over the texts that were read before, and make sure that they are the same.

    Raises:
        InputError: they are not.
    """
    count = 0
    for text in islice(texts, state.done):
        hashed.add(text)
        count += 1
    if links is not None:
        for _ in islice(links, state.done):
            pass
    if count < state.done or hashed.value != state.texts:
        raise InputError(
            f"{path}: state after {state.done:,} texts, and these texts do not begin with them; give the texts "
            "that it was made from, name another file, or delete it to begin anew"
        )


def _links_of(
    chunk: Sequence[TextPair], links: Iterator[WordLinks] | None, done: int
) -> list[WordLinks | None]:
    """Links of each text of a chunk.

    Raises:
        DataError: fewer lines of links than texts.
    """
    if links is None:
        return [None] * len(chunk)
    found: list[WordLinks | None] = list(islice(links, len(chunk)))
    if len(found) < len(chunk):
        raise DataError(
            f"{done + len(found):,} lines of links for more texts",
            remedy="give a line for each text",
        )
    return found
