"""One pass over a corpus, chunk by chunk, which can be interrupted and go on."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Protocol, TypeVar

from regard.api.corpus.attention import TextPair
from regard.api.corpus.links import WordLinks
from regard.api.corpus.state import PassState, TextHash, load_state, save_state
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
) -> P:
    """Read all texts, going on from a saved state if there is one.

    Args:
        make: makes the sums of a pass from a state.
        texts: all of them, also those that were read before.
        links: of each text.
        path: of the state; `None` keeps none.
        settings: what the pass is of, for the state.
        on_progress: called after every chunk.

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
    with DeferredSignals() as signals:
        while chunk := list(islice(texts, TEXTS_PER_CHUNK)):
            if path is None:
                with signals.raising():
                    found.add(chunk, _links_of(chunk, links, state.done))
            else:
                found.add(chunk, _links_of(chunk, links, state.done))
            for text in chunk:
                hashed.add(text)
            state.done, state.texts = state.done + len(chunk), hashed.value
            if on_progress is not None:
                on_progress(state.done)
            due = time.monotonic() - saved > SECONDS_BETWEEN_SAVES
            if path is not None and (due or signals.signal is not None):
                found.save_to(state)
                save_state(path, state)
                saved = time.monotonic()
            if signals.signal is not None:
                raise Interrupted(path, signals.signal)
    if links is not None and next(links, None) is not None:
        raise DataError("more lines of links than texts", remedy="give a line for each text")
    if path is not None:
        found.save_to(state)
        save_state(path, state)
    return found


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
