"""Attention as plain data: tokens, maps and the facts that every view needs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from types import MappingProxyType
from typing import Any, Literal, Self, TypeAlias

import numpy as np

from regard.errors import InputError, ShapeError, nearest
from regard.viewing.data.explanation import Explanation, Prediction
from regard.viewing.data.summary import (
    FloatArray,
    Heads,
    IntArray,
    MapSummary,
    entropy,
    merge_pieces,
    pool,
    reduce_heads,
    topk,
)
from regard.viewing.data.tokens import Tokens

__all__ = ["Kind", "Record", "Track"]

Kind: TypeAlias = Literal["self", "cross", "pooling"]
_TOLERANCE = 1e-3  # weights saved from half precision may pass 1 by this much


@dataclass(frozen=True, eq=False, repr=False)
class Track:
    """The maps of one attention layer: one per head, over the same tokens.

    Attributes:
        name: of the attention, e.g. `"cross"` or `"encoder"`.
        kind: `"self"`, `"cross"` or `"pooling"` (one query that reads a whole text).
        queries: name of the token axis along the rows.
        keys: name of the token axis along the columns.
        weights: `(heads, queries, keys)`, or a `MapSummary` where that is too large to hold.
        layer: counted from 0; `None` for the mean of several layers.
        direction: which keys a query could see: `"both"`, `"causal"`, `"window"`, ...
        members: networks of an ensemble, whose heads follow each other member after member. The mean over
            heads is then the mean over members too.
    """

    name: str
    kind: Kind
    queries: str
    keys: str
    weights: FloatArray | MapSummary
    layer: int | None = 0
    direction: str = "both"
    members: int = 1

    def __post_init__(self) -> None:
        if isinstance(self.weights, MapSummary):
            self._check_members()
            return
        weights = np.asarray(self.weights, dtype=np.float32)
        if weights.ndim == 2:
            weights = weights[None]
        if weights.ndim != 3:
            raise ShapeError(
                f"track {self.label!r} has weights of shape {weights.shape}; expected "
                "(heads, queries, keys) or (queries, keys); pick one example of a batch"
            )
        low, high = (float(f(weights, initial=0.0)) for f in (np.min, np.max))
        if not (low >= -_TOLERANCE and high <= 1 + _TOLERANCE):
            raise InputError(
                f"track {self.label!r} has weights from {low:.4g} to {high:.4g}; attention weights "
                "lie between 0 and 1; pass them after the softmax, and look for NaN before it"
            )
        weights.setflags(write=False)
        object.__setattr__(self, "weights", weights)
        self._check_members()

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as the arguments that make it, so that weights are read-only again."""
        return type(self), tuple(getattr(self, each.name) for each in fields(self))

    def _check_members(self) -> None:
        if self.members < 1 or self.heads % self.members:
            raise InputError(
                f"track {self.label!r} has {self.heads} heads of {self.members} members; expected the same "
                "number of heads for each member"
            )

    def __repr__(self) -> str:
        size = f"{self.shape[0]} queries x {self.shape[1]} keys"
        held = ", a summary" if isinstance(self.weights, MapSummary) else ""
        heads = f", {self.heads} {self.parts}" if self.heads > 1 else ""
        return f"Track({self.label!r}, {self.kind}{heads}, {size}{held})"

    @property
    def label(self) -> str:
        """Name and layer for a person, who counts from 1."""
        return f"{self.name} {'mean of layers' if self.layer is None else self.layer + 1}"

    @property
    def heads(self) -> int:
        """Number of heads."""
        weights = self.weights
        return len(weights.mean) if isinstance(weights, MapSummary) else len(weights)

    @property
    def parts(self) -> str:
        """What the heads are, in the plural: `"heads"`, `"members"` or `"heads of 3 members"`."""
        if self.members == 1:
            return "heads"
        return "members" if self.heads == self.members else f"heads of {self.members} members"

    def head_name(self, head: int) -> str:
        """Name of a head, given from 0, for a person, who counts from 1.

        >>> even = np.full((4, 1, 2), 0.5)
        >>> Track("pooling", "pooling", "reader", "text", even, members=2).head_name(2)
        'member 2, head 1'
        """
        if self.members == 1:
            return f"head {head + 1}"
        each = self.heads // self.members
        member = f"member {head // each + 1}"
        return member if each == 1 else f"{member}, head {head % each + 1}"

    @property
    def shape(self) -> tuple[int, int]:
        """`(queries, keys)` of the full map, also where only a summary is held."""
        weights = self.weights
        if isinstance(weights, MapSummary):
            return weights.entropy.shape[1], weights.received.shape[1]
        return weights.shape[1], weights.shape[2]

    def dense(self, heads: Heads = "mean") -> FloatArray:
        """One `(queries, keys)` map: the mean or maximum over heads, or a single head from 0.

        Raises:
            InputError: for a summary, which does not hold every weight.
        """
        if isinstance(self.weights, MapSummary):
            raise InputError(
                f"track {self.label!r} is kept as a summary of {self.shape[0]} x {self.shape[1]} "
                "weights, so not every weight is there; use entropy, received, topk or blocks"
            )
        return reduce_heads(self.weights, heads)

    def blocks(
        self, rows: int, columns: int, *, heads: Heads = "mean"
    ) -> tuple[FloatArray, FloatArray]:
        """A block map of at most `(rows, columns)`: the mean and the maximum of every block.

        A summary answers at the resolution it holds or coarser, and its maximum of the mean over
        heads is the mean of their maxima, which bounds it from above.
        """
        weights = self.weights
        if isinstance(weights, MapSummary):
            mean, peak = weights.coarser(rows, columns)
            return reduce_heads(mean, heads), reduce_heads(peak, heads)
        mean, peak = pool(reduce_heads(weights, heads)[None], rows, columns)
        return mean[0], peak[0]

    def summary(self, blocks: int = 512, *, k: int = 32) -> MapSummary:
        """The map as blocks, top keys, entropy and received mass; itself if it is one already."""
        if isinstance(self.weights, MapSummary):
            return self.weights
        return MapSummary.of(self.weights, blocks=blocks, k=k)

    def entropy(self) -> FloatArray:
        """Entropy of each row, `(heads, queries)`, in nats: 0 on one key, `log(keys)` if uniform."""
        weights = self.weights
        return weights.entropy if isinstance(weights, MapSummary) else entropy(weights)

    def received(self) -> FloatArray:
        """Attention that each key received, `(heads, keys)`: the sum over queries."""
        weights = self.weights
        return weights.received if isinstance(weights, MapSummary) else weights.sum(axis=1)

    def topk(self, k: int) -> tuple[FloatArray, IntArray]:
        """The `k` largest weights of every row, descending, and their keys."""
        weights = self.weights
        if isinstance(weights, MapSummary):
            return weights.top_values[..., :k], weights.top_keys[..., :k]
        return topk(weights, k)


