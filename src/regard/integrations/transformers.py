"""Any Hugging Face model, watched while it runs on the fast path.

`output_attentions=True` makes a model build every `queries x keys` matrix, layer by layer, and keep
them all: at 16,384 tokens one layer of 12 heads takes 13 GB. `watch` leaves the model on
`scaled_dot_product_attention` and looks at the queries and keys on their way into it.

`transformers` finds the attention of a layer by name in two tables: `AttentionInterface`, the
functions, and `AttentionMaskInterface`, what makes their masks. A name that stands in the first and
not in the second gets no mask at all, so that a decoder quietly sees the future. Ours stands in both.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap, attend, causal
from regard.attention.scores import ScaledDot
from regard.errors import InputError, MissingExtraError
from regard.integrations.captured import Keep
from regard.integrations.lazy_mask import LazyMask, lazy_mask
from regard.integrations.watched import Watched

try:
    from transformers import AttentionInterface, AttentionMaskInterface, PreTrainedModel
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask
except ImportError as error:
    raise MissingExtraError("regard.watch", "transformers") from error

__all__ = ["watch"]

_NAME = "regard"
_BLOCK_BYTES = 32 * 2**20  # of the mask that attention is given at a time
_lock = threading.Lock()
_watchers: dict[int, Watched] = {}  # by the id of each module of a watched model


@contextlib.contextmanager
def watch(model: nn.Module, *, keep: Keep | None = None) -> Iterator[Watched]:
    """Keep what is asked for of every attention layer while the model runs inside the block.

    >>> with regard.watch(model) as seen:
    ...     output = model(**inputs)  # or model.generate(...)
    >>> seen["encoder"][0].entropy  # (batch, heads, queries)
    >>> seen.record(tokens(tokenizer, text)).show()

    The model runs on `scaled_dot_product_attention` inside the block, whatever it ran on before, and
    answers the same within the rounding of that; afterwards it is as it was, also after an error.
    Several models may be watched at once, from several threads; one model only once.

    Args:
        model: a `transformers` model, or a module that holds one (a sentence encoder, say).
        keep: what to keep; see `Keep`.

    Raises:
        InputError: the model holds none of `transformers`, does not route its attention through
            `AttentionInterface`, does something to its weights that the fast path cannot do, is
            being watched already, or ran without a single call of attention.
        RegardError: NaN in the weights of some query.
    """
    roots = _roots(model)
    _register()
    seen = Watched(model, keep or Keep())
    before = [(config, config._attn_implementation_internal) for config in _configs(roots)]
    owned = [id(part) for part in model.modules()]
    with _lock:
        if any(part in _watchers for part in owned):
            raise InputError("this model is being watched already; leave that block first")
        _watchers.update(dict.fromkeys(owned, seen))
    hooks = [
        part.register_forward_pre_hook(seen.forward_begins)
        for root in roots
        for part in root.modules()
        if isinstance(part, PreTrainedModel)
    ]
    try:
        for root in roots:
            root.set_attn_implementation(_NAME)
        yield seen
        seen.finish()
    finally:
        for hook in hooks:
            hook.remove()
        for config, implementation in before:
            config._attn_implementation_internal = implementation
        with _lock:
            for part in owned:
                del _watchers[part]


def _register() -> None:
    """Enter both tables; harmless when done again."""
    with _lock:
        AttentionInterface.register(_NAME, _attention)
        AttentionMaskInterface.register(_NAME, partial(lazy_mask, sdpa_mask))


def _roots(model: nn.Module) -> list[Any]:
    """The outermost `transformers` models inside, fit to be watched."""
    found = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    inner = {id(part) for root in found for part in root.modules() if part is not root}
    roots = [root for root in found if id(root) not in inner]
    if not roots:
        raise InputError(
            f"{type(model).__name__} holds no transformers model; expected a PreTrainedModel or a "
            "module around one (a regard model shows its maps in its output)"
        )
    for root in roots:
        name = type(root).__name__
        if not root._can_set_attn_implementation():
            raise InputError(
                f"{name} does not route its attention through AttentionInterface, so it cannot be "
                "watched; try a newer transformers, or output_attentions=True with short texts"
            )
        if not root._supports_sdpa:
            raise InputError(
                f"{name} does not run on scaled_dot_product_attention (it changes its weights in a "
                "way that has no fast path); try attn_implementation='eager' with "
                "output_attentions=True"
            )
    return roots


def _configs(roots: list[Any]) -> list[Any]:
    """Every settings object that names an attention implementation, once."""
    found: dict[int, Any] = {}

    def add(config: Any) -> None:
        if id(config) not in found:
            found[id(config)] = config
            for name in config.sub_configs:
                if (inner := getattr(config, name, None)) is not None:
                    add(inner)

    for root in roots:
        for part in root.modules():
            if isinstance(part, PreTrainedModel):
                add(part.config)
    return list(found.values())


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """The attention function: the output of `sdpa`, and a look at the weights."""
    for name in ("softcap", "s_aux", "cache"):
        if options.get(name) is not None:
            raise InputError(
                f"{type(module).__name__} attends with {name!r}, which the fast path does not know; "
                "this model cannot be watched"
            )
    output = _sdpa(module, query, key, value, attention_mask, **options)
    seen = _watchers.get(id(module))
    if seen is None:
        raise InputError(
            f"{type(module).__name__} runs on 'regard' attention outside regard.watch; models are "
            "watched by `with regard.watch(model):`, not by attn_implementation"
        )
    with torch.no_grad():
        weights, only_past = _weights(
            module, query, key, value, attention_mask, options, seen.keep.watch
        )
        first_key = attention_mask.first_key if isinstance(attention_mask, LazyMask) else 0
        seen.add(module, weights, causal=only_past, first_key=first_key)
    return output, None


def _sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    **options: Any,
) -> Tensor:
    """`(batch, queries, heads, values)`; a lazy mask is met a block of rows at a time."""
    if not isinstance(mask, LazyMask):
        output: Tensor = sdpa_attention_forward(module, query, key, value, mask, **options)[0]
        return output
    batch, _, queries, keys = mask.shape
    rows = max(1, _BLOCK_BYTES // (4 * batch * keys))  # a Boolean mask becomes float32 inside
    bias = options.pop("position_bias", None)
    parts = []
    for start in range(0, queries, rows):
        block = slice(start, min(start + rows, queries))
        if bias is not None:
            options["position_bias"] = bias[:, :, block]
        tile = mask.rows.tile_of(block)
        parts.append(
            sdpa_attention_forward(module, query[:, :, block], key, value, tile, **options)[0]
        )
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _weights(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    options: dict[str, Any],
    watch: tuple[str, ...],
) -> tuple[AttentionMap, bool]:
    """The map of what `sdpa` computes, and whether queries see earlier keys only."""
    query, key, value = query.detach(), key.detach(), value.detach()
    bias = options.get("position_bias")
    flag = options.get("is_causal")
    flag = getattr(module, "is_causal", True) if flag is None else flag
    by_flag = bool(flag) and mask is None and query.shape[2] > 1
    visible: Any = None
    if by_flag:
        # Queries and keys are aligned at the first: keys past the queries do not exist yet.
        key, value = key[:, :, : query.shape[2]], value[:, :, : query.shape[2]]
        bias = None if bias is None else bias[..., : query.shape[2]]
        visible = causal()
    elif isinstance(mask, LazyMask):
        visible = mask.rows
    elif mask is not None and mask.dtype == torch.bool:
        visible = mask
    elif mask is not None:
        visible = mask > torch.finfo(mask.dtype).min / 2
        added = torch.where(visible, mask, 0)
        bias = added if bias is None else bias + added
    scale = options.get("scaling")
    _, weights = attend(
        query,
        key,
        value,
        score=ScaledDot(scale),
        mask=visible,
        bias=None if bias is None else bias.detach(),
        watch=watch,
    )
    return weights, bool(flag)
