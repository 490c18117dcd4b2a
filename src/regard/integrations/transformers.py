"""Attention of any Hugging Face model, captured while it runs on its fast path.

`output_attentions=True` makes a model build the `queries x keys` matrix of every layer and keep them
all: at 16,384 tokens one layer of 12 heads takes 13 GB. `watch` leaves the model on
`scaled_dot_product_attention` and reads the queries and keys that are passed to it.

`transformers` looks up the attention of a layer by name in two registries: `AttentionInterface` holds
the attention functions, `AttentionMaskInterface` the functions that make their masks. A name that is
registered only in the first gets no mask at all, so a decoder silently attends to the future. `regard`
registers its name in both.
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
except ImportError as _error:
    raise MissingExtraError("regard.watch", "transformers") from _error

__all__ = ["watch"]

_NAME = "regard"
_MASK_BLOCK_BYTES = 32 * 2**20
"""Memory of the rows of a mask that are built and attended with at a time."""
_UNSUPPORTED_OPTIONS = ("softcap", "s_aux", "cache")
"""Options of an attention function that `scaled_dot_product_attention` cannot honour."""

_lock = threading.Lock()
_watched_modules: dict[int, Watched] = {}  # by the id of each module of a watched model


@contextlib.contextmanager
def watch(model: nn.Module, *, keep: Keep | None = None) -> Iterator[Watched]:
    """Capture the attention of every layer while the model runs inside the block.

    >>> import regard, torch, transformers
    >>> sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    >>> config = transformers.BertConfig(vocab_size=9, num_hidden_layers=1, **sizes)
    >>> model = transformers.BertModel(config)
    >>> with regard.watch(model) as seen:
    ...     output = model(torch.tensor([[1, 2, 3]]))
    >>> seen["encoder"][0].entropy.shape  # (batch, heads, queries)
    (1, 2, 3)

    Inside the block the model runs on `scaled_dot_product_attention`, whichever implementation it had
    before, and its output is equal up to rounding. Afterwards the model is restored, also after an
    error. Several models may be watched at once, also from several threads, but each model only once
    at a time.

    Args:
        model: a `transformers` model, or a module that contains one (a sentence encoder, say).
        keep: statistics to keep; `Keep()` by default.

    Yields:
        The attention captured so far; complete when the block ends.

    Raises:
        InputError: the model contains none of `transformers`, does not route its attention through
            `AttentionInterface`, changes its weights in a way that the fast path does not support, is
            being watched already, or ran without an attention call.
        RegardError: some query has NaN weights.
    """
    roots = _roots(model)
    _register()
    seen = Watched(model, keep or Keep())
    before = [(config, config._attn_implementation_internal) for config in _configs(roots)]
    module_ids = [id(part) for part in model.modules()]
    with _lock:
        if any(module in _watched_modules for module in module_ids):
            raise InputError("this model is being watched already; leave that block first")
        _watched_modules.update(dict.fromkeys(module_ids, seen))
    hooks = [
        part.register_forward_pre_hook(seen.on_forward_begin)
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
            for module in module_ids:
                del _watched_modules[module]


def _register() -> None:
    """Register attention and mask function; doing it again changes nothing."""
    with _lock:
        AttentionInterface.register(_NAME, _watched_attention)
        AttentionMaskInterface.register(_NAME, partial(lazy_mask, sdpa_mask))


def _roots(model: nn.Module) -> list[Any]:
    """Find the outermost `transformers` models inside, and check that they can be watched."""
    found = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    inner = {id(part) for root in found for part in root.modules() if part is not root}
    roots = [root for root in found if id(root) not in inner]
    if not roots:
        raise InputError(
            f"{type(model).__name__} contains no transformers model; expected a PreTrainedModel or a "
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
    """Collect every config that names an attention implementation, each once."""
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


def _watched_attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, None]:
    """Compute what `sdpa` computes and capture the attention map; an `AttentionInterface` function."""
    for name in _UNSUPPORTED_OPTIONS:
        if options.get(name) is not None:
            raise InputError(
                f"{type(module).__name__} attends with {name!r}, which the fast path does not support; "
                "this model cannot be watched"
            )
    output = _sdpa(module, query, key, value, attention_mask, **options)
    seen = _watched_modules.get(id(module))
    if seen is None:
        raise InputError(
            f"{type(module).__name__} runs on 'regard' attention outside regard.watch; models are "
            "watched by `with regard.watch(model):`, not by attn_implementation"
        )
    is_causal = _is_causal(module, options)
    with torch.no_grad():
        weights = _attention_map(
            query, key, value, attention_mask, options, is_causal, seen.keep.statistics
        )
        first_key = attention_mask.first_key if isinstance(attention_mask, LazyMask) else 0
        seen.add_call(module, weights, causal=is_causal, first_key=first_key)
    return output, None


def _sdpa(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    **options: Any,
) -> Tensor:
    """Compute the output `(batch, queries, heads, values)`; with a lazy mask, block by block."""
    if not isinstance(mask, LazyMask):
        output: Tensor = sdpa_attention_forward(module, query, key, value, mask, **options)[0]
        return output
    batch, _, queries, keys = mask.shape
    # A Boolean mask becomes float32 inside the function.
    rows = max(1, _MASK_BLOCK_BYTES // (4 * batch * keys))
    bias = options.pop("position_bias", None)
    parts = []
    for start in range(0, queries, rows):
        block = slice(start, min(start + rows, queries))
        if bias is not None:
            options["position_bias"] = bias[:, :, block]
        tile = mask.row_mask.build_rows(block)
        parts.append(
            sdpa_attention_forward(module, query[:, :, block], key, value, tile, **options)[0]
        )
    return parts[0] if len(parts) == 1 else torch.cat(parts, 1)


def _is_causal(module: nn.Module, options: dict[str, Any]) -> bool:
    """Return whether queries see only earlier keys: the option, or else the module's attribute."""
    option = options.get("is_causal")
    return bool(getattr(module, "is_causal", True) if option is None else option)


def _attention_map(
    query: Tensor,
    key: Tensor,
    value: Tensor,
    mask: Tensor | None,
    options: dict[str, Any],
    is_causal: bool,
    statistics: tuple[str, ...],
) -> AttentionMap:
    """Compute the map of the attention that `sdpa` computes, with these statistics."""
    query, key, value = query.detach(), key.detach(), value.detach()
    bias = options.get("position_bias")
    visible: Any = None
    if is_causal and mask is None and query.shape[2] > 1:
        # sdpa aligns the first query with the first key: keys past the queries do not exist yet.
        key, value = key[:, :, : query.shape[2]], value[:, :, : query.shape[2]]
        bias = None if bias is None else bias[..., : query.shape[2]]
        visible = causal()
    elif isinstance(mask, LazyMask):
        visible = mask.row_mask
    elif mask is not None and mask.dtype == torch.bool:
        visible = mask
    elif mask is not None:
        # An additive mask: very low values exclude keys, the others are a bias.
        visible = mask > torch.finfo(mask.dtype).min / 2
        added = torch.where(visible, mask, 0)
        bias = added if bias is None else bias + added
    _, weights = attend(
        query,
        key,
        value,
        score=ScaledDot(options.get("scaling")),
        mask=visible,
        bias=None if bias is None else bias.detach(),
        watch=statistics,
    )
    return weights
