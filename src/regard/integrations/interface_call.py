"""One call of an attention function of `transformers`: the map of what it computes.

That is what `sdpa` computes, or the same with capped scores (Gemma 2) or sinks (gpt-oss), which `sdpa` lacks.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap, attend, causal
from regard.attention.normalizers import Softmax
from regard.attention.scores import Capped, ScaledDot, Score
from regard.errors import InputError
from regard.integrations.lazy_mask import LazyMask
from regard.integrations.watched import Watched

__all__ = ["InterfaceCall"]


class InterfaceCall:
    """One call of an attention function: the map of what it computes.

    Args:
        module: the attention module.
        query: `(batch, heads, queries, features)`.
        key: `(batch, key heads, keys, features)`.
        value: as `key`.
        mask: as the function takes it.
        options: further options of the function.
        seen: what the module is watched by.
    """

    def __init__(
        self,
        module: nn.Module,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        mask: Tensor | None,
        options: dict[str, Any],
        seen: Watched,
    ) -> None:
        if key.shape[1] != value.shape[1]:  # grouped heads in one of them only
            key, value = (
                array.repeat_interleave(query.shape[1] // array.shape[1], 1)
                for array in (key, value)
            )
        self.query: Tensor = query
        self.key: Tensor = key
        self.value: Tensor = value
        self.mask: Tensor | None = mask
        self._keys = key.shape[2]
        self.scale: float | None = options.get("scaling")
        self.cap: float | None = options.get("softcap")
        self.sink: Tensor | None = options.get("s_aux")
        self.bias: Tensor | None = options.get("position_bias")
        self.seen: Watched = seen
        option = options.get("is_causal")
        self.is_causal: bool = bool(
            getattr(module, "is_causal", True) if option is None else option
        )
        self.visible: Any = None
        self.output: Tensor | None = None  # where it came with the statistics
        self._gives_output = self._is_plain(options)
        self._prepare()

    def _prepare(self) -> None:
        """Bring mask and bias into the terms of `attend`."""
        queries, mask = self.query.shape[2], self.mask
        if self.is_causal and mask is None and queries > 1:
            # sdpa aligns the first query with the first key: keys past the queries do not exist yet.
            self._take_keys(queries)
            self.visible = causal()
        elif isinstance(mask, LazyMask):
            self.visible = mask.row_mask
        elif mask is not None and mask.dtype == torch.bool:
            self.visible = mask
        elif mask is not None:
            # An additive mask: very low values exclude keys, the others are a bias.
            self.visible = mask > torch.finfo(mask.dtype).min / 2
            added = torch.where(self.visible, mask, 0)
            self.bias = added if self.bias is None else self.bias + added

    def _hides(self, end: int) -> bool:
        """Return whether the mask hides all keys from a position on."""
        if isinstance(self.mask, LazyMask):
            return True
        return isinstance(self.visible, Tensor) and not bool(self.visible[..., end:].any())

    def _take_keys(self, end: int) -> None:
        """Leave out the keys from a position on."""
        self.key, self.value = self.key[:, :, :end], self.value[:, :, :end]
        if isinstance(self.visible, Tensor):
            self.visible = self.visible[..., :end]
        if self.bias is not None:
            self.bias = self.bias[..., :end]

    def captured(self) -> tuple[AttentionMap, int, int]:
        """Map of the heads to keep, and the positions of its first query and first key."""
        first_query, first_key = self._positions()
        end = first_query + self.query.shape[2] - first_key
        if self.is_causal and end < self.key.shape[2] and self._hides(end):
            self._take_keys(end)  # the rest of a static cache is still empty
        if self.seen.keep.heads is not None:
            self._take_heads(self.seen.keep.heads)
        self.query, self.key, self.value = (
            array.detach() for array in (self.query, self.key, self.value)
        )
        self.bias = None if self.bias is None else self.bias.detach()
        self.sink = None if self.sink is None else self.sink.detach()
        with torch.no_grad():
            output, weights = attend(
                self.query,
                self.key,
                self.value,
                score=self.score,
                normalizer=Softmax(self.sink),
                mask=self.visible,
                bias=self.bias,
                watch=self.seen.keep.statistics_of(self.query.shape[2] * self.key.shape[2]),
            )
        if self._gives_output:
            self.output = output.transpose(1, 2).contiguous()
        return weights, first_query, first_key

    @property
    def score(self) -> Score:
        """The scaled dot product, capped where the model caps it."""
        dot = ScaledDot(self.scale)
        return dot if self.cap is None else Capped(dot, self.cap)

    def attended(self, dropout: float) -> Tensor:
        """The model's output `(batch, queries, heads, values)`, with gradients; before `captured`.

        Args:
            dropout: the probability that a weight is left out.
        """
        output, _ = attend(
            self.query,
            self.key,
            self.value,
            score=self.score,
            normalizer=Softmax(self.sink),
            mask=self.visible,
            bias=self.bias,
            dropout=dropout,
            seed=int(torch.randint(2**31, ())) if dropout else 0,
        )
        by_query: Tensor = output.transpose(1, 2).contiguous()
        return by_query

    def _is_plain(self, options: dict[str, Any]) -> bool:
        """Return whether `attend` gives the model's output too, so that nothing is computed twice."""
        arrays = (self.query, self.key, self.value)
        learned = (*arrays, *(() if self.sink is None else (self.sink,)))
        return (
            all(array.dtype == torch.float32 and array.device.type == "cpu" for array in arrays)
            and not (torch.is_grad_enabled() and any(array.requires_grad for array in learned))
            and not options.get("dropout")
            and self.bias is None
            # A row of an additive mask may exclude every key, and is then even and not zero.
            and (self.mask is None or self.mask.dtype == torch.bool)
            and self.seen.keep.heads is None
        )

    def _take_heads(self, chosen: tuple[int, ...]) -> None:
        """Leave out all heads but these."""
        heads = self.query.shape[1]
        if max(chosen) >= heads:
            raise InputError(
                f"keep=Keep(heads=...) asks for head {max(chosen)}; this layer has {heads} heads, from 0"
            )
        group = heads // self.key.shape[1]
        of_keys = [head // group for head in chosen]
        self.query = self.query[:, list(chosen)]
        self.key, self.value = self.key[:, of_keys], self.value[:, of_keys]
        if self.sink is not None:
            self.sink = self.sink[list(chosen)]
        if self.bias is not None and self.bias.shape[1] > 1:
            self.bias = self.bias[:, list(chosen)]
        if (
            isinstance(self.visible, Tensor)
            and self.visible.ndim == 4
            and self.visible.shape[1] > 1
        ):
            self.visible = self.visible[:, list(chosen)]

    def weights(self) -> Tensor:
        """All weights, `(batch, heads, queries, keys)`, as eager attention returns them."""
        dense = self.dense()
        missing = self._keys - dense.shape[-1]
        return nn.functional.pad(dense, (0, missing)).to(self.query.dtype)

    def dense(self) -> Tensor:
        """All weights of the heads and keys that are captured, in one piece: for short texts."""
        queries, keys = self.query.shape[2], self.key.shape[2]
        group = self.query.shape[1] // self.key.shape[1]
        wide = torch.promote_types(self.query.dtype, torch.float32)
        scale = self.query.shape[-1] ** -0.5 if self.scale is None else self.scale
        # The heads of a group become further rows: keys are not copied.
        batch, heads, _, features = self.query.shape
        query = self.query.to(wide) * scale
        query = query.reshape(batch, heads // group, group * queries, features)
        scores = (query @ self.key.to(wide).mT).view(-1, self.query.shape[1], queries, keys)
        if self.cap is not None:
            scores = self.cap * torch.tanh(scores / self.cap)
        if self.bias is not None:
            scores = scores + self.bias
        visible = self.visible
        if isinstance(self.mask, LazyMask):
            visible = self.mask.row_mask.build_rows(slice(0, queries))[..., :keys]
        elif visible is not None and not isinstance(visible, Tensor):
            visible = torch.ones(queries, keys, dtype=torch.bool, device=query.device).tril()
        if visible is not None:
            scores = scores.masked_fill(~visible, -torch.inf)
        weights: Tensor = Softmax(self.sink)(scores)
        return weights

    def _positions(self) -> tuple[int, int]:
        """Positions of the first query and the first key in the text."""
        if isinstance(self.mask, LazyMask):
            return self.mask.first_query * self.is_causal, self.mask.first_key
        if not self.is_causal:
            return 0, 0
        queries, keys = self.query.shape[2], self.key.shape[2]
        read = self.seen.run.segment.cached if self.seen.run else None
        first_query = keys - queries
        if read is not None and (self.mask is None or self._hides(read + queries)):
            first_query = read  # of a static cache, whose further keys are still empty
        return first_query, max(first_query + queries - keys, 0)