@dataclass(frozen=True, eq=False, repr=False)
class Record:
    """Attention of a model as plain data: token axes, and the maps between them.

    Attributes:
        tokens: the token axes by name, e.g. `{"source": ..., "target": ...}`.
        tracks: the maps, in the order data flows through the model.
        title: a heading.
        reading: the step at which cross-attention was read, e.g.
            "at the step where the target token is the decoder's input".
        notes: merging, hiding and pooling done so far, one sentence each.
        verdict: how far to trust the maps as an explanation, in words.
        prediction: what a classifier answered.
        explanation: how much each word counts for that answer, by several methods.
    """

    tokens: Mapping[str, Tokens]
    tracks: tuple[Track, ...]
    title: str = ""
    reading: str = ""
    notes: tuple[str, ...] = ()
    verdict: str = ""
    prediction: Prediction | None = None
    explanation: Explanation | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", MappingProxyType(dict(self.tokens)))
        object.__setattr__(self, "tracks", tuple(self.tracks))
        if not self.tracks:
            raise InputError("a record without maps; give at least one track")
        for track in self.tracks:
            if 0 in (track.heads, *track.shape):
                raise InputError(
                    f"track {track.label!r} is {track.heads} heads of {track.shape[0]} queries x "
                    f"{track.shape[1]} keys; expected at least one of each: where nothing was read or "
                    "nothing was written there is nothing to see"
                )
            for axis, length in zip((track.queries, track.keys), track.shape, strict=True):
                if axis not in self.tokens:
                    raise InputError(
                        f"track {track.label!r} names the tokens {axis!r}; "
                        f"{nearest(axis, self.tokens)}"
                    )
                if len(self.tokens[axis]) != length:
                    raise ShapeError(
                        f"track {track.label!r} is {track.shape[0]} queries x {track.shape[1]} "
                        f"keys, but {axis!r} has {len(self.tokens[axis])} tokens; cut the padding "
                        "off the weights, and count special tokens in both"
                    )

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickled and copied as the arguments that make it: its views of dictionaries cannot be."""
        values = [getattr(self, each.name) for each in fields(self)]
        return type(self), (dict(self.tokens), *values[1:])

    def __repr__(self) -> str:
        title = self.title if len(self.title) <= 40 else f"{self.title[:39]}…"
        labels = [track.label for track in self.tracks]
        shown = labels if len(labels) <= 6 else [*labels[:3], "…", *labels[-2:]]
        maps = "1 map" if len(labels) == 1 else f"{len(labels)} maps"
        return f"{type(self).__name__}({title!r}, {maps}: {', '.join(shown)})"

    @classmethod
    def of(
        cls,
        weights: Any,
        queries: Tokens | Sequence[str],
        keys: Tokens | Sequence[str] | None = None,
        *,
        kind: Kind | None = None,
        name: str | None = None,
        title: str = "",
        reading: str = "",
        verdict: str = "",
    ) -> Self:
        """A record of one map, `(queries, keys)` or `(heads, queries, keys)`.

        Without `keys` the text attends to itself. One query over several keys is taken as pooling.
        """
        rows = queries if isinstance(queries, Tokens) else Tokens.of(queries)
        if keys is None:
            kind, axes = kind or "self", ("text", "text")
            tokens = {"text": rows}
        else:
            columns = keys if isinstance(keys, Tokens) else Tokens.of(keys)
            pooled = kind == "pooling" or (kind is None and len(rows) == 1 < len(columns))
            kind = "pooling" if pooled else (kind or "cross")
            axes = ("reader", "text") if pooled else ("target", "source")
            tokens = {axes[0]: rows, axes[1]: columns}
        track = Track(name or kind, kind, *axes, weights)
        return cls(tokens, (track,), title, reading, verdict=verdict)

    def queries(self, track: Track) -> Tokens:
        """The tokens along the rows of a track."""
        return self.tokens[track.queries]

    def keys(self, track: Track) -> Tokens:
        """The tokens along the columns of a track."""
        return self.tokens[track.keys]

    def attention_verdict(self) -> str:
        """The verdict as a sentence that says it is about attention, where other scores stand beside it."""
        if not self.verdict or self.explanation is None:
            return self.verdict
        return f"Attention: {self.verdict}"

    def featured(self) -> Track:
        """The map to show first: the last cross-attention, else the last pooling, else the last."""
        for kind in ("cross", "pooling"):
            found = [track for track in self.tracks if track.kind == kind]
            if found:
                return found[-1]
        return self.tracks[-1]

    def select(
        self, name: str | None = None, *, kind: Kind | None = None, layer: int | None = None
    ) -> Self:
        """A record of only the tracks of this name, kind and layer; `layer=-1` is the last layer.

        It shows those maps and no `explanation`.
        """
        found = [t for t in self.tracks if name in (None, t.name) and kind in (None, t.kind)]
        if layer is not None and layer < 0:
            layer += max((t.layer or 0 for t in found), default=0) + 1
        found = [t for t in found if layer in (None, t.layer or 0)]
        if not found:
            have = ", ".join(f"{t.name!r} ({t.kind}, layer {t.layer})" for t in self.tracks)
            raise InputError(f"no track {name or kind or ''!r} at layer {layer}; there are: {have}")
        used = {axis for t in found for axis in (t.queries, t.keys)}
        tokens = {axis: side for axis, side in self.tokens.items() if axis in used}
        return replace(self, tokens=tokens, tracks=tuple(found), explanation=None)

    def words(self) -> Self:
        """Merge pieces to words: weights are summed over keys and averaged over queries.

        A row that summed to 1 still does.

        Raises:
            InputError: when a track is a summary, which cannot be merged exactly.
        """
        starts = {axis: side.word_starts() for axis, side in self.tokens.items()}
        return self._reshaped(
            {axis: side.merged(starts[axis]) for axis, side in self.tokens.items()},
            lambda track, w: merge_pieces(w, starts[track.queries], starts[track.keys]),
            "Pieces are merged to words: summed over keys, averaged over queries.",
        )

    def without_special(self) -> Self:
        """Hide special tokens. The weight on them is left out, so rows may sum to less than 1.

        An axis of special tokens only, such as the single query of a pooled text, stays.
        """
        keep = {
            axis: [i for i, mark in enumerate(side.special) if not mark or all(side.special)]
            for axis, side in self.tokens.items()
        }
        return self._reshaped(
            {axis: side.take(keep[axis]) for axis, side in self.tokens.items()},
            lambda track, w: w[:, keep[track.queries]][:, :, keep[track.keys]],
            "Special tokens are hidden: what they received is not shown, so rows may sum below 1.",
        )

    def _reshaped(
        self,
        tokens: dict[str, Tokens],
        change: Callable[[Track, FloatArray], FloatArray],
        note: str,
    ) -> Self:
        """Apply a change of the token axes to every map; the record itself if no axis changes."""
        if all(side == self.tokens[axis] for axis, side in tokens.items()):
            return self
        tracks = []
        for track in self.tracks:
            if isinstance(track.weights, MapSummary):
                raise InputError(
                    f"track {track.label!r} is kept as a summary, whose tokens cannot be changed "
                    "exactly; change them before summarising"
                )
            tracks.append(replace(track, weights=change(track, track.weights)))
        return replace(self, tokens=tokens, tracks=tuple(tracks), notes=(*self.notes, note))
