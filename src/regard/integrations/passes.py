"""Calls of a model's attention, sorted into passes: one for each text, or batch of texts, that it read.

A *run* is one outermost call of the model. Its calls continue the pass before where a cache says so (a
step of generation); they join it where its layers have not been called yet (an encoder, then its
decoder); and they are a pass of their own otherwise.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeAlias
from weakref import ReferenceType

import numpy as np
from numpy.typing import NDArray

from regard.integrations.captured import AttentionCall

__all__ = ["Call", "CalledLayer", "LayerKey", "Pass", "Run", "Search", "Segment", "pass_of"]

LayerKey: TypeAlias = tuple[str, int, int]
"""Name of a module, number of its use in a pass (ALBERT shares one), number of its call in that use."""


@dataclass
class CalledLayer:
    """Calls of one layer in a pass."""

    module: str
    causal: bool
    number: int  # among the layers of its stack
    calls: list[AttentionCall] = field(default_factory=list)


@dataclass
class Call:
    """One call of a layer; `captured` is `None` where only that it happened is known."""

    key: LayerKey
    causal: bool
    number: int
    captured: AttentionCall | None


@dataclass
class Segment:
    """Part of a run in which no model is called twice."""

    cache: Any = None  # that was given
    cached: int | None = None  # positions in it, where it says
    caches: list[Any] = field(default_factory=list)  # given or returned
    sources: tuple[Any, ...] = ()  # states of an encoder that were given
    states: list[Any] = field(default_factory=list)  # states that were returned
    models: set[int] = field(default_factory=set)
    uses: Counter[str] = field(default_factory=Counter)  # of each module
    inner: Counter[tuple[str, int]] = field(default_factory=Counter)  # calls in each use
    numbers: dict[str, dict[tuple[str, int], int]] = field(default_factory=dict)  # by stack
    calls: list[Call] = field(default_factory=list)

    @property
    def past(self) -> int:
        """Number of positions that were read before, by the calls of causal self-attention."""
        first = [call.captured for call in self.calls if call.causal and call.captured]
        return first[0].first_query if first else 0

    def layers(self) -> set[LayerKey]:
        """Keys of the layers called."""
        return {call.key for call in self.calls}

    def number(self, name: str, stack: str) -> int:
        """Number of the running layer among those of its stack, from 0."""
        numbers = self.numbers.setdefault(stack, {})
        return numbers.setdefault((name, self._use(name)), len(numbers))

    def add(self, name: str, captured: AttentionCall | None, causal: bool, number: int) -> None:
        """Add a call, in order; calls for parts of one text (an image each) become one."""
        use = self._use(name)
        nth = self.inner[name, use]
        before = self.calls[-1] if self.calls else None
        if nth and captured and before and before.captured and before.key == (name, use, 0):
            joined = _beside(before.captured, captured, causal)
            if joined is not None:
                before.captured = joined
                return
        self.inner[name, use] += 1
        self.calls.append(Call((name, use, nth), causal, number, captured))

    def _use(self, name: str) -> int:
        return max(self.uses[name] - 1, 0)


def _beside(first: AttentionCall, second: AttentionCall, causal: bool) -> AttentionCall | None:
    """Join the calls for two parts of one text that do not see each other, or return `None`."""
    if causal or first.shape[:2] != second.shape[:2] or first.shape[0] != 1:
        return None
    if second.shape[2] != second.shape[3] or first.shape[2] != first.shape[3]:
        return None
    return first.beside(second)


@dataclass
class Run:
    """One outermost call of a model on a thread."""

    segments: list[Segment] = field(default_factory=lambda: [Segment()])
    wants_weights: bool = False
    unseen: list[str] = field(default_factory=list)  # running attention modules, "" once observed
    attended: tuple[Any, Any] | None = None  # query and key of the running module's last call

    @property
    def segment(self) -> Segment:
        """The part that is running."""
        return self.segments[-1]

    def begin(self, model: int, cache: Any, sources: tuple[Any, ...]) -> None:
        """Note that a model begins; one that ran before in this part begins another."""
        if model in self.segment.models:
            self.segments.append(Segment())
        segment = self.segment
        segment.models.add(model)
        if segment.cache is None and cache is not None:
            segment.cache, segment.cached = cache, _length(cache)
            segment.caches.append(cache)
        segment.sources = segment.sources or sources

    def end(self, caches: list[Any], states: list[Any]) -> None:
        """Note the caches and the states that a model returned."""
        self.segment.caches += caches
        self.segment.states = states


def _length(cache: Any) -> int | None:
    """Number of positions in a cache; `None` where it does not say."""
    try:
        return int(cache.get_seq_length())
    except (AttributeError, NotImplementedError, TypeError, ValueError):
        return None


@dataclass
class Search:
    """One loop of `generate` on a thread: the pass that its runs belong to, and its layers."""

    model: int
    found: Pass | None = None
    keys: set[LayerKey] = field(default_factory=set)
    recomputed: bool = False
    has_beams: bool = False


@dataclass(eq=False)
class Pass:
    """Layers called for one text, or one batch of texts, by their keys in the order of the first call."""

    layers: dict[LayerKey, CalledLayer] = field(default_factory=dict)
    fault: str = ""
    states: list[ReferenceType[Any]] = field(default_factory=list)  # of an encoder, as returned
    rollouts: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def extend(self, segment: Segment) -> None:
        """Add the calls of a run; what they compute again replaces what was there."""
        past = segment.past
        self.cut(past, segment.layers())
        for call in segment.calls:
            if call.captured is None:
                continue
            captured = call.captured
            if past and not call.causal and not captured.first_query:
                captured = replace(captured, first_query=past)  # cross-attention of a later step
            layer = self.layers.setdefault(
                call.key, CalledLayer(call.key[0], call.causal, call.number)
            )
            layer.calls.append(captured)

    def cut(self, end: int, keys: Iterable[LayerKey]) -> None:
        """Remove the queries from a position on: drafts that were rejected, or what is computed again."""
        for key in keys:
            layer = self.layers.get(key)
            while layer and layer.calls and layer.calls[-1].first_query >= end:
                layer.calls.pop()
            if layer and layer.calls:
                last = layer.calls[-1]
                if last.first_query + last.shape[2] > end:
                    layer.calls[-1] = last.head(end - last.first_query)

    def follow(self, keys: Iterable[LayerKey], beams: NDArray[np.integer[Any]]) -> None:
        """Reorder the calls of a beam search to those of the finished hypotheses.

        Args:
            keys: layers of the decoder.
            beams: row of the batch that wrote each token, `(hypotheses, steps)`, -1 after the end.
        """
        for key in keys:
            if (layer := self.layers.get(key)) is None:
                continue
            if len(layer.calls) < beams.shape[1]:
                self.fault = (
                    f"{layer.module} was called {len(layer.calls)} times for {beams.shape[1]} tokens of a beam "
                    "search, so its beams cannot be followed; run the finished text once more"
                )
                return
            steps = zip(layer.calls, beams.T, strict=False)
            layer.calls = [call.take(rows) for call, rows in steps]

    def rearrange(self, rows: Callable[[int], NDArray[np.integer[Any]]]) -> None:
        """Change the examples of the batch as a cache does; `rows` of a batch size are those it takes."""
        sizes = {
            layer.calls[0].shape[0]
            for layer in self.layers.values()
            if layer.causal and layer.calls
        }
        for layer in self.layers.values():
            if layer.calls and layer.calls[0].shape[0] in sizes:
                taken = rows(layer.calls[0].shape[0])
                layer.calls = [call.take(taken) for call in layer.calls]

    def release_maps(self) -> None:
        """Drop the attention maps of every call."""
        for layer in self.layers.values():
            layer.calls = [replace(call, map=None) for call in layer.calls]

    def length(self, keys: Iterable[LayerKey]) -> int:
        """Number of positions read by causal layers among these."""
        ends = [
            call.first_query + call.shape[2]
            for key in keys
            if (layer := self.layers.get(key)) and layer.causal
            for call in layer.calls[-1:]
        ]
        return max(ends, default=0)


def pass_of(
    segment: Segment,
    passes: list[Pass],
    by_cache: Mapping[Any, Pass],
    search: Search | None,
) -> Pass | None:
    """Return the pass that a run continues or joins, or `None` where it begins one."""
    keys, past = segment.layers(), segment.past
    known = by_cache.get(segment.cache) if segment.cache is not None else None
    last = passes[-1] if passes else None
    if past:
        candidate = known if segment.cache is not None else last
        fits = candidate is not None and candidate.length(keys) >= past
        return candidate if fits else None
    if known is not None and not keys & set(known.layers):
        return known
    if search and search.found and keys & search.keys:
        # generate(use_cache=False) reads the whole text again for every token.
        if not segment.caches:
            search.recomputed = True
            return search.found
        return None
    for candidate in passes:
        if any(state() is source for state in candidate.states for source in segment.sources):
            return None if keys & set(candidate.layers) else candidate
    if last is not None and not keys & set(last.layers):
        return last
    return None
