"""Generation of `transformers` as `watch` follows it: beams by their ancestry, drafts that were rejected.

`generate` hands back the finished hypotheses only. The loops inside it know which row of the batch wrote
each token (`beam_indices`), and they are asked for it while some model is watched. A loop of somebody's own
reorders its cache, which is followed too.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

import numpy as np
from transformers import Cache, EncoderDecoderCache
from transformers.generation.utils import GenerationMixin

from regard.integrations.registry import watched_by, watchers

__all__ = ["generation_followed"]

_LOOPS = ("_sample", "_beam_search", "_assisted_decoding")
_REARRANGEMENTS = ("reorder_cache", "batch_select_indices", "batch_repeat_interleave")
"""Methods of a cache that change the examples of its batch."""

_lock = threading.Lock()
_originals: dict[tuple[type, str], Any] = {}
_users = 0


@contextmanager
def generation_followed() -> Iterator[None]:
    """Context in which the loops of `generate` report to what their models are watched by."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            for name in _LOOPS:
                _replace(GenerationMixin, name, _following)
            for name in _REARRANGEMENTS:
                for kind in (Cache, EncoderDecoderCache):
                    _replace(kind, name, _rearranging)
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                for (owner, name), original in _originals.items():
                    setattr(owner, name, original)
                _originals.clear()


def _replace(kind: type, name: str, wrap: Callable[[Callable[..., Any], str], Any]) -> None:
    if (original := vars(kind).get(name)) is not None:
        _originals[kind, name] = original
        setattr(kind, name, wrap(original, name))


def _rearranging(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    """Make a method of a cache report how it changes the batch."""

    @wraps(original)
    def rearrange(cache: Any, change: Any) -> Any:
        answer = original(cache, change)

        def rows(batch: int) -> Any:
            if name == "batch_repeat_interleave":
                return np.arange(batch).repeat(int(change))
            return np.arange(batch)[change.tolist() if hasattr(change, "tolist") else change]

        for seen in watchers():
            seen.rearrange(cache, rows)
        return answer

    return rearrange


def _following(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(original)
    def loop(model: Any, *args: Any, **options: Any) -> Any:
        seen = watched_by(model)
        if seen is None:
            return original(model, *args, **options)
        with seen.searching(model) as search:
            search.has_beams = name == "_beam_search"
            if name == "_sample":
                return original(model, *args, **options)
            config = options.get("generation_config")
            if config is None:
                config = next(arg for arg in args if hasattr(arg, "return_dict_in_generate"))
            wants_dict = config.return_dict_in_generate
            config.return_dict_in_generate = True
            try:
                answer = original(model, *args, **options)
            finally:
                config.return_dict_in_generate = wants_dict
        if name == "_beam_search":
            seen.follow(search, answer.beam_indices.cpu().numpy())
        else:
            seen.cut(search, answer.sequences.shape[1] - 1)
        return answer if wants_dict else answer.sequences

    return loop
