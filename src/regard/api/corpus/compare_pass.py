"""Sums of how differently models attend over the texts of a pass."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from regard.api.corpus.attention import (
    AttentionReader,
    BatchAttention,
    EncodedText,
    Site,
    TextPair,
    group_by_length,
)
from regard.api.corpus.examples import TYPICAL_TOKENS
from regard.api.corpus.links import WordLinks
from regard.api.corpus.state import PassState
from regard.api.corpus.units import Units, common_units, equal_tokens, merged
from regard.errors import InputError
from regard.evaluation.heads.comparison import LayerSums
from regard.evaluation.heads.divergence import PairSums, pair_sums
from regard.evaluation.heads.sums import RatioSums

__all__ = ["ComparePass"]

QUERIES_PER_TEXT = 128
"""Queries of a text that are compared, spread evenly: each costs every pair of heads."""

MAX_MERGED_TOKENS = 1024
"""Tokens of the longest text whose tokens are merged to words: its maps are held as a whole."""

Weights = NDArray[np.floating]


@dataclass(frozen=True)
class _Sides:
    """One text as every model reads it, and what each writes for it, if the models write."""

    texts: tuple[EncodedText, ...]
    answers: tuple[tuple[object, ...], ...]


class ComparePass:
    """Sums of a comparison.

    Attributes:
        unit: `"tokens"`, or `"words"` where the models cut texts differently; empty before the first text.
        layers: heads of each layer by site, of each model.
        counts: texts, and texts left out or cut, by name.
        example: a text of usual length to show: score, text and target; `None` before the first.
    """

    def __init__(self, readers: Sequence[AttentionReader], state: PassState) -> None:
        self._readers = readers
        facts = state.facts
        self.unit: str = facts.get("unit", "")
        self.layers: dict[str, list[list[int]]] = dict(facts.get("layers", {}))
        self.counts: dict[str, int] = dict(
            facts.get("counts", dict.fromkeys(("texts", "blank", "cut", "unlike"), 0))
        )
        self.example: list[Any] | None = facts.get("example")
        self.sums: dict[tuple[str, int], LayerSums] = {}
        for site in self.layers:
            self._make_sums(site, state)
        arrays = state.arrays
        self.answers: list[RatioSums] = [
            RatioSums((1,), arrays.get(f"answers/{n}")) for n in range(len(readers) - 1)
        ]

    def _make_sums(self, site: str, state: PassState | None) -> None:
        by_model = self.layers[site]
        for layer in range(min(map(len, by_model))):
            heads = [own[layer] for own in by_model]
            prefix = f"{site}/{layer}/"
            kept = {
                name.removeprefix(prefix): array
                for name, array in (state.arrays if state else {}).items()
                if name.startswith(prefix)
            }
            floor = heads[2] if len(heads) > 2 else None
            self.sums[site, layer] = LayerSums(heads[0], heads[1], floor, kept)

    def save_to(self, state: PassState) -> None:
        """Put the sums into a state."""
        state.facts = {
            "unit": self.unit,
            "layers": self.layers,
            "counts": self.counts,
            "example": self.example,
        }
        state.arrays = {
            f"{site}/{layer}/{name}": array
            for (site, layer), sums in self.sums.items()
            for name, array in sums.arrays().items()
        }
        state.arrays |= {f"answers/{n}": sums.sums for n, sums in enumerate(self.answers)}

    @property
    def common(self) -> dict[str, Any] | None:
        """Facts that a pass over a part of the texts begins with: the unit, once the first text told it."""
        return {"unit": self.unit} if self.unit else None

    def merge(self, part: ComparePass) -> None:
        """Add the sums of a pass over the next texts."""
        self.unit = self.unit or part.unit
        for site, heads in part.layers.items():
            if site not in self.layers:
                self.layers[site] = heads
                self._make_sums(site, None)
        for place, sums in part.sums.items():
            self.sums[place].merge(sums)
        for own, more in zip(self.answers, part.answers, strict=True):
            own.merge(more)
        for name, count in part.counts.items():
            self.counts[name] += count
        self._offer(part.example)

    def _offer(self, example: list[Any] | None) -> None:
        """Take a text to show if it is better than the one before."""
        if example is not None and (self.example is None or example[0] > self.example[0]):
            self.example = example

    def add(self, texts: Sequence[TextPair], links: Sequence[WordLinks | None]) -> None:
        """Read the next texts with every model; links are not used."""
        filled = [text for text in texts if text.text.strip()]
        self.counts["blank"] += len(texts) - len(filled)
        if not filled:
            return
        sides = self._encoded(filled)
        if not self.unit:
            alike = all(_alike(each.texts) for each in sides)
            self.unit = "tokens" if alike else "words"
        readable = [each for each in sides if self._readable(each)]
        lengths = [max(text.length for text in each.texts) for each in readable]
        for indices in group_by_length(lengths):
            self._add_group([readable[index] for index in indices])

    def _encoded(self, texts: Sequence[TextPair]) -> list[_Sides]:
        """Every text as each model reads it; models that write all read one target."""
        answers: list[tuple[tuple[object, ...], ...]] = [((),) * len(self._readers)] * len(texts)
        if self._readers[0].takes_targets:
            own = [
                reader.encode([TextPair(text.text) for text in texts]) for reader in self._readers
            ]
            answers = [tuple((text.written,) for text in each) for each in zip(*own, strict=True)]
            texts = [
                text if text.target is not None else TextPair(text.text, first.written)
                for text, first in zip(texts, own[0], strict=True)
            ]
        encoded = zip(*(reader.encode(texts) for reader in self._readers), strict=True)
        return [_Sides(tuple(each), found) for each, found in zip(encoded, answers, strict=True)]

    def _readable(self, sides: _Sides) -> bool:
        """Whether a text can be compared; others are counted by reason."""
        if not all(len(axis) for text in sides.texts for axis in text.axes.values()):
            self.counts["blank"] += 1
            return False
        long = max(text.length for text in sides.texts) > MAX_MERGED_TOKENS
        if self.unit == "tokens":
            unlike = not _alike(sides.texts)
        else:
            unlike = long or any(units is None for units in _units_by_axis(sides.texts).values())
        self.counts["unlike"] += unlike
        if not unlike:
            self.counts["cut"] += any(text.cut for text in sides.texts)
        return not unlike

    def _add_group(self, group: Sequence[_Sides]) -> None:
        """Compare some texts of similar length."""
        batches = [
            reader.read([each.texts[n] for each in group], answers=True)
            for n, reader in enumerate(self._readers)
        ]
        found = [{site.name: site for site in batch.sites()} for batch in batches]
        shared = [name for name in found[0] if all(name in sites for sites in found)]
        if not shared:
            first, second = (", ".join(sites) or "none" for sites in found[:2])
            raise InputError(
                f"{self._readers[0].name} has attention in {first}, {self._readers[1].name} in {second}: "
                "there is none that both have"
            )
        for name in shared:
            sites = [each[name] for each in found]
            if name not in self.layers:
                self.layers[name] = [list(site.heads) for site in sites]
                self._make_sums(name, None)
            self._add_site(sites, group)
        self._add_answers(group, batches)
        self.counts["texts"] += len(group)
        for each in group:
            score = -abs(each.texts[0].length - TYPICAL_TOKENS)
            self._offer([score, *each.texts[0].pair])

    def _add_site(self, sites: Sequence[Site], group: Sequence[_Sides]) -> None:
        """Compare a site layer by layer, text by text."""
        depth = min(len(site.layers) for site in sites)
        for layer in range(depth):
            rows = [_weights_by_text(site, layer, self.unit) for site in sites]
            for text, weights in enumerate(zip(*rows, strict=True)):
                self._add_text(sites, layer, text, group[text], weights)

    def _add_text(
        self,
        sites: Sequence[Site],
        layer: int,
        text: int,
        sides: _Sides,
        weights: Sequence[Weights],
    ) -> None:
        """Add the weights of one text in one layer."""
        if self.unit == "words":
            queries, keys = (
                common_units([axes[text].tokens for axes in by_model])
                for by_model in (
                    [site.queries for site in sites],
                    [site.keys for site in sites],
                )
            )
            if sites[0].name == "pooling":
                queries = [Units((0,), 1)] * len(sites)
            assert queries is not None
            assert keys is not None
            weights = [
                merged(each, *units) for each, *units in zip(weights, queries, keys, strict=True)
            ]
        count = weights[0].shape[1]
        chosen = _spread(count)
        free = (chosen > 0) if sites[0].causal else np.full(len(chosen), weights[0].shape[2] > 1)
        if self.unit == "words":
            weights = [each[:, chosen] for each in weights]
        pairs: list[PairSums] = [pair_sums(weights[0], other, free=free) for other in weights[1:]]
        self.sums[sites[0].name, layer].add(pairs[0], pairs[1] if len(pairs) > 1 else None)

    def _add_answers(self, group: Sequence[_Sides], batches: Sequence[BatchAttention]) -> None:
        """Count equal answers; next tokens can be compared only where the tokens are."""
        by_token = {reader.answers_by_token for reader in self._readers}
        if len(by_token) > 1 or (True in by_token and self.unit != "tokens"):
            return
        for text, sides in enumerate(group):
            own = tuple(batch.answers[text] for batch in batches)
            first, *others = sides.answers if self._readers[0].takes_targets else own
            for sums, other in zip(self.answers, others, strict=True):
                if len(first) == len(other) > 0:
                    equal = sum(a == b for a, b in zip(first, other, strict=True))
                    sums.add(np.array([float(equal)]), np.array([float(len(other))]))


def _alike(texts: Sequence[EncodedText]) -> bool:
    """Whether all models cut a text alike."""
    first, *others = texts
    return all(
        first.axes.keys() == other.axes.keys()
        and all(
            equal_tokens(axis.tokens, other.axes[name].tokens) for name, axis in first.axes.items()
        )
        for other in others
    )


def _units_by_axis(texts: Sequence[EncodedText]) -> dict[str, list[Units] | None]:
    """Common units of every axis that all models have."""
    shared = [name for name in texts[0].axes if all(name in text.axes for text in texts)]
    return {name: common_units([text.axes[name].tokens for text in texts]) for name in shared}


def _spread(count: int) -> NDArray[np.int64]:
    """At most `QUERIES_PER_TEXT` queries of a text, spread evenly."""
    wanted = np.linspace(0, count - 1, min(count, QUERIES_PER_TEXT))
    return np.unique(wanted.astype(np.int64))


def _weights_by_text(site: Site, layer: int, unit: str) -> Iterator[Weights]:
    """Weights of each text in one layer: of the chosen queries, or where words are compared of all."""
    for text, tiles in enumerate(site.texts(range(layer, layer + 1))):
        chosen = _spread(len(site.queries[text]))
        parts = []
        for rows, weights in tiles:
            inside = chosen[(chosen >= rows.start) & (chosen < rows.stop)] - rows.start
            parts.append(weights if unit == "words" else weights[:, inside])
        yield np.concatenate(parts, axis=1)
