"""A part of a pass over a corpus, as the workers of an engine do it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from regard.api.corpus.attention import AttentionReader, TextPair
from regard.api.corpus.compare_pass import ComparePass
from regard.api.corpus.copies import ModelCopy
from regard.api.corpus.heads_pass import HeadsPass
from regard.api.corpus.links import WordLinks
from regard.api.corpus.readers import reader_of_model
from regard.api.corpus.state import PassState
from regard.attention.statistics import Statistic

__all__ = ["Chunk", "ComparePart", "HeadsPart"]


class Chunk(NamedTuple):
    """Texts that follow each other, and the links of each."""

    texts: Sequence[TextPair]
    links: Sequence[WordLinks | None]


@dataclass(frozen=True)
class HeadsPart:
    """Sums of the heads of a model over a chunk.

    Attributes:
        models: the model alone.
        facts: with which every part begins (`PassSums.common`).
        statistics: of one's own, by name.
    """

    models: tuple[ModelCopy, ...]
    facts: dict[str, Any]
    statistics: Mapping[str, Statistic] = field(default_factory=dict)

    @property
    def memory(self) -> int:
        """Bytes that a worker needs."""
        return sum(model.memory for model in self.models)

    def beginning_with(self, facts: dict[str, Any]) -> HeadsPart:
        """The same work, with other facts."""
        return replace(self, facts=facts)

    def begin(self) -> Callable[[Chunk], PassState]:
        """Load the model."""
        (reader,) = _readers(self.models)
        return lambda chunk: _state_of(
            HeadsPass(reader, PassState({}, facts=self.facts), self.statistics), chunk
        )


@dataclass(frozen=True)
class ComparePart(HeadsPart):
    """Sums of a comparison over a chunk; two models, and perhaps a floor."""

    def begin(self) -> Callable[[Chunk], PassState]:
        """Load the models."""
        readers = _readers(self.models)
        return lambda chunk: _state_of(ComparePass(readers, PassState({}, facts=self.facts)), chunk)


def _readers(models: Sequence[ModelCopy]) -> list[AttentionReader]:
    return [reader_of_model(model.load()) for model in models]


def _state_of(part: HeadsPass | ComparePass, chunk: Chunk) -> PassState:
    """The sums of a part, once it has read a chunk."""
    part.add(*chunk)
    state = PassState({})
    part.save_to(state)
    return state
