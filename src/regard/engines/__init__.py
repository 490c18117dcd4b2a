"""Engines: where the shards of a corpus are worked on, other than in this process.

A shard is what is read together anyway (256 lines of text, a batch of a test part), so that an engine computes
the very numbers that one process does. Nothing here knows what a shard is, or what is done to it.
"""

from __future__ import annotations

from regard.choices import EngineName
from regard.engines.contracts import Done, Each, Engine, Here, Work
from regard.engines.ray_engine import RayEngine

__all__ = ["Done", "Each", "Engine", "Here", "RayEngine", "Work", "engine_named"]


def engine_named(name: EngineName | None) -> RayEngine | None:
    """The engine that a user names; `None` for this process.

    Raises:
        MissingExtraError: its package is not installed.
    """
    return None if name is None else RayEngine()
