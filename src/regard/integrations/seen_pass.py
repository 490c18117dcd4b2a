"""Attention of one pass by site and layer, and records made from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.attention import rollout
from regard.errors import InputError, ShapeError, nearest
from regard.integrations.captured import Keep
from regard.integrations.layer_attention import LayerAttention
from regard.integrations.passes import CalledLayer, Pass
from regard.integrations.sites import Site, order_of_sites, site_names
from regard.models import DECODER_INPUT, Reading, check_reading, describe_reading
from regard.viewing import AttentionRecord, MapSummary, Tokens, Track

__all__ = ["SeenPass"]

_OF_TEXT = ("encoder", "decoder", "text", "cross")
"""Sites whose queries are tokens of a text."""


class SeenPass:
    """Attention of one text, or one batch of texts: `seen["encoder"]`, `seen["decoder"]`, `seen["cross"]`.

    Each is a list of `LayerAttention`, first layer first. Encoder-decoder models have all three sites, most
    others one; a model with several towers has one for each, `"vision"` and `"text"`, say.

    Args:
        calls: what was captured.
        model: name of the model.
        modules: the model's attention modules, and whether they are causal where that was not seen.
        keep: statistics that are kept.
        is_encoder_decoder: whether the model is one.
        outside: attention modules that are not observed and belong to no stack of layers.
    """

    def __init__(
        self,
        calls: Pass,
        *,
        model: str,
        modules: dict[str, bool],
        keep: Keep,
        is_encoder_decoder: bool,
        outside: tuple[str, ...] = (),
    ) -> None:
        self._calls, self._model, self._keep = calls, model, keep
        self._modules, self._outside = modules, outside
        self._is_encoder_decoder = is_encoder_decoder

    def _by_site(self) -> dict[Site, list[CalledLayer]]:
        """Layers of each site, in the order in which they ran."""
        if self._calls.fault:
            raise InputError(self._calls.fault)
        layers = [layer for layer in self._calls.layers.values() if layer.calls]
        causal = self._modules | {layer.module: layer.causal for layer in layers}
        names = site_names(causal, is_encoder_decoder=self._is_encoder_decoder)
        by_site: dict[Site, list[CalledLayer]] = {}
        for site in order_of_sites(names[layer.module] for layer in layers):
            by_site[site] = [layer for layer in layers if names[layer.module] == site]
        return by_site

    @property
    def sites(self) -> list[Site]:
        """Sites where attention was observed: towers by name, then encoder, decoder, cross."""
        return list(self._by_site())

    def __getitem__(self, site: str) -> list[LayerAttention]:
        by_site = self._by_site()
        if site not in by_site:
            raise InputError(
                f"{self._model} has no attention in {site!r}; {nearest(site, list(by_site))}"
            )
        return [
            LayerAttention(site, layer.number, layer.module, tuple(layer.calls), layer.causal)
            for layer in by_site[site]
        ]

    def close(self) -> None:
        """Compute the rollouts and release the maps that were held only for them."""
        if not self._keep.rollout or self._calls.fault:
            return
        for site, layers in self._by_site().items():
            single = all(len(layer.calls) == 1 for layer in layers)
            maps = [layer.calls[0].map for layer in layers]
            if single and not site.startswith("cross") and all(m is not None for m in maps):
                rolled = rollout([m for m in maps if m is not None], targets=self._keep.rollout)
                self._calls.rollouts[site] = rolled.numpy(force=True)
        if not self._keep.maps:
            self._calls.release_maps()

    def rollout(self, site: Site) -> NDArray[np.float32]:
        """Return how much of each input reaches the chosen queries, `(batch, chosen, length)`.

        Attention rollout multiplies the maps of all layers, each averaged over its heads and mixed
        with the residual connection (Abnar and Zuidema 2020).

        Raises:
            InputError: rollout was not kept, or the text was processed in several steps.
        """
        self.close()
        if site not in self._calls.rollouts:
            raise InputError(
                f"no rollout of {site!r}; it needs keep=Keep(rollout=(...)) and a single pass over "
                "the whole text, not generation step by step"
            )
        return self._calls.rollouts[site]

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
            text: tokens of the model's input, made by `tokens`; for an encoder-decoder, the source; for a
                decoder, those that it read, or all that `generate` returned. In a model with several towers,
                those of the text.
            target: tokens of the decoder in an encoder-decoder, with its start token first: those that
                it read, or those and the last one that it wrote, as `generate` returns them.
            example: index of the example in the batch; after `generate`, of the answer.
            mask: which positions of `text` in the batch are real, as given to the model; all of
                them by default.
            title: heading of the record.
            reading: the decoder step that gives a token its row of cross-attention: `"output"`, the
                step that writes the token, or `"input"`, the step that reads it. A last step whose
                token is not in `target` is named `…`, and a note says so.

        Raises:
            InputError: a padded batch of texts too long to be kept in full; a statistic not kept; an
                example that is not in the batch; a text whose beginning was read outside the block.
            ShapeError: tokens or mask that do not fit the maps.
        """
        sites, notes = self._shown_sites()
        axes = {"encoder": "source", "decoder": "target"} if self._is_encoder_decoder else {}
        sides = {"source": text} if self._is_encoder_decoder else {"text": text}
        if target is not None:
            written, read, more = self._target_sides(target, reading)
            notes += more
            sides["target"] = written
            if read is not written and "decoder" in sites:
                axes["decoder"] = DECODER_INPUT
                sides[DECODER_INPUT] = read
        batch = max((self[site][0].shape[0] for site in sites), default=1)
        if not -batch <= example < batch:
            raise InputError(f"there is no example {example} in a batch of {batch}")
        tracks: list[Track] = []
        for site in sites:
            rows = columns = axes.get(site, "text")
            if site.startswith("cross"):
                rows, columns = ("target", "source") if self._is_encoder_decoder else ("text", "")
            if rows not in sides or columns not in sides:
                continue
            layers = self[site]
            if rows == columns == "text":
                sides["text"], more = _fitted(text, layers[0], mask)
                notes += more
            masks = [mask if axis in ("text", "source") else None for axis in (rows, columns)]
            # An encoder reads a source once, whatever number of answers is written to it.
            own = example % batch * layers[0].shape[0] // batch
            tracks += [
                Track(
                    site,
                    "cross" if site.startswith("cross") else "self",
                    rows,
                    columns,
                    _weights_of(layer, own, *masks),
                    layer=layer.index,
                    direction="causal" if layer.causal else "both",
                )
                for layer in layers
            ]
        has_cross = any(track.kind == "cross" for track in tracks)
        return AttentionRecord(
            sides,
            tuple(tracks),
            title or self._model,
            describe_reading(reading) if has_cross else "",
            tuple(dict.fromkeys(notes)),
        )

    def _shown_sites(self) -> tuple[list[Site], tuple[str, ...]]:
        """Sites whose tokens a record can name, and notes on all that is not shown."""
        sites, notes = self.sites, []
        of_text = [site for site in sites if site in _OF_TEXT or site.startswith("cross.")]
        shown = of_text if of_text or len(sites) > 1 else sites
        if hidden := [site for site in sites if site not in shown]:
            notes.append(f"Not shown, since it is not over the text: {', '.join(hidden)}.")
        if self._outside:
            notes.append(f"Not observed: {', '.join(self._outside)}.")
        if self._keep.heads is not None:
            notes.append(
                f"Heads of the model that are shown: {', '.join(map(str, self._keep.heads))}."
            )
        return shown, tuple(notes)

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


def _fitted(
    text: Tokens, layer: LayerAttention, mask: ArrayLike | None
) -> tuple[Tokens, tuple[str, ...]]:
    """Tokens of the positions that a layer read, of all that were given; and notes.

    Tokens that do not fit are left as they are: the record refuses them.
    """
    queries, keys = layer.shape[2:]
    if queries != keys:
        raise InputError(
            f"{layer.site} layer {layer.index} has {queries} queries and {keys} keys: the first positions of "
            "the text were read outside the block, or not by this layer; run the whole text in it"
        )
    real = _real_positions(mask, keys, layer)
    notes: tuple[str, ...] = ()
    if layer.causal and len(text) != keys and len(text) in (keys + 1, int(real.sum()) + 1):
        text = text.take(range(len(text) - 1))
        notes = ("The last token was written last and read by no step, so it has no row.",)
    if len(text) == keys and not real.all():
        text = text.take([int(place) for place in np.flatnonzero(real)])
    return text, notes


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
