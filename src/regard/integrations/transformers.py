"""Attention of any Hugging Face model, captured while it runs on its fast path.

`output_attentions=True` makes a model build the `queries x keys` matrix of every layer and keep them
all: at 16,384 tokens one layer of 12 heads takes 13 GB. `watch` leaves the model on
`scaled_dot_product_attention` and reads the queries and keys that are passed to it.

`transformers` looks up the attention of a layer by name in two registries: `AttentionInterface` holds
the attention functions, `AttentionMaskInterface` the functions that make their masks. While a model is
watched, `regard` stands at the name `"sdpa"` in both, for that model alone: some models do more under
that name than under one they do not know (DeepSeek puts its sparse choice of keys into the mask), and a
name that is registered only in the first gets no mask at all.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from regard.errors import InputError, MissingExtraError
from regard.integrations.attention_modules import (
    BEYOND_SDPA,
    REASONS,
    attention_modules,
    goes_beyond_sdpa,
    has_unsupported_options,
    is_called_attention,
    is_routed,
    unknown_options,
)
from regard.integrations.captured import Keep
from regard.integrations.interface_call import InterfaceCall
from regard.integrations.knockout import steered_attention, steered_mask, steering_of
from regard.integrations.lazy_mask import LazyMask, lazy_mask
from regard.integrations.registry import module_of, registered
from regard.integrations.watched import Watched

try:
    from transformers import (
        AttentionInterface,
        AttentionMaskInterface,
        PreTrainedConfig,
        PreTrainedModel,
    )
    from transformers.integrations.sdpa_attention import sdpa_attention_forward
    from transformers.masking_utils import sdpa_mask

    from regard.integrations.forward_passes import follow_forward_passes, in_backward
    from regard.integrations.generation import generation_followed
except ImportError as _error:
    raise MissingExtraError("regard.watch", "transformers") from _error

__all__ = ["fits_interface", "is_watched", "watch_interface"]

_NAME = "sdpa"
_MASK_BLOCK_BYTES = 32 * 2**20
"""Memory of the rows of a mask that are built and attended with at a time."""

_lock = threading.Lock()
_watched_modules: dict[int, Watched] = {}  # by the id of each module of a watched model
_watched_configs: dict[int, int] = {}  # how many watched models have the config of this id
_replaced: dict[str, Any] = {}  # what stands at "sdpa" in the registries otherwise


@contextlib.contextmanager
def watch_interface(model: Any, *, keep: Keep | None = None) -> Iterator[Watched]:
    """Capture the attention that a model routes through `AttentionInterface`; see `regard.watch`.

    Raises:
        InputError: the model contains none of `transformers`, has no attention, does not route it
            through `AttentionInterface`, changes its weights in a way that the fast path does not
            support, is being watched already, or ran without an attention call.
        RegardError: some query has NaN weights.
    """
    module = module_of(model)
    roots = _roots(module)
    seen = Watched(module, keep or Keep())
    with contextlib.ExitStack() as undo:
        _stand_at_sdpa(module, roots, seen, undo)
        for root in roots:
            follow_forward_passes(root, seen, undo)
            _follow_attention_modules(root, seen, undo)
        yield seen
        seen.finish()


def is_watched(model: nn.Module) -> bool:
    """Return whether a model is inside a block of `watch`."""
    return id(model) in _watched_modules


def fits_interface(model: nn.Module) -> bool:
    """Return whether all attention of a model can be watched at `AttentionInterface`.

    Of a model of `transformers` without attention this is true: that it has none is said there.
    """
    inside = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    if inside and not any(is_called_attention(type(part)) for part in model.modules()):
        return not any(True for _ in attention_modules(model))
    try:
        roots = _roots(model)
    except InputError:
        return False
    parts = [part for root in roots for _, part in attention_modules(root)]
    return all(is_routed(type(part)) and not has_unsupported_options(part) for part in parts)


def _stand_at_sdpa(
    model: nn.Module, roots: list[PreTrainedModel], seen: Watched, undo: contextlib.ExitStack
) -> None:
    """Send the attention of these models to the functions here."""
    configs = _configs(roots)
    undo.enter_context(registered(model, seen))
    undo.enter_context(generation_followed())
    module_ids = [id(part) for part in model.modules()]
    with _lock:
        if not _watched_modules:
            _install()
        _watched_modules.update(dict.fromkeys(module_ids, seen))
        for config in configs:
            _watched_configs[id(config)] = _watched_configs.get(id(config), 0) + 1

    def leave() -> None:
        with _lock:
            for module in module_ids:
                del _watched_modules[module]
            for config in configs:
                _watched_configs[id(config)] -= 1
                if not _watched_configs[id(config)]:
                    del _watched_configs[id(config)]
            if not _watched_modules:
                _uninstall()

    undo.callback(leave)
    for config in configs:
        before = config._attn_implementation_internal
        undo.callback(setattr, config, "_attn_implementation_internal", before)
        config._attn_implementation_internal = _NAME


def _install() -> None:
    """Stand at the name `"sdpa"` in both registries."""
    for registry, own in ((AttentionInterface, _attention), (AttentionMaskInterface, _mask)):
        _replaced[registry.__name__] = registry._global_mapping[_NAME]
        registry.register(_NAME, own)
    if _replaced["AttentionInterface"] is not sdpa_attention_forward:
        other = _replaced["AttentionInterface"]
        _uninstall()
        raise InputError(
            f"another function, {getattr(other, '__qualname__', other)!r}, is registered as 'sdpa' in "
            "AttentionInterface, and what it computes is not known; register it by another name"
        )


def _uninstall() -> None:
    for registry in (AttentionInterface, AttentionMaskInterface):
        registry.register(_NAME, _replaced.pop(registry.__name__))


def _roots(model: nn.Module) -> list[PreTrainedModel]:
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
        if (reason := _why_not(root)) is not None:
            raise InputError(reason)
    return roots


def _why_not(root: PreTrainedModel) -> str | None:
    """Say why the attention of a model cannot be watched here, if it cannot."""
    name = type(root).__name__
    parts = dict(attention_modules(root)) or {
        module: part for module, part in root.named_modules() if is_called_attention(type(part))
    }
    if not parts:
        return f"{name} has no attention, so there is nothing to watch"
    if not any(is_routed(type(part)) for part in parts.values()):
        module, part = next(iter(parts.items()))
        return (
            f"{name} does not route its attention through AttentionInterface ({module}, a "
            f"{type(part).__name__}, computes it by itself), so it cannot be watched there; try "
            'regard.watch(model, way="dispatcher")'
        )
    for part in root.modules():
        if "Merged" in type(part).__name__ and is_routed(type(part)):
            return (
                f"{name} attends to its own tokens and to the source's in one softmax "
                f"({type(part).__name__}), which is neither self- nor cross-attention"
            )
        is_slow = isinstance(part, PreTrainedModel) and not part._supports_sdpa
        routed = [type(inner) for inner in part.modules() if is_routed(type(inner))]
        # Where each passes a cap or sinks, these are why: `attend` computes both.
        if is_slow and not all(map(goes_beyond_sdpa, routed)):
            return (
                f"{type(part).__name__} does not run on scaled_dot_product_attention (it changes its "
                "weights in a way that has no fast path); try "
                'regard.watch(model, way="dispatcher")'
            )
    return None


def _configs(roots: list[PreTrainedModel]) -> list[Any]:
    """Collect every config that names an attention implementation, each once.

    Layers of a composed model may hold another object than the model does.
    """
    found: dict[int, Any] = {}

    def add(config: Any) -> None:
        if id(config) not in found:
            found[id(config)] = config
            for name in config.sub_configs:
                if isinstance(inner := getattr(config, name, None), PreTrainedConfig):
                    add(inner)

    for root in roots:
        for part in root.modules():
            if isinstance(config := getattr(part, "config", None), PreTrainedConfig):
                add(config)
    return list(found.values())


def _follow_attention_modules(
    root: PreTrainedModel, seen: Watched, undo: contextlib.ExitStack
) -> None:
    """Report the calls of the attention modules inside a model."""
    for _, part in attention_modules(root):
        for hook in (
            part.register_forward_pre_hook(lambda module, _: seen.begin_module(module)),
            part.register_forward_hook(lambda module, *_: seen.end_module(module)),
        ):
            undo.callback(hook.remove)


def _mask(*args: Any, config: Any = None, **options: Any) -> Tensor | None:
    """Make the mask of a watched model, to be built row by row; an `AttentionMaskInterface` function."""
    if args or id(config) not in _watched_configs:
        original = _replaced.get("AttentionMaskInterface", sdpa_mask)
        mask: Tensor | None = original(*args, config=config, **options)
        return mask
    return lazy_mask(sdpa_mask, config=config, **options)


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, Tensor | None]:
    """Compute what `sdpa` computes and capture the attention map; an `AttentionInterface` function."""
    seen = _watched_modules.get(id(module))
    if seen is None:
        plain: Tensor = sdpa_attention_forward(
            module, query, key, value, attention_mask, **options
        )[0]
        return plain, None
    if unknown := unknown_options(type(module), options):
        name = unknown[0]
        raise InputError(
            f"{type(module).__name__} attends with {name!r}, which the fast path does not support"
            + (f" (it {REASONS[name]})" if name in REASONS else "")
            + '; try regard.watch(model, way="dispatcher")'
        )
    output: Tensor | None = None
    counts = not (in_backward() or seen.is_repeated(query, key))
    if (layer := steering_of(module)) is not None:
        attention_mask = steered_mask(layer, module, query, key, attention_mask, options)
        output, _ = steered_attention(module, query, key, value, attention_mask, options)
        options.pop("position_bias", None)  # a part of that mask
    weights = None
    if counts:
        call = InterfaceCall(module, query, key, value, attention_mask, options, seen)
        weights = call.weights() if seen.run is not None and seen.run.wants_weights else None
        seen.add_call(module, call.captured, causal=call.is_causal, dense=call.dense)
        output = call.output if output is None else output
    if output is None and any(options.get(name) is not None for name in BEYOND_SDPA):
        call = InterfaceCall(module, query, key, value, attention_mask, options, seen)
        output = call.attended(float(options.get("dropout") or 0.0))
    if output is None:
        output = _sdpa(module, query, key, value, attention_mask, **options)
    return output, weights


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
