"""Roles of the arguments of attention, told by their names."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

from regard.errors import InputError

__all__ = ["Argument", "MaskArgument", "Role", "Signature", "read_signature"]

Role: TypeAlias = Literal["query", "key", "value", "memory", "sequence", "target"]
"""What an argument is: `memory` is key and value at once, `sequence` attends to itself, and `target`
attends to itself and perhaps to a memory or sequence beside it."""

_ROLES: dict[str, Role] = {
    **dict.fromkeys(("query", "q", "queries", "query_states", "decoder_hidden", "decoder_state",
                     "decoder_output", "decoder_outputs", "decoder_hidden_state", "dec_hidden", "dec_state",
                     "hidden", "hidden_state", "state", "s", "s_prev", "h_t", "last_hidden"), "query"),
    **dict.fromkeys(("key", "k", "keys"), "key"),
    **dict.fromkeys(("value", "v", "values"), "value"),
    **dict.fromkeys(("memory", "encoder_output", "encoder_outputs", "encoder_out", "enc_output",
                     "enc_outputs", "enc_out", "encoder_states", "encoder_hidden_states", "enc_states",
                     "annotations", "context", "source_states"), "memory"),
    **dict.fromkeys(("x", "input", "inputs", "src", "source", "hidden_states", "sequence", "embedded",
                     "embeddings", "input_ids", "ids", "tokens", "token_ids", "idx", "words", "text",
                     "rnn_output", "gru_output", "lstm_output", "outputs", "features", "data"), "sequence"),
    **dict.fromkeys(("tgt", "target", "trg", "targets", "decoder_input_ids", "decoder_input",
                     "decoder_inputs", "target_ids", "y"), "target"),
}  # fmt: skip
_HIDING = ("key_padding_mask", "src_key_padding_mask", "memory_key_padding_mask", "pad_mask")
"""Masks whose True hides, as in torch."""
_MASKS = (*_HIDING, "mask", "attention_mask", "attn_mask", "padding_mask", "key_mask", "value_mask",
          "source_mask", "src_mask", "input_mask", "memory_mask")  # fmt: skip
_LENGTHS = ("lengths", "source_lengths", "src_lengths", "input_lengths", "valid_lens", "valid_length",
            "src_len", "lens")  # fmt: skip
_WANTED = {"return_attention_scores": True, "need_weights": True, "average_attn_weights": False,
           "return_attention": True, "return_weights": True, "return_attn": True}  # fmt: skip
"""Flags that make a layer return its weights."""


@dataclass(frozen=True)
class Argument:
    """An argument that holds vectors or token ids."""

    name: str
    role: Role


@dataclass(frozen=True)
class MaskArgument:
    """The argument that says which positions are real.

    Attributes:
        name: of the argument.
        lengths: whether it takes a number of real positions for each example.
        hides: whether True hides a position.
        beside: arguments that take the same mask, such as that of the memory in torch's Transformer.
    """

    name: str
    lengths: bool
    hides: bool
    beside: tuple[str, ...] = ()


@dataclass(frozen=True)
class Signature:
    """How a layer, model or function is called.

    Attributes:
        arguments: those with vectors or ids, in order.
        mask: the argument of a mask or of lengths, if there is one.
        mask_required: whether a call needs it.
        flags: arguments that make the layer return its weights.
        positional: whether arguments are passed in order rather than by name.
    """

    arguments: tuple[Argument, ...]
    mask: MaskArgument | None
    mask_required: bool
    flags: dict[str, Any]
    positional: bool = False


def read_signature(
    call: Callable[..., Any], name: str, *, given: Sequence[str] | int, hides: bool | None
) -> Signature:
    """Find out what the arguments of a call are.

    Args:
        call: the function, or the `forward` or `call` of a layer.
        name: of the thing, for errors.
        given: names of the example's arguments, or how many it has in order.
        hides: whether True hides, if the user says so.

    Raises:
        InputError: a required argument whose name says nothing.
    """
    kinds = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)
    try:
        found = inspect.signature(call).parameters.values()
    except (TypeError, ValueError):  # compiled functions, such as F.scaled_dot_product_attention
        found = inspect.signature(_attend_like).parameters.values()
    parameters = [p for p in found if p.kind not in kinds]
    names = {p.name: p.name.lower().strip("_") for p in parameters}
    required = [p.name for p in parameters if p.default is inspect.Parameter.empty]
    mask = next((n for wanted in (*_MASKS, *_LENGTHS) for n in names if names[n] == wanted), None)
    chosen = _chosen(names, required, given)
    roles = _roles([names[n] for n in chosen])
    if unknown := [n for n, role in zip(chosen, roles, strict=True) if role is None]:
        guessed = _by_count(len(chosen)) if len(unknown) == len(chosen) else None
        if guessed is None:
            raise InputError(
                f"{name} takes {', '.join(required)}, and check cannot tell what {unknown[0]} is; wrap it in "
                "a function whose arguments are named query, key, value and mask, or sequence and mask, "
                "as in regard.check(lambda query, key, value, mask: layer(...))"
            )
        roles = guessed
    arguments = tuple(Argument(n, role) for n, role in zip(chosen, roles, strict=True) if role)
    flags = {n: _WANTED[names[n]] for n in names if names[n] in _WANTED}
    argument = None
    if mask is not None:
        argument = MaskArgument(
            mask,
            names[mask] in _LENGTHS,
            names[mask] in _HIDING if hides is None else hides,
            tuple(n for n in ("memory_key_padding_mask",) if n in names and n != mask),
        )
    return Signature(arguments, argument, mask in required, flags)


def _attend_like(query: Any, key: Any, value: Any, attn_mask: Any = None) -> None:
    """Signature of compiled functions, which have none that Python can read."""


def _chosen(names: dict[str, str], required: list[str], given: Sequence[str] | int) -> list[str]:
    """Names of the arguments that get vectors or ids."""
    vectors = [n for n in names if names[n] not in (*_MASKS, *_LENGTHS)]
    if isinstance(given, int):
        if given:
            return vectors[:given]
    else:
        return [n for n in vectors if n in given and (names[n] in _ROLES or len(given) <= 3)]
    chosen = [n for n in vectors if n in required]
    known = {names[n]: n for n in vectors if names[n] in _ROLES}
    if not chosen and "input_ids" in known:  # models of transformers: all arguments are optional
        return [known["input_ids"], *filter(None, [known.get("decoder_input_ids")])]
    if not chosen:
        return list(known.values())[:3]
    optional = [n for n in vectors if names[n] in ("key", "value", "k", "v") and n not in chosen]
    return [n for n in vectors if n in (*chosen, *optional)]


def _roles(names: list[str]) -> list[Role | None]:
    """Role of each name, seen beside the others."""
    roles: list[Role | None] = [_ROLES.get(n) for n in names]
    if "key" not in roles:
        roles = ["memory" if role == "value" else role for role in roles]
    if not {"key", "memory", "sequence"} & set(roles):
        roles = ["sequence" if role in ("query", "target") else role for role in roles]
    asking = {"query", "target"} & set(roles)
    if "memory" in roles and not asking:
        roles = [("target" if role == "sequence" else role) for role in roles]
        if "target" not in roles:
            roles = ["sequence" if role == "memory" else role for role in roles]
    if "query" in roles and "sequence" in roles:
        roles = ["memory" if role == "sequence" else role for role in roles]
    if roles.count("sequence") == 2:
        first = roles.index("sequence")
        roles = [
            "query" if i == first else "memory" if r == "sequence" else r
            for i, r in enumerate(roles)
        ]
    return roles


def _by_count(count: int) -> list[Role | None] | None:
    orders: dict[int, list[Role | None]] = {
        1: ["sequence"],
        2: ["query", "memory"],
        3: ["query", "key", "value"],
    }
    return orders.get(count)
