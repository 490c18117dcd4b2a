"""Generation of `transformers` as `watch` follows it: beams by their ancestry, drafts that were rejected.

`generate` hands back the finished hypotheses only. The loops inside it know which row of the batch wrote
each token (`beam_indices`), and they are asked for it while some model is watched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

from transformers.generation.utils import GenerationMixin

from regard.integrations.registry import watcher_of

__all__ = ["generation_followed"]

_LOOPS = ("_sample", "_beam_search", "_assisted_decoding")


_lock = threading.Lock()
_originals: dict[str, Any] = {}
_users = 0


@contextmanager
def generation_followed() -> Iterator[None]:
    """Context in which the loops of `generate` report to what their models are watched by."""
    global _users
    with _lock:
        _users += 1
        if _users == 1:
            for name in _LOOPS:
                if (original := vars(GenerationMixin).get(name)) is not None:
                    _originals[name] = original
                    setattr(GenerationMixin, name, _following(original, name))
    try:
        yield
    finally:
        with _lock:
            _users -= 1
            if not _users:
                for name, original in _originals.items():
                    setattr(GenerationMixin, name, original)
                _originals.clear()


def _following(original: Callable[..., Any], name: str) -> Callable[..., Any]:
    @wraps(original)
    def loop(model: Any, *args: Any, **options: Any) -> Any:
        seen = watcher_of(model)
        if seen is None:
            return original(model, *args, **options)
        with seen.searching(model) as search:
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
