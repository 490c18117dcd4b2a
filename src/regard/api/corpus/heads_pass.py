"""Sums of the statistics of every head over the texts of a pass."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.api.corpus.attention import (
    AttentionReader,
    Site,
    TextPair,
    group_by_length,
)
from regard.api.corpus.examples import ExampleTexts
from regard.api.corpus.links import WordLinks, link_sums_of
from regard.api.corpus.state import PassState
from regard.attention.statistics import Statistic
from regard.errors import InputError
from regard.evaluation.heads.corpus import SiteSums
from regard.evaluation.heads.links import LinkSums
from regard.evaluation.heads.own import OwnSums
from regard.evaluation.heads.statistics import TextSums, head_sums

__all__ = ["HeadsPass"]


class HeadsPass:
    """Sums of a pass over a corpus.

    Args:
        reader: reads the texts.
        state: that the pass goes on from.
        statistics: of one's own, by name.

    Attributes:
        layers: heads of each layer by site, in the order of the model.
        counts: texts, tokens, and texts left out or cut, by name.
        examples: texts that show what heads do.
    """

    def __init__(
        self,
        reader: AttentionReader,
        state: PassState,
        statistics: Mapping[str, Statistic] | None = None,
    ) -> None:
        self._reader = reader
        self._statistics = dict(statistics or {})
        facts = state.facts
        self.layers: dict[str, list[int]] = dict(facts.get("layers", {}))
        self.counts: dict[str, int] = dict(
            facts.get("counts", dict.fromkeys(("texts", "tokens", "blank", "cut", "unlinked"), 0))
        )
        self.examples: ExampleTexts = ExampleTexts(facts.get("examples"))
        self.sums: dict[str, SiteSums] = {}
        for site, heads in self.layers.items():
            own = {
                name.removeprefix(f"{site}/"): array
                for name, array in state.arrays.items()
                if name.startswith(f"{site}/")
            }
            self.sums[site] = self._new_sums(heads, own)

    def save_to(self, state: PassState) -> None:
        """Put the sums into a state."""
        state.facts = {
            "layers": self.layers,
            "counts": self.counts,
            "examples": self.examples.kept,
        }
        state.arrays = {
            f"{site}/{name}": array
            for site, sums in self.sums.items()
            for name, array in sums.arrays().items()
        }

    @property
    def common(self) -> dict[str, Any]:
        """Facts that a pass over a part of the texts begins with: none."""
        return {}

    def merge(self, part: HeadsPass) -> None:
        """Add the sums of a pass over the next texts."""
        for site, sums in part.sums.items():
            heads = self._heads_of(site, part.layers[site])
            self.sums.setdefault(site, self._new_sums(heads)).merge(sums)
        for name, count in part.counts.items():
            self.counts[name] += count
        self.examples.merge(part.examples)

    def add(self, texts: Sequence[TextPair], links: Sequence[WordLinks | None]) -> None:
        """Read the next texts.

        Args:
            texts: blank ones are counted and left out.
            links: of each text; `None` where none are given.
        """
        filled = [
            (text, some) for text, some in zip(texts, links, strict=True) if text.text.strip()
        ]
        self.counts["blank"] += len(texts) - len(filled)
        encoded = self._reader.encode([text for text, _ in filled]) if filled else []
        links_of = {id(text): some for text, (_, some) in zip(encoded, filled, strict=True)}
        readable = [text for text in encoded if all(map(len, text.axes.values()))]
        self.counts["blank"] += len(encoded) - len(readable)
        for indices in group_by_length([text.length for text in readable]):
            group = [readable[index] for index in indices]
            batch = self._reader.read(group)
            for number, site in enumerate(batch.sites()):
                sums = self._measure(site, [links_of[id(text)] for text in group])
                if number == 0:
                    for text, each in zip(group, sums, strict=True):
                        self.examples.add(text, each)
        self.counts["texts"] += len(readable)
        self.counts["tokens"] += sum(text.length for text in readable)
        self.counts["cut"] += sum(text.cut for text in readable)

    def _measure(self, site: Site, links: Sequence[WordLinks | None]) -> list[TextSums]:
        """Add the texts of a batch to the sums of a site."""
        heads = self._heads_of(site.name, list(site.heads))
        total = self.sums.setdefault(site.name, self._new_sums(heads))
        groups = [_group_sums(site, layers, self._statistics) for layers in site.layer_groups()]
        found = [TextSums.of_heads(parts) for parts in zip(*groups, strict=True)]
        for text, sums in enumerate(found):
            total.add(sums, self._link_sums(site, text, links[text]))
        return found

    def _new_sums(
        self, heads: Sequence[int], arrays: Mapping[str, NDArray[np.float64]] | None = None
    ) -> SiteSums:
        return SiteSums(sum(heads), arrays, own=tuple(self._statistics))

    def _heads_of(self, site: str, heads: list[int]) -> list[int]:
        """Heads of each layer of a site.

        Raises:
            InputError: other texts had other ones.
        """
        if self.layers.setdefault(site, heads) != heads:
            raise InputError(
                f"{site} has {heads} heads by layer in one text and {self.layers[site]} in another; "
                "expected the same layers for every text"
            )
        return heads

    def _link_sums(self, site: Site, text: int, links: WordLinks | None) -> LinkSums | None:
        """Agreement of all heads with the links of a text."""
        linked = "cross" if self._reader.takes_targets else None
        if links is None or not (site.name == linked or (linked is None and site.is_self)):
            return None
        found = link_sums_of(site, text, links)
        self.counts["unlinked"] += found is None
        return found


def _group_sums(site: Site, layers: range, statistics: Mapping[str, Statistic]) -> list[TextSums]:
    """Sums of the heads of some layers, text by text."""
    found = []
    for tiles, queries, keys in zip(site.texts(layers), site.queries, site.keys, strict=True):
        own = OwnSums(statistics, len(queries), len(keys))
        sums = head_sums(
            own.beside(tiles), queries.axis(), keys.axis(), causal=site.causal, is_self=site.is_self
        )
        found.append(replace(sums, own=own.total, queries=own.count))
    return found
