"""Which modules of a model compute attention, and whether they do it through `transformers`' interface.

A class is asked by the names that its methods use: one that looks up `ALL_ATTENTION_FUNCTIONS` hands
its queries and keys to a function that can be replaced; one that calls `softmax` itself does not.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator, Mapping
from types import CodeType, FunctionType
from typing import Any, NamedTuple

from torch import nn

__all__ = [
    "BEYOND_SDPA",
    "REASONS",
    "attention_modules",
    "goes_beyond_sdpa",
    "has_unsupported_options",
    "in_a_stack",
    "is_called_attention",
    "is_routed",
    "unknown_options",
]

_OWN_ATTENTION = re.compile(
    r"softmax|scaled_dot_product_attention|multi_head_attention_forward", re.IGNORECASE
)
_ATTENTION_CLASS = re.compile(r"att(?:ention|n)", re.IGNORECASE)

BEYOND_SDPA = frozenset(("softcap", "s_aux"))
"""Options that sdpa does not have and `regard.attend` does: a cap on the scores, and sinks of softmax."""

_MEASURED = frozenset(
    (
        "flint",
        "gemma2",
        "gpt_oss",
        "mimo_v2_flash",
        "openai_privacy_filter",
        "t5gemma",
        "vaultgemma",
    )
)
"""Families of which caps and sinks are known to be those of `attend` (`docs/coverage.md`).

Others may do more: Granite SWA scales its outputs beside weights without a sink, and DeepSeek V4 adds keys
under a mask that must hold floats. They are watched at the dispatcher.
"""

HONOURED = frozenset(("scaling", "dropout", "is_causal", "position_bias"))
"""Options of an attention function that the output and the map are computed with."""

WITHOUT_EFFECT = frozenset(
    (
        # The mask says the same; only flash attention reads them.
        *("sliding_window", "position_ids", "cache_position", "seq_idx", "deterministic"),
        *("cu_seq_lens_q", "cu_seq_lens_k", "cu_seqlens", "max_length_q", "max_length_k"),
        *("max_seqlen", "attention_mask", "token_type_ids", "mm_token_type_ids"),
        # Arguments of the model that it passes on to every layer.
        *("output_attentions", "output_hidden_states", "output_router_logits", "return_dict"),
        *("use_cache", "past_key_values", "past_key_value", "num_items_in_batch", "logits_to_keep"),
        *(
            "input_ids",
            "inputs_embeds",
            "labels",
            "position_embeddings",
            "interpolate_pos_encoding",
            "return_loss",
        ),
        *("grid_thw", "image_grid_thw"),
    )
)
"""Options of an attention function that change no weight where the mask is given."""

REASONS = {
    "softcap": "caps its scores",
    "s_aux": "adds sinks to its scores",
    "sinks": "adds sinks to its scores",
    "cache": "takes its keys from a paged cache",
    "indices": "attends to chosen keys only",
    "block_indices": "attends to chosen blocks of keys only",
}
"""What known options that are not supported do."""


def unknown_options(kind: type[nn.Module], options: Mapping[str, object]) -> list[str]:
    """Names of the options whose effect is neither computed nor known to be none.

    Args:
        kind: class of the attention module that passes them.
        options: of its attention function.
    """
    known = HONOURED | WITHOUT_EFFECT
    if goes_beyond_sdpa(kind):
        known |= BEYOND_SDPA
    return [name for name, value in options.items() if value is not None and name not in known]


def has_unsupported_options(part: nn.Module) -> bool:
    """Return whether a module passes its attention function an option that the fast path does not support.

    Read off its code, before it runs. A cap on scores that is not set is none.
    """
    given = _facts(type(part)).options
    if getattr(part, "attn_logit_softcapping", True) is None:
        given -= {"softcap"}
    return bool(given)


def goes_beyond_sdpa(kind: type[nn.Module]) -> bool:
    """Return whether a class passes its attention function a cap or sinks that `regard.attend` computes."""
    return _facts(kind).beyond_sdpa


def attention_modules(model: nn.Module) -> Iterator[tuple[str, nn.Module]]:
    """Names and modules inside a model that compute attention, with none that holds another of them."""
    found = {name: part for name, part in model.named_modules() if _facts(type(part)).attends}
    outer = {name.rsplit(".", n)[0] for name in found for n in range(1, name.count(".") + 1)}
    for name, part in found.items():
        if is_routed(type(part)) or (name not in outer and name != ""):
            yield name, part


def in_a_stack(name: str) -> bool:
    """Return whether a module is part of a list of layers, not a single one such as a pooling head."""
    return any(part.isdigit() for part in name.split("."))


class _Facts(NamedTuple):
    """What the names that a class uses say of it."""

    is_routed: bool
    attends: bool
    options: frozenset[str]  # of its attention function that are not supported
    beyond_sdpa: bool


_known: dict[Any, _Facts] = {}


def is_routed(kind: type[nn.Module]) -> bool:
    """Return whether the class looks up its attention function in `AttentionInterface`."""
    return _facts(kind).is_routed


def is_called_attention(kind: type[nn.Module]) -> bool:
    """Return whether the class has attention in its name, whatever it computes."""
    return _ATTENTION_CLASS.search(kind.__name__) is not None


def _facts(kind: type[nn.Module]) -> _Facts:
    if kind not in _known:
        names = set(_names(kind))
        routed = "ALL_ATTENTION_FUNCTIONS" in names
        own = is_called_attention(kind) and any(map(_OWN_ATTENTION.search, names))
        options = names & REASONS.keys()
        beyond = bool(names & BEYOND_SDPA) and _is_measured(kind)
        if beyond:
            options -= {*BEYOND_SDPA, "sinks"}  # the last is their parameter, passed on as `s_aux`
        _known[kind] = _Facts(routed, routed or own, frozenset(options), beyond)
    return _known[kind]


def _is_measured(kind: type[nn.Module]) -> bool:
    package, models, family, *_ = (*kind.__module__.split("."), "", "", "")
    return (package, models) == ("transformers", "models") and family in _MEASURED


def _names(kind: type[nn.Module]) -> Iterator[str]:
    """Global names and attributes that the methods of a class and of its bases use."""
    for base in kind.__mro__:
        if base in (nn.Module, object) or base.__module__ == "transformers.modeling_utils":
            continue
        for member in vars(base).values():
            function = inspect.unwrap(member) if callable(member) else None
            if isinstance(function, FunctionType):
                yield from _names_of_code(function.__code__)


def _names_of_code(code: CodeType) -> Iterator[str]:
    yield from code.co_names
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _names_of_code(constant)
        elif isinstance(constant, tuple):  # names of keyword arguments
            yield from (name for name in constant if isinstance(name, str))
