"""What was seen of a watched model, by place and layer, and the record of it."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from regard.attention import AttentionMap, rollout
from regard.errors import InputError, ShapeError, nearest
from regard.integrations.captured import Call, Keep, Layer, keep_of
from regard.models import describe_reading
from regard.viewing import AttentionRecord, MapSummary, Tokens, Track

__all__ = ["Watched", "tokens"]

Place = Literal["encoder", "decoder", "cross"]
_CROSS = re.compile(r"cross_?att|encoder_att|encdec")


@dataclass
class _Seen:
    """The calls of one layer so far."""

    place: Place
    module: str
    causal: bool
    calls: list[Call] = field(default_factory=list)


class Watched:
    """What `regard.watch` keeps: `seen["encoder"]`, `seen["decoder"]`, `seen["cross"]`.

    Each is a list of `Layer`, first layer first. Encoder-decoders have all three, others one.
    """

    def __init__(self, model: nn.Module, keep: Keep) -> None:
        self.keep = keep
        self._model = type(model).__name__
        self._names = {id(part): name for name, part in model.named_modules()}
        self._two_sided = any(
            getattr(getattr(part, "config", None), "is_encoder_decoder", False)
            for part in model.modules()
        )
        self._lock = threading.Lock()
        self._forwards = 0
        self._turns: Counter[int] = Counter()
        self._layers: dict[tuple[int, int], _Seen] = {}  # in the order of the first pass
        self._rollouts: dict[str, NDArray[np.float32]] = {}

    # While the model runs

    def forward_begins(self, model: nn.Module, args: Any) -> None:
        """A model, or one inside it, starts a pass: each of its layers is to be called anew."""
        with self._lock:
            self._forwards += 1
            for part in model.modules():
                self._turns.pop(id(part), None)

    def add(
        self, module: nn.Module, weights: AttentionMap, *, causal: bool, first_key: int
    ) -> None:
        """One call of one layer's attention.

        Raises:
            RegardError: NaN in the weights of some query.
        """
        name = self._names[id(module)]
        call = keep_of(weights, self.keep, first_key=first_key, where=name)
        with self._lock:
            # A module called twice in one pass is two layers that share their parameters (ALBERT).
            layer = id(module), self._turns[id(module)]
            self._turns[id(module)] += 1
            if layer not in self._layers:
                self._layers[layer] = _Seen(self._place(name, causal), name, causal)
            self._layers[layer].calls.append(call)

    def _place(self, name: str, causal: bool) -> Place:
        parts = name.lower().split(".")
        if any(_CROSS.search(part) for part in parts):
            return "cross"
        sides = [part for part in parts if part in ("encoder", "decoder")]
        if self._two_sided and sides:
            return "encoder" if sides[0] == "encoder" else "decoder"
        return "decoder" if causal else "encoder"

    def finish(self) -> None:
        """The block is over: follow the targets back, let go of what was held for that.

        Raises:
            InputError: the model ran, and none of its attention came by.
        """
        if self._forwards and not self._layers:
            raise InputError(
                f"{self._model} ran and none of its attention came by: it does not go through "
                "AttentionInterface, so there is nothing to show"
            )
        if not self.keep.rollout:
            return
        for place in self.places:
            calls = [seen.calls for seen in self._layers.values() if seen.place == place]
            if place != "cross" and all(len(of_layer) == 1 for of_layer in calls):
                maps = [of_layer[0].map for of_layer in calls]
                followed = rollout([m for m in maps if m is not None], targets=self.keep.rollout)
                self._rollouts[place] = followed.numpy(force=True)
        if not self.keep.maps:
            for seen in self._layers.values():
                seen.calls = [replace(call, map=None) for call in seen.calls]

    # Afterwards

    @property
    def places(self) -> list[Place]:
        """Where attention was seen, in the order of the data."""
        found = {seen.place for seen in self._layers.values()}
        return [place for place in get_args(Place) if place in found]

    def __getitem__(self, place: str) -> list[Layer]:
        layers = [seen for seen in self._layers.values() if seen.place == place]
        if not layers:
            raise InputError(self._nothing(place))
        return [
            Layer(place, n, seen.module, tuple(seen.calls), seen.causal)
            for n, seen in enumerate(layers)
        ]

    def _nothing(self, place: str) -> str:
        if not self._layers:
            return f"no attention came by; run {self._model} inside `with regard.watch(...)`"
        return f"{self._model} has no attention in {place!r}; {nearest(place, self.places)}"

    def rollout(self, place: Literal["encoder", "decoder"]) -> NDArray[np.float32]:
        """How much of each input reaches the chosen queries, `(batch, chosen, length)`.

        Raises:
            InputError: it was not asked for, or the text came in several steps.
        """
        if place not in self._rollouts:
            raise InputError(
                f"no rollout of {place!r}; it needs keep=Keep(rollout=(...)) and a single pass over "
                "the whole text, not generation step by step"
            )
        return self._rollouts[place]

    def record(
        self,
        text: Tokens,
        target: Tokens | None = None,
        *,
        example: int = 0,
        mask: ArrayLike | None = None,
        title: str = "",
    ) -> AttentionRecord:
        """The record of one example, ready to be shown and saved.

        Args:
            text: its tokens, as the model read them; of an encoder-decoder, the source. `tokens`
                makes them.
            target: what the decoder of an encoder-decoder read, its start token first.
            example: which of the batch.
            mask: which positions of `text` in the batch are real, as given to the model; all of
                them when not given.
            title: a heading.

        Raises:
            InputError: a text too long to be kept whole in a padded batch; something not kept.
            ShapeError: tokens that do not go with the maps.
        """
        axes = {"encoder": "source", "decoder": "target"} if self._two_sided else {}
        sides = {"source": text} if self._two_sided else {"text": text}
        if target is not None:
            sides["target"] = target
        places = [p for p in self.places if target is not None or axes.get(p) != "target"]
        tracks = []
        for place in (p for p in places if p != "cross" or target is not None):
            rows, columns = axes.get(place, "text"), axes.get(place, "text")
            if place == "cross":
                rows, columns = "target", "source"
            for layer in self[place]:
                real = [mask if axis in ("text", "source") else None for axis in (rows, columns)]
                tracks.append(
                    Track(
                        place,
                        "cross" if place == "cross" else "self",
                        rows,
                        columns,
                        _weights(layer, example, *real),
                        layer=layer.index,
                        direction="causal" if layer.causal else "both",
                    )
                )
        reading = describe_reading("input") if "cross" in places and target is not None else ""
        return AttentionRecord(sides, tuple(tracks), title or self._model, reading)


def _weights(
    layer: Layer, example: int, queries: ArrayLike | None, keys: ArrayLike | None
) -> NDArray[np.float32] | MapSummary:
    """`(heads, queries, keys)` of one example without its padding, or a summary."""
    rows, columns = (
        _real(mask, length, layer)
        for mask, length in zip((queries, keys), layer.shape[2:], strict=True)
    )
    if layer.has("whole"):
        cut: NDArray[np.float32] = layer.whole[example][:, rows][:, :, columns]
        return cut
    if not (rows.all() and columns.all()):
        raise InputError(
            f"{layer.place} layer {layer.index} is too long to be kept whole, and padding cannot be "
            "cut out of a summary; run this text alone, or keep=Keep(whole=...) with a larger limit"
        )
    pool, topk = layer.pool, layer.topk
    return MapSummary(
        pool.mean[example],
        pool.max[example],
        topk.values[example],
        topk.positions[example],
        layer.entropy[example],
        layer.received[example],
    )


def _real(mask: ArrayLike | None, length: int, layer: Layer) -> NDArray[np.bool_]:
    """Which positions are real: what the mask says, and all that were generated after it."""
    real = np.ones(length, dtype=bool)
    if mask is not None:
        given = np.asarray(mask, dtype=bool)
        if given.ndim != 1 or len(given) > length:
            raise ShapeError(
                f"mask has shape {given.shape}; expected one value for each of at most {length} "
                f"positions of {layer.place} layer {layer.index} (the row of this example)"
            )
        real[: len(given)] = given
    return real


def tokens(tokenizer: Any, text: str | Sequence[int]) -> Tokens:
    """The tokens a `transformers` tokenizer makes of a text, or those of ids, with their places.

    Args:
        tokenizer: a fast tokenizer for a text; any for ids.
        text: a text, special tokens are added as for the model; or ids, e.g. generated ones.
    """
    if isinstance(text, str):
        made = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        offsets = tuple((int(a), int(b)) for a, b in made["offset_mapping"])
        names = tokenizer.convert_ids_to_tokens(made["input_ids"])
        pieces = tuple(text[a:b] or name for (a, b), name in zip(offsets, names, strict=True))
        return Tokens(pieces, text, offsets, tuple(map(bool, made["special_tokens_mask"])))
    pieces = tuple(tokenizer.decode([i]) for i in text)
    whole = tokenizer.decode(list(text), skip_special_tokens=True)
    return Tokens.of(pieces, whole, special=tokenizer.all_special_tokens)
