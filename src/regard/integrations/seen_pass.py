"""Attention of one pass by site and layer, and records made from it."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from regard.attention import rollout
from regard.errors import InputError, ShapeError, nearest
from regard.integrations.captured import Keep, LayerAttention
from regard.integrations.passes import CalledLayer, Pass
from regard.integrations.sites import Site, order_of_sites, site_names
from regard.models import DECODER_INPUT, Reading, check_reading, describe_reading
from regard.viewing import AttentionRecord, MapSummary, Tokens, Track

__all__ = ["SeenPass"]


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
    """

    def __init__(
        self,
        calls: Pass,
        *,
        model: str,
        modules: dict[str, bool],
        keep: Keep,
        is_encoder_decoder: bool,
    ) -> None:
        self._calls, self._model, self._keep = calls, model, keep
        self._modules = modules
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
