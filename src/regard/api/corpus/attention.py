"""Attention of a few texts at a time: what readers of models give, and rows of its maps."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from regard.attention import AttentionMap
from regard.errors import RegardError
from regard.evaluation.heads.statistics import TokenAxis
from regard.models import DECODER_INPUT
from regard.viewing import Tokens

__all__ = [
    "AttentionReader",
    "AxisTokens",
    "BatchAttention",
    "EncodedText",
    "Site",
    "TextPair",
    "group_by_length",
]

Weights = NDArray[np.float32]
Tile = tuple[slice, Weights]

TOKENS_PER_BATCH = 2048
"""Tokens of a batch, padding included: the logits of 50,000 words for each take 400 MB."""

CELLS_PER_BATCH = 2**17
"""Queries times keys of a batch of several texts, whose maps are made dense."""

CELLS_TOGETHER = 2**25
"""Weights of a batch that are held at a time, of as many layers as that is."""

CELLS_PER_TILE = 2**22
"""Weights of the rows of a long text that are held at a time."""


class TextPair(NamedTuple):
    """A text of a corpus.

    Attributes:
        text: that a model reads.
        target: that it is made to write; `None` for its own answer, or for a model that writes none.
    """

    text: str
    target: str | None = None


@dataclass(frozen=True, eq=False)
class AxisTokens:
    """Tokens along an axis, with ids that are equal for equal tokens."""

    tokens: Tokens
    ids: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.ids)

    def axis(self) -> TokenAxis:
        """The tokens as statistics need them."""
        return TokenAxis.of(self.ids, self.tokens.pieces, self.tokens.special)


@dataclass(frozen=True, eq=False)
class EncodedText:
    """A text as a network reads it.

    Attributes:
        pair: the text.
        axes: tokens by the name of their axis: `"text"`, or `"source"` and `"target"` (rows of cross-attention)
            and `DECODER_INPUT` (what the decoder reads).
        cut: whether the network reads less than the whole text.
        written: text that the model wrote or was made to write; `None` if it writes none.
    """

    pair: TextPair
    axes: Mapping[str, AxisTokens]
    cut: bool
    written: str | None = None

    @property
    def length(self) -> int:
        """Tokens of the longest axis."""
        return max(map(len, self.axes.values()))


@dataclass(frozen=True, eq=False)
class BatchAttention:
    """Attention of a few texts.

    Attributes:
        texts: the texts, padded on the right.
        maps: attention by site, one map a layer (and member of an ensemble), the batch first.
        answers: what the model answers to each text, as values that can be compared: one label, one text, or
            the likeliest next token at each position; empty for a model without answers.
    """

    texts: tuple[EncodedText, ...]
    maps: Mapping[str, Sequence[AttentionMap]]
    answers: tuple[tuple[object, ...], ...]

    def sites(self) -> list[Site]:
        """Attention between tokens; sentences of hierarchical models are none."""
        return [
            Site.of(name, layers, self.texts)
            for name, layers in self.maps.items()
            if name in ("encoder", "decoder", "cross", "pooling")
        ]


class AttentionReader(Protocol):
    """A model that reads texts, and shows the attention with which it does."""

    @property
    def name(self) -> str:
        """Name for headings."""
        ...

    @property
    def takes_targets(self) -> bool:
        """Whether the model writes a text for a text, so that a target may be given."""
        ...

    @property
    def answers_by_token(self) -> bool:
        """Whether its answers are one for each token of the text, not one for the text."""
        ...

    def encode(self, texts: Sequence[TextPair]) -> list[EncodedText]:
        """Turn texts into tokens; a model that writes answers those without a target.

        Texts without any token are encoded with empty axes.
        """
        ...

    def read(self, texts: Sequence[EncodedText], *, answers: bool = False) -> BatchAttention:
        """Run the network over a few texts of about equal length.

        Args:
            texts: encoded by this reader.
            answers: whether to give answers, too, which costs more.
        """
        ...

    def fingerprint(self) -> str:
        """Hash of weights and tokenizer."""
        ...


@dataclass(frozen=True, eq=False)
class Site:
    """Attention of one kind in a batch: all its layers.

    Attributes:
        name: `"encoder"`, `"decoder"`, `"cross"` or `"pooling"`.
        layers: the maps of each layer; several for an ensemble, whose heads follow each other.
        queries: tokens along the rows, by text.
        keys: tokens along the columns, by text.
        causal: whether a query sees only keys up to itself.
    """

    name: str
    layers: tuple[tuple[AttentionMap, ...], ...]
    queries: tuple[AxisTokens, ...]
    keys: tuple[AxisTokens, ...]
    causal: bool

    @classmethod
    def of(cls, name: str, maps: Sequence[AttentionMap], texts: Sequence[EncodedText]) -> Site:
        """Find the axes of a site, as records name them."""
        by_member: dict[int | None, list[AttentionMap]] = {}
        for weights in maps:
            by_member.setdefault(weights.member, []).append(weights)
        layers = tuple(zip(*by_member.values(), strict=True))
        if name == "cross":
            queries, keys = "target", "source"
        elif name == "decoder" and DECODER_INPUT in texts[0].axes:
            queries = keys = DECODER_INPUT
        else:
            queries = keys = "text" if "text" in texts[0].axes else "source"
        columns = tuple(text.axes[keys] for text in texts)
        rows = tuple(text.axes[queries] for text in texts)
        if name == "pooling":
            rows = (AxisTokens(Tokens.of(["reader"], special=["reader"]), (-1,)),) * len(texts)
        return cls(name, layers, rows, columns, name == "decoder")

    @property
    def is_self(self) -> bool:
        """Whether tokens attend to tokens of their own text."""
        return self.name in ("encoder", "decoder")

    @property
    def heads(self) -> tuple[int, ...]:
        """Number of heads of each layer, over all members."""
        return tuple(sum(map(_heads, members)) for members in self.layers)

    def layer_groups(self) -> list[range]:
        """Neighbouring layers whose weights of the whole batch may be held together; at least one each."""
        queries, keys = self.layers[0][0].shape[-2:]
        groups: list[range] = []
        held = 0
        for layer, heads in enumerate(self.heads):
            held += heads * len(self.queries) * queries * keys
            if groups and held <= CELLS_TOGETHER:
                groups[-1] = range(groups[-1].start, layer + 1)
            else:
                groups.append(range(layer, layer + 1))
                held = heads * len(self.queries) * queries * keys
        return groups

    def texts(self, layers: range) -> Iterator[Iterator[Tile]]:
        """Weights of each text, without padding: a few rows of all heads of these layers at a time."""
        count = len(self.queries)
        if count == 1:
            yield self.tiles(layers, 0)
            return
        weights = np.concatenate([_rows(m, slice(None)) for m in self._maps(layers)], axis=1)
        for text in range(count):
            queries, keys = len(self.queries[text]), len(self.keys[text])
            yield iter([(slice(0, queries), weights[text, :, :queries, :keys])])

    def tiles(self, layers: range, text: int) -> Iterator[Tile]:
        """Weights of one text a few rows at a time, `(heads, rows, keys)`, without padding."""
        queries, keys = len(self.queries[text]), len(self.keys[text])
        heads = sum(self.heads[layer] for layer in layers)
        step = max(1, CELLS_PER_TILE // (heads * self.layers[0][0].shape[-1]))
        for start in range(0, queries, step):
            rows = slice(start, min(start + step, queries))
            parts = [_rows(weights, rows)[text] for weights in self._maps(layers)]
            yield rows, np.concatenate(parts)[:, :, :keys]

    def _maps(self, layers: range) -> list[AttentionMap]:
        return [weights for layer in layers for weights in self.layers[layer]]


def _heads(weights: AttentionMap) -> int:
    return weights.shape[1] if weights.ndim == 4 else 1


def _rows(weights: AttentionMap, rows: slice) -> Weights:
    """Rows of a map, `(texts, heads, rows, keys)`.

    Raises:
        RegardError: NaN weights.
    """
    part = weights.dense() if rows == slice(None) else weights[..., rows, :]
    found: Weights = part.float().numpy(force=True)
    if not np.isfinite(found).all():
        raise RegardError(
            "some query has NaN attention weights: the model's own states are NaN or infinite there; look at "
            "its weights and inputs, and try float32"
        )
    return found if weights.ndim == 4 else found[:, None]


def group_by_length(lengths: Sequence[int]) -> list[list[int]]:
    """Groups of texts of similar length, the shortest first, each small enough to be read at once.

    Args:
        lengths: tokens of each text.

    Returns:
        Indices of the texts of each group.
    """
    groups: list[list[int]] = []
    # Sorting is stable: texts of equal length stay in order.
    for index in sorted(range(len(lengths)), key=lengths.__getitem__):
        size = len(groups[-1]) + 1 if groups else 0
        cells = size * lengths[index]
        if not groups or cells > TOKENS_PER_BATCH or cells * lengths[index] > CELLS_PER_BATCH:
            groups.append([])
        groups[-1].append(index)
    return groups
