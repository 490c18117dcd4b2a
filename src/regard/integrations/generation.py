"""Generation of `transformers` as `watch` follows it: beams by their ancestry, drafts that were rejected.

`generate` hands back the finished hypotheses only. The loops inside it know which row of the batch wrote
each token (`beam_indices`), and they are asked for it while some model is watched.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from transformers.generation.utils import GenerationMixin

from regard.integrations.watched import Watched

__all__ = ["GenerationLoops"]

_LOOPS = ("_sample", "_beam_search", "_assisted_decoding")


class GenerationLoops:
    """The loops of `generate`, replaced while models are watched by ones that report to them.

    Args:
        watched: finds what a model is watched by, `None` where it is not.
    """

    def __init__(self, watched: Callable[[Any], Watched | None]) -> None:
        self._watched = watched
        self._originals: dict[str, Any] = {}

    def install(self) -> None:
        """Replace the loops."""
        for name in _LOOPS:
            original = vars(GenerationMixin).get(name)
            if original is not None:
                self._originals[name] = original
                setattr(GenerationMixin, name, self._following(original, name))

    def remove(self) -> None:
        """Restore the loops."""
        for name, original in self._originals.items():
            setattr(GenerationMixin, name, original)
        self._originals.clear()

    def _following(self, original: Callable[..., Any], name: str) -> Callable[..., Any]:
        @wraps(original)
        def loop(model: Any, *args: Any, **options: Any) -> Any:
            seen = self._watched(model)
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
