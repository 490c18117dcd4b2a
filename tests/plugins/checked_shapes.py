"""A pytest plugin: every signature that names axes is checked whenever a test calls it.

    PYTHONPATH=tests/plugins pytest -p checked_shapes tests/attention

Tests marked `unchecked` are left out: they pass wrong shapes on purpose, compile what they call, or nest.
"""

from __future__ import annotations

from typing import Any, Self

import pytest
from beartype import BeartypeConf, FrozenDict, beartype
from jaxtyping import install_import_hook

ARRAYS = (
    *("arrays", "attend", "indexing", "layout", "map", "masks", "normalizers", "pooling"),
    *("positions", "problem", "random", "rollout", "scores", "worked"),
)
#: Modules whose signatures name axes, but for the kernels, which torch reads itself.
CHECKED = ["regard.decoding.hypothesis", *(f"regard.attention.{name}" for name in ARRAYS)]

#: An int will do for a float, and anything for `Self`, which is known on whole classes only.
check = beartype(
    conf=BeartypeConf(is_pep484_tower=True, hint_overrides=FrozenDict({Self: Any})),
)
install_import_hook(CHECKED, "checked_shapes.check")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out what cannot be checked."""
    unchecked = [item for item in items if item.get_closest_marker("unchecked")]
    items[:] = [item for item in items if item not in unchecked]
    config.hook.pytest_deselected(items=unchecked)
