"""What a folder says of generation, in the words of our decoding."""

from __future__ import annotations

import warnings
from typing import Any

from regard.integrations.pretrained.folder import Loaded

__all__ = ["decoding_values", "end_ids", "forbidden_ids", "forced_first"]

_IGNORED: dict[str, Any] = {
    "repetition_penalty": 1.0,
    "encoder_repetition_penalty": 1.0,
    "encoder_no_repeat_ngram_size": 0,
    "num_beam_groups": 1,
    "diversity_penalty": 0.0,
    "penalty_alpha": 0.0,
    "min_p": None,
    "typical_p": 1.0,
    "epsilon_cutoff": 0.0,
    "eta_cutoff": 0.0,
    "sequence_bias": None,
    "exponential_decay_length_penalty": None,
    "guidance_scale": None,
}
"""Settings that change what is written and have no counterpart here, with the values that change nothing."""


def end_ids(loaded: Loaded) -> tuple[int, ...]:
    """Ids that end a text."""
    given = loaded.model.generation_config.eos_token_id
    if given is None:
        given = loaded.tokenizer.eos_token_id
    if given is None:
        return ()
    return tuple(map(int, given)) if isinstance(given, list | tuple) else (int(given),)


def forced_first(loaded: Loaded) -> tuple[int, ...]:
    """The id that every answer begins with after the start token: a language code, or `<s>` of BART."""
    forced = loaded.model.generation_config.forced_bos_token_id
    return () if forced is None else (int(forced),)


def forbidden_ids(loaded: Loaded) -> list[int]:
    """Ids that are never written."""
    config = loaded.model.generation_config
    single = [words[0] for words in config.bad_words_ids or [] if len(words) == 1]
    return sorted({*map(int, single), *map(int, config.suppress_tokens or [])})


def decoding_values(loaded: Loaded) -> dict[str, Any]:
    """Settings of decoding that the folder's generation settings have a counterpart for.

    Of a model that continues texts, sampling is the default as for our own. A warning names what has no
    counterpart.
    """
    given: dict[str, Any] = loaded.model.generation_config.to_diff_dict()
    for name, idle in _IGNORED.items():
        if given.get(name, idle) not in (idle, None):
            warnings.warn(
                f"{loaded.folder}: its generation settings ask for {name}={given[name]!r}, which regard's "
                "decoding does not have; texts will differ from those of transformers",
                stacklevel=2,
            )
    values: dict[str, Any] = {}
    names = {
        "no_repeat_ngram_size": "block_ngrams",
        "length_penalty": "length_penalty",
        "min_new_tokens": "min_length",
        "max_new_tokens": "max_length",
    }
    values |= {
        ours: given[theirs] for theirs, ours in names.items() if given.get(theirs) is not None
    }
    if loaded.use == "language":
        values |= {"method": "sample", "top_p": 0.95}
        values.setdefault("max_length", min(100, (loaded.positions or 200) // 2))
        if given.get("do_sample"):
            drawn = {name: given.get(name) for name in ("temperature", "top_k", "top_p")}
            values |= {name: value for name, value in drawn.items() if value is not None}
        return values
    # They count the start token too, and the end where it is forced.
    counted = 1 + (given.get("forced_eos_token_id") is not None)
    for name in ("max_length", "min_length"):
        if given.get(name):
            values.setdefault(name, max(1, int(given[name]) - counted))
    beam = int(given.get("num_beams") or 1)
    return {**values, "method": "beam" if beam > 1 else "greedy", "beam": beam}
