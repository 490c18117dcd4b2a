"""Attention of a watched model by site and layer, and records made from it."""

from __future__ import annotations

import re
import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal, TypeAlias, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray
from torch import nn

from regard.attention import AttentionMap, rollout
from regard.errors import InputError, ShapeError, nearest
from regard.integrations.captured import AttentionCall, Keep, LayerAttention, capture
from regard.models import DECODER_INPUT, Reading, check_reading, describe_reading
from regard.viewing import AttentionRecord, MapSummary, Tokens, Track

__all__ = ["Site", "Watched", "tokens"]

Site: TypeAlias = Literal["encoder", "decoder", "cross"]
"""Kind of attention in a model: self-attention of encoder or decoder, or cross-attention."""

# transformers' modules of cross-attention have no common attribute, only names of three kinds:
# crossattention or cross_attn (BERT, GPT-2), encoder_attn (BART), EncDecAttention (T5).
_CROSS_ATTENTION = re.compile(r"cross_?att|encoder_att|encdec")


@dataclass
class LayerCalls:
    """Calls of one layer captured so far."""

    site: Site
    module: str
    causal: bool
    calls: list[AttentionCall] = field(default_factory=list)


class Watched:
    """Attention that `regard.watch` captured: `seen["encoder"]`, `seen["decoder"]`, `seen["cross"]`.

    Each is a list of `LayerAttention`, first layer first. Encoder-decoder models have all three
    sites, other models one.

    Args:
        model: the model that is watched.
        keep: statistics to keep.
    """

    def __init__(self, model: nn.Module, keep: Keep) -> None:
        self.keep = keep
        self._model = type(model).__name__
        self._module_names = {id(part): name for name, part in model.named_modules()}
        self._is_encoder_decoder = any(
            getattr(getattr(part, "config", None), "is_encoder_decoder", False)
            for part in model.modules()
        )
        self._lock = threading.Lock()
        self._forward_passes = 0
        self._calls_in_pass: Counter[int] = Counter()  # by the id of the module
        # By the id of the module and the number of its call in a pass, in the order of the first pass.
        self._layers: dict[tuple[int, int], LayerCalls] = {}
        self._rollouts: dict[str, NDArray[np.float32]] = {}

    # While the model runs

    def on_forward_begin(self, model: nn.Module, args: Any) -> None:
        """Start a pass of a model, or of a model inside it: its layers are called from the first."""
        with self._lock:
            self._forward_passes += 1
            for part in model.modules():
                self._calls_in_pass.pop(id(part), None)

    def add_call(
        self, module: nn.Module, weights: AttentionMap, *, causal: bool, first_key: int
    ) -> None:
        """Capture one call of a layer's attention.

        Args:
            module: the attention module.
            weights: its map, `(batch, heads, queries, keys)`.
            causal: whether queries see only earlier keys.
            first_key: position of key 0 in the text.

        Raises:
            RegardError: some query has NaN weights.
        """
        name = self._module_names[id(module)]
        call = capture(weights, self.keep, first_key=first_key, module=name)
        with self._lock:
            # A module called twice in one pass is two layers that share their parameters (ALBERT).
            layer = id(module), self._calls_in_pass[id(module)]
            self._calls_in_pass[id(module)] += 1
            if layer not in self._layers:
                self._layers[layer] = LayerCalls(self._site_of(name, causal), name, causal)
            self._layers[layer].calls.append(call)

    def _site_of(self, module: str, causal: bool) -> Site:
        parts = module.lower().split(".")
        if any(_CROSS_ATTENTION.search(part) for part in parts):
            return "cross"
        sides = [part for part in parts if part in ("encoder", "decoder")]
        if self._is_encoder_decoder and sides:
            return "encoder" if sides[0] == "encoder" else "decoder"
        return "decoder" if causal else "encoder"

    def finish(self) -> None:
        """Compute the rollouts and release the maps that were held only for them.

        Raises:
            InputError: the model ran, but no attention call was observed.
        """
        if self._forward_passes and not self._layers:
            raise InputError(
                f"{self._model} ran, but no attention call was observed: its attention does not go "
                "through AttentionInterface, so there is nothing to show"
            )
        if not self.keep.rollout:
            return
        for site in self.sites:
            by_layer = [layer.calls for layer in self._layers.values() if layer.site == site]
            if site != "cross" and all(len(calls) == 1 for calls in by_layer):
                maps = [calls[0].map for calls in by_layer]
                rolled = rollout([m for m in maps if m is not None], targets=self.keep.rollout)
                self._rollouts[site] = rolled.numpy(force=True)
        if not self.keep.maps:
            for layer in self._layers.values():
                layer.calls = [replace(call, map=None) for call in layer.calls]

    # Afterwards

    @property
    def sites(self) -> list[Site]:
        """Sites where attention was observed, in the order encoder, decoder, cross."""
        found = {layer.site for layer in self._layers.values()}
        return [site for site in get_args(Site) if site in found]

    def __getitem__(self, site: str) -> list[LayerAttention]:
        layers = [layer for layer in self._layers.values() if layer.site == site]
        if not layers:
            raise InputError(self._missing(site))
        return [
            LayerAttention(site, n, layer.module, tuple(layer.calls), layer.causal)
            for n, layer in enumerate(layers)
        ]

    def _missing(self, site: str) -> str:
        """Message for a site without attention."""
        if not self._layers:
            return (
                f"no attention call was observed; run {self._model} inside `with regard.watch(...)`"
            )
        return f"{self._model} has no attention in {site!r}; {nearest(site, self.sites)}"

    def rollout(self, site: Literal["encoder", "decoder"]) -> NDArray[np.float32]:
        """Return how much of each input reaches the chosen queries, `(batch, chosen, length)`.

        Attention rollout multiplies the maps of all layers, each averaged over its heads and mixed
        with the residual connection (Abnar and Zuidema 2020).

        Raises:
            InputError: rollout was not kept, or the text was processed in several steps.
        """
        if site not in self._rollouts:
            raise InputError(
                f"no rollout of {site!r}; it needs keep=Keep(rollout=(...)) and a single pass over "
                "the whole text, not generation step by step"
            )
        return self._rollouts[site]

    def record(
        self,
        text: Tokens,
        target: Tokens | None = None,
        *,
        example: int = 0,
        mask: ArrayLike | None = None,
        title: str = "",
        reading: Reading = "output",
    ) -> AttentionRecord:
        """Make a record of one example, to be shown and saved.

        Args:
            text: tokens of the model's input, made by `tokens`; for an encoder-decoder, the source.
            target: tokens of the decoder in an encoder-decoder, with its start token first: those that
                it read, or those and the last one that it wrote, as `generate` returns them.
            example: index of the example in the batch.
            mask: which positions of `text` in the batch are real, as given to the model; all of
                them by default.
            title: heading of the record.
            reading: the decoder step that gives a token its row of cross-attention: `"output"`, the
                step that writes the token, or `"input"`, the step that reads it. A last step whose
                token is not in `target` is named `…`, and a note says so.

        Raises:
            InputError: a padded batch of texts too long to be kept in full; a statistic not kept.
            ShapeError: tokens or mask that do not fit the maps.
        """
        axes = {"encoder": "source", "decoder": "target"} if self._is_encoder_decoder else {}
        sides = {"source": text} if self._is_encoder_decoder else {"text": text}
        notes: tuple[str, ...] = ()
        if target is not None:
            written, read, notes = self._target_sides(target, reading)
            sides["target"] = written
            if read is not written and "decoder" in self.sites:
                axes["decoder"] = DECODER_INPUT
                sides[DECODER_INPUT] = read
        tracks = []
        for site in self.sites:
            rows = columns = axes.get(site, "text")
            if site == "cross":
                rows, columns = "target", "source"
            if rows not in sides:
                continue
            masks = [mask if axis in ("text", "source") else None for axis in (rows, columns)]
            tracks += [
                Track(
                    site,
                    "cross" if site == "cross" else "self",
                    rows,
                    columns,
                    _weights_of(layer, example, *masks),
                    layer=layer.index,
                    direction="causal" if layer.causal else "both",
                )
                for layer in self[site]
            ]
        has_cross = any(track.kind == "cross" for track in tracks)
        return AttentionRecord(
            sides,
            tuple(tracks),
            title or self._model,
            describe_reading(reading) if has_cross else "",
            notes,
        )

    def _target_sides(
        self, target: Tokens, reading: Reading
    ) -> tuple[Tokens, Tokens, tuple[str, ...]]:
        """Tokens of the rows of cross-attention, tokens that the decoder read, and notes.

        Tokens that fit no step are left as they are: the record refuses them.
        """
        sites = [site for site in self.sites if site in ("cross", "decoder")]
        steps = self[sites[-1]][0].shape[2] if sites else len(target)
        whole = len(target) == steps + 1  # also the token of the last step, which nothing read
        read = target.take(range(steps)) if whole else target
        if check_reading(reading) == "input" or "cross" not in sites or len(read) != steps:
            return read, read, ()
        if whole:
            return target.take(range(1, steps + 1)), read, ()
        end = len(target.text)
        written = Tokens(
            (*target.pieces[1:], "…"),
            target.text,
            (*target.offsets[1:], (end, end)),
            (*target.special[1:], True),
        )
        note = (
            "The row … is the step after the last target token: it wrote a token that is not here."
        )
        return written, read, (note,)


