"""Whether a part or statistic of your own keeps its contract, at any size, for `regard.check`."""

from __future__ import annotations

import re
import traceback
from collections.abc import Callable, Iterable, Sequence
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import array_api_compat as compat
import numpy as np

from regard.attention.arrays import is_torch
from regard.attention.check_attend import Parts, arrays_in, attend_contract, gradient_contract
from regard.attention.check_parts import (
    Broken,
    bias_contract,
    mask_contract,
    normalizer_contract,
    score_contract,
)
from regard.attention.check_report import CheckReport, Finding
from regard.attention.check_statistic import statistic_contract
from regard.attention.masks import as_mask
from regard.attention.normalizers import Normalizer, Softmax
from regard.attention.positions import as_bias
from regard.attention.problem import Problem, make_problem
from regard.attention.scores import ScaledDot, Score
from regard.attention.statistics import Statistic
from regard.errors import InputError, RegardError, nearest
from regard.shapes import Array

__all__ = ["LIBRARIES", "check_contracts"]

LIBRARIES = ("numpy", "torch", "jax")
LENGTHS = ((1, 13), (7, 7), (7, 11), (191, 193))
"""Queries and keys: a decoding step, short sequences, and enough for the fused kernels with 8 heads."""


def check_contracts(
    *,
    score: Score | None = None,
    normalizer: Normalizer | None = None,
    mask: Any = None,
    bias: Any = None,
    statistic: Statistic | None = None,
    batch: int = 2,
    heads: int = 4,
    queries: int | None = None,
    keys: int | None = None,
    features: int = 8,
    libraries: Sequence[str] | None = None,
) -> CheckReport:
    """Run a score, normaliser, mask, bias or statistic of your own against what its methods define.

    Each part is checked by itself (tiles are parts of one matrix, ranges agree with tiles, masked keys
    get no weight, gradients are finite ...); then `attend` is compared with `normalizer(score + bias,
    where mask) @ value`, written out in one piece: output, map, statistics with and without `watch`, and
    gradients, at sizes below and above those at which the fused kernels begin, with grouped heads, in
    NumPy, torch and JAX as far as they are installed.

    A statistic is computed from the matrix cut in several ways, with pairs and a whole query masked: the answer
    must be one, merging must not depend on order, what is masked must add nothing.

    A part that holds arrays fits some sizes and one library only: name the sizes it is made for. The
    library is that of its arrays.

    Args:
        score: a subclass of `regard.scores.Score`.
        normalizer: a subclass of `regard.normalizers.Normalizer`.
        mask: a subclass of `regard.masks.Mask`, or a Boolean array.
        bias: a subclass of `regard.positions.Bias`, or a float array.
        statistic: a subclass of `regard.statistics.Statistic`.
        batch: examples.
        heads: query heads.
        queries: length of the queries; several lengths unless given.
        keys: length of the keys; several lengths unless given.
        features: width of queries and keys.
        libraries: of `"numpy"`, `"torch"` and `"jax"`; those that are installed and fit unless given.

    Returns:
        A report: `report.ok`, `report.findings`, and as text what is wrong and what to try. Nothing is
        raised for a broken contract.

    Raises:
        InputError: nothing to check, or a part of another class.

    >>> import regard
    >>> regard.check(score=regard.scores.ScaledDot(0.3), libraries=["numpy"]).ok
    True
    """
    parts = _parts(score, normalizer, mask, bias, statistic)
    arrays = [array for part in parts.values() for array in arrays_in(part)]
    log = _Log()
    for library in _libraries(libraries, parts):
        for query_length, key_length in _lengths(queries, keys):
            for key_heads in dict.fromkeys((heads, max(1, heads // 2) if heads % 2 == 0 else 1)):
                sizes = (batch, heads, key_heads, query_length, key_length, features)
                _run(log, parts, library, sizes, arrays)
    checked = tuple(f"{name} {type(part).__name__}" for name, part in parts.items())
    if not log.runs and not log.findings:
        why = log.refused[0] if log.refused else "no library that is installed"
        advice = "pass batch=, heads=, queries=, keys= and features= that the part is made for"
        log.add("attend", ("every size was refused", advice), why)
    return CheckReport(checked, tuple(log.findings.values()), tuple(log.runs), tuple(log.refused))


class _Log:
    """What was found so far, each contract once."""

    def __init__(self) -> None:
        self.findings: dict[tuple[str, str], Finding] = {}
        self.runs: list[str] = []
        self.refused: list[str] = []

    def add(self, part: str, broken: Broken, where: str) -> None:
        """A broken contract; numbers in its text do not make another one of it."""
        kind = re.sub(r"\[.*?\]|[\d.]+(e-?\d+)?", "", broken[0])
        self.findings.setdefault((part, kind), Finding(part, *broken, where))

    def add_error(self, part: str, error: Exception, library: str, where: str) -> None:
        """An exception of the part's own code."""
        frames = traceback.extract_tb(error.__traceback__)
        own = [f for f in frames if not {"regard", "site-packages"} & {*Path(f.filename).parts}]
        frame = (own or frames)[-1]
        kind = type(error).__name__
        text = f"raised {kind} in {frame.filename}, line {frame.lineno}: {error}"
        advice = (
            "make it work for every size and library, or name those that it is made for: batch=, heads=, "
            "queries=, keys=, features=, libraries="
        )
        self.findings.setdefault((part, f"{library} {kind}"), Finding(part, text, advice, where))


def _run(
    log: _Log, parts: Parts, library: str, sizes: tuple[int, ...], arrays: Sequence[Array]
) -> None:
    """All contracts for arrays of one library and one set of sizes."""
    batch, heads, key_heads, queries, keys, _ = sizes
    where = (
        f"{library}, batch {batch}, heads {heads}"
        + (f" ({key_heads} of the keys)" if key_heads != heads else "")
        + f", {queries} queries, {keys} keys"
    )
    inputs = _inputs(library, sizes)
    complete: Parts = {"score": ScaledDot(), "normalizer": Softmax(), "mask": None, "bias": None}
    of_attend = {name: part for name, part in parts.items() if name in complete}
    try:
        problem = make_problem(*inputs, **(complete | of_attend))
        if "statistic" in parts:
            parts["statistic"].check(problem.layout)
    except RegardError as error:
        log.refused.append(f"{where}: {error}")
        return
    except Exception as error:  # a part of the user's may raise anything, and that is a finding
        log.add_error("project or check", error, library, where)
        return
    contracts: dict[str, Callable[[Any, Problem], Iterable[Broken]]] = {
        "score": score_contract,
        "normalizer": normalizer_contract,
        "mask": mask_contract,
        "bias": bias_contract,
        "statistic": statistic_contract,
    }
    steps: list[tuple[str, Callable[[], Iterable[Broken]]]] = [
        (name, partial(contracts[name], part, problem)) for name, part in parts.items()
    ]
    if of_attend:
        steps.append(("attend", partial(attend_contract, problem, inputs, of_attend)))
    if of_attend and library == "torch":
        parameters = [x for x in arrays if is_torch(x) and x.requires_grad]
        steps.append(("attend", partial(gradient_contract, problem, inputs, of_attend, parameters)))
    for name, step in steps:
        try:
            for broken in step():
                log.add(name, broken, where)
        except Exception as error:  # as above
            log.add_error(name, error, library, where)
    log.runs.append(where)


def _parts(score: Any, normalizer: Any, mask: Any, bias: Any, statistic: Any) -> Parts:
    """The parts that were given, as objects.

    Raises:
        InputError: none, or one of another class.
    """
    parts: Parts = {}
    kinds = (
        ("score", score, Score),
        ("normalizer", normalizer, Normalizer),
        ("statistic", statistic, Statistic),
    )
    for name, part, kind in kinds:
        if part is not None:
            if not isinstance(part, kind):
                raise InputError(
                    f"{name} is {part!r}; expected an object of a subclass of regard.{name}s."
                    f"{kind.__name__}"
                )
            parts[name] = part
    if mask is not None:
        parts["mask"] = as_mask(mask)
    if bias is not None:
        parts["bias"] = as_bias(bias)
    if not parts:
        raise InputError(
            "check got nothing to check; pass score=, normalizer=, mask=, bias= or statistic="
        )
    return parts


def _libraries(wanted: Sequence[str] | None, parts: Parts) -> list[str]:
    """Libraries to run: those named, or those installed, or the one of the parts' arrays.

    NumPy arrays of a mask or bias fit every library, as `attend` converts tiles; those of a score or
    normaliser meet queries and keys themselves.

    Raises:
        InputError: a name of no library.
    """
    for name in wanted or ():
        if name not in LIBRARIES:
            raise InputError(f"libraries got {name!r}; {nearest(name, LIBRARIES)}")
    installed = [name for name in wanted or LIBRARIES if find_spec(name)]
    if wanted is not None:
        return installed
    arrays = [array for part in parts.values() for array in arrays_in(part)]
    if any(is_torch(x) for x in arrays):
        return ["torch"]
    if any(compat.is_jax_array(x) for x in arrays):
        return ["jax"]
    meeting = (arrays_in(parts[name]) for name in ("score", "normalizer") if name in parts)
    return ["numpy"] if any(meeting) else installed


def _lengths(queries: int | None, keys: int | None) -> list[tuple[int, int]]:
    """Lengths of queries and keys, those that were given fixed."""
    pairs = ((q if queries is None else queries, k if keys is None else keys) for q, k in LENGTHS)
    return list(dict.fromkeys(pairs))


def _inputs(library: str, sizes: tuple[int, ...]) -> list[Array]:
    """Query, key and value, float32, equal in all libraries."""
    batch, heads, key_heads, queries, keys, features = sizes
    generator = np.random.default_rng(0)
    shapes = (
        (batch, heads, queries, features),
        (batch, key_heads, keys, features),
        (batch, key_heads, keys, 5),
    )
    arrays = [2 * generator.standard_normal(shape).astype(np.float32) for shape in shapes]
    if library == "numpy":
        return arrays
    make = (
        import_module("torch").from_numpy
        if library == "torch"
        else import_module("jax.numpy").asarray
    )
    return [make(x) for x in arrays]
