"""The steps of attention as one HTML file whose numbers can be changed."""

from __future__ import annotations

from collections.abc import Sequence
from os import PathLike
from pathlib import Path
from string import Template
from typing import Any, Literal, Protocol, TypeAlias, get_args

import numpy as np

from regard.errors import InputError, SettingsError, ShapeError, nearest
from regard.files import atomic_write
from regard.viewing.page import asset, digest, inert, script, style
from regard.viewing.printable import printable

__all__ = ["Inputs", "NormalizerName", "ScoreName", "save_steps", "steps_html"]

ScoreName: TypeAlias = Literal["scaled dot", "scaled dot, capped at 2", "dot", "cosine", "additive"]
"""Scores that the page computes; `additive` is the sum of `tanh(q + k)`, with ones for its vector."""
NormalizerName: TypeAlias = Literal[
    "softmax", "softmax with a sink", "sparsemax", "entmax 1.25", "entmax 1.5", "sigmoid", "hard"
]
"""Normalisers that the page computes; the sink is one more score of 0."""

_BASE = "html, body { margin: 0; }\n"


class Inputs(Protocol):
    """Queries, keys and values with names, as `regard.worked` returns them."""

    @property
    def query(self) -> Any:
        """`(queries, features)`."""
        ...

    @property
    def key(self) -> Any:
        """`(keys, features)`."""
        ...

    @property
    def value(self) -> Any:
        """`(keys, values)`."""
        ...

    @property
    def query_labels(self) -> Sequence[str]:
        """A name for each query."""
        ...

    @property
    def key_labels(self) -> Sequence[str]:
        """A name for each key."""
        ...


def save_steps(
    path: str | PathLike[str],
    inputs: Inputs,
    *,
    mask: Any = None,
    score: ScoreName = "scaled dot",
    normalizer: NormalizerName = "softmax",
) -> Path:
    """Write the page of `steps_html` to a file, whole or not at all.

    Args:
        path: of the HTML file.
        inputs: queries, keys and values, as `regard.worked` returns them.
        mask: `(queries, keys)` Booleans, `True` = may attend; everything unless given.
        score: the score that the page begins with.
        normalizer: the normaliser that the page begins with.

    Returns:
        The path.

    Raises:
        SettingsError: a score or normaliser that the page does not know.
        ShapeError: a mask of another shape.
        InputError: numbers that are NaN or infinite.
    """
    content = steps_html(inputs, mask=mask, score=score, normalizer=normalizer)
    with atomic_write(Path(path)) as unfinished:
        unfinished.write_text(content, encoding="utf-8")
    return Path(path)


def steps_html(
    inputs: Inputs,
    *,
    mask: Any = None,
    score: ScoreName = "scaled dot",
    normalizer: NormalizerName = "softmax",
) -> str:
    """Return the steps of attention as a page that computes them anew when a number is changed.

    It needs nothing else: no network and no Python. Every field has a name for screen readers, all can be
    reached by the keyboard, and the output is announced when it changes.

    Args:
        inputs: queries, keys and values, as `regard.worked` returns them.
        mask: `(queries, keys)` Booleans, `True` = may attend; everything unless given.
        score: the score that the page begins with.
        normalizer: the normaliser that the page begins with.

    Raises:
        SettingsError: a score or normaliser that the page does not know.
        ShapeError: a mask of another shape.
        InputError: numbers that are NaN or infinite.
    """
    for name, chosen, names in (
        ("score", score, get_args(ScoreName)),
        ("normalizer", normalizer, get_args(NormalizerName)),
    ):
        if chosen not in names:
            raise SettingsError(f"{name} is {chosen!r}; {nearest(str(chosen), names)}")
    numbers = {name: np.asarray(getattr(inputs, name), float) for name in ("query", "key", "value")}
    for name, array in numbers.items():
        if not np.isfinite(array).all():
            raise InputError(f"{name} holds NaN or infinity, which the page cannot compute with")
    shape = len(numbers["query"]), len(numbers["key"])
    allowed = np.ones(shape, bool) if mask is None else np.asarray(mask, bool)
    if allowed.shape != shape:
        raise ShapeError(f"mask has shape {allowed.shape}; expected (queries, keys) = {shape}")
    problem = {
        **{name: array.tolist() for name, array in numbers.items()},
        "mask": allowed.tolist(),
        "queries": [printable(name) for name in inputs.query_labels],
        "keys": [printable(name) for name in inputs.key_labels],
        "score": score,
        "normalizer": normalizer,
    }
    code, css = script("steps_page"), _BASE + style() + asset("steps.css")
    return Template(asset("steps.html")).substitute(
        problem=inert(problem),
        script=code,
        style=css,
        script_hash=digest(code),
        style_hash=digest(css),
    )