def _weights_of(
    layer: LayerAttention, example: int, query_mask: ArrayLike | None, key_mask: ArrayLike | None
) -> NDArray[np.float32] | MapSummary:
    """Weights `(heads, queries, keys)` of one example without padding, or a summary of them."""
    rows, columns = (
        _real_positions(mask, length, layer)
        for mask, length in zip((query_mask, key_mask), layer.shape[2:], strict=True)
    )
    if layer.has("dense"):
        weights: NDArray[np.float32] = layer.dense[example][:, rows][:, :, columns]
        return weights
    if not (rows.all() and columns.all()):
        raise InputError(
            f"{layer.site} layer {layer.index} is too long to be kept in full, and padding cannot be "
            "cut out of a summary; run this text alone, or keep=Keep(dense_limit=...) with a larger "
            "limit"
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


def _real_positions(
    mask: ArrayLike | None, length: int, layer: LayerAttention
) -> NDArray[np.bool_]:
    """Mark real positions: those of the mask, and all that were generated after it."""
    real = np.ones(length, dtype=bool)
    if mask is not None:
        given = np.asarray(mask, dtype=bool)
        if given.ndim != 1 or len(given) > length:
            raise ShapeError(
                f"mask has shape {given.shape}; expected one value for each of at most {length} "
                f"positions of {layer.site} layer {layer.index} (the row of this example)"
            )
        real[: len(given)] = given
    return real


def tokens(tokenizer: Any, text: str | Sequence[int]) -> Tokens:
    """Tokenize a text, or convert token ids, with a `transformers` tokenizer.

    Args:
        tokenizer: a fast tokenizer for a text; any tokenizer for ids.
        text: a text, to which special tokens are added as for the model; or ids, for example
            generated ones.

    Returns:
        The tokens with their character offsets in the text.
    """
    if isinstance(text, str):
        encoding = tokenizer(text, return_offsets_mapping=True, return_special_tokens_mask=True)
        offsets = tuple((int(a), int(b)) for a, b in encoding["offset_mapping"])
        names = tokenizer.convert_ids_to_tokens(encoding["input_ids"])
        pieces = tuple(text[a:b] or name for (a, b), name in zip(offsets, names, strict=True))
        return Tokens(pieces, text, offsets, tuple(map(bool, encoding["special_tokens_mask"])))
    pieces = tuple(tokenizer.decode([i]) for i in text)
    whole = tokenizer.decode(list(text), skip_special_tokens=True)
    return Tokens.of(pieces, whole, special=tokenizer.all_special_tokens)
