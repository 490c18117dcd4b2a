"""What `regard.attend` and its map answer, as hashes: scores, normalisers, masks, biases, types, libraries."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import regard
from benchmarks.same_answers.names import first_that_works

__all__ = ["answers", "described"]

Made = Callable[["Inputs"], Any]

WATCH = ("entropy", "topk", "pool", "received")


@dataclass(frozen=True)
class Shape:
    """Sizes of one problem; `heads` queries share `key_heads` keys."""

    batch: int
    heads: int
    key_heads: int
    queries: int
    keys: int
    features: int


SMALL = Shape(2, 4, 2, 5, 7, 6)
LARGE = Shape(2, 4, 2, 199, 331, 16)
"""More than 2**18 weights, so that the compiled kernels answer; prime lengths, so that blocks are ragged."""


class Inputs:
    """Arrays of one shape, library and type, the same numbers every time."""

    def __init__(self, shape: Shape, library: str, dtype: str, *, learn: bool = False) -> None:
        self.shape, self.library, self.dtype, self.learn = shape, library, dtype, learn
        self.learned: dict[str, Any] = {}
        s = shape
        self.query = self.floats("query", s.batch, s.heads, s.queries, s.features)
        self.key = self.floats("key", s.batch, s.key_heads, s.keys, s.features)
        self.value = self.floats("value", s.batch, s.key_heads, s.keys, s.features // 2)

    def floats(self, name: str, *shape: int, scale: float = 1.0) -> Any:
        """Normal numbers that follow from their name; a gradient is wanted of them where we learn."""
        seed = int.from_bytes(hashlib.sha256(name.encode()).digest()[:4], "little")
        numbers = scale * np.random.default_rng(seed).standard_normal(shape)
        array = self.array(numbers)
        if self.learn:
            self.learned[name] = array.requires_grad_()
        return array

    def array(self, numbers: Any) -> Any:
        """Floats in this library and type, anything else in this library."""
        numbers = np.asarray(numbers)
        if self.library == "numpy":
            return numbers.astype(self.dtype) if numbers.dtype.kind == "f" else numbers
        made = torch.from_numpy(numbers.copy())
        return made.to(getattr(torch, self.dtype)) if numbers.dtype.kind == "f" else made

    @property
    def centres(self) -> Any:
        """A key position for each query."""
        s = self.shape
        even = np.linspace(0, s.keys - 1, s.batch * s.heads * s.queries)
        return self.array(even.reshape(s.batch, s.heads, s.queries))

    @property
    def allowed(self) -> Any:
        """A Boolean `(batch, 1, queries, keys)` without a pattern; one query sees nothing."""
        s = self.shape
        found = np.random.default_rng(5).random((s.batch, 1, s.queries, s.keys)) < 0.6
        found[0, 0, 1] = False
        return self.array(found)

    @property
    def lengths(self) -> Any:
        """How many keys of each example are real."""
        return self.array(np.array([self.shape.keys, self.shape.keys * 2 // 3]))


def _documents(i: Inputs) -> Any:
    return regard.documents(
        i.array(np.arange(i.shape.queries) // 3), i.array(np.arange(i.shape.keys) // 3)
    )


def _real(i: Inputs) -> Any:
    return i.array(np.arange(i.shape.keys) % 3 != np.arange(i.shape.batch)[:, None])


SCORES: Mapping[str, Made] = {
    "scaled dot": lambda i: regard.scores.ScaledDot(),
    "dot": lambda i: regard.scores.Dot(),
    "scaled by 0.3": lambda i: regard.scores.ScaledDot(0.3),
    "general": lambda i: regard.scores.General(
        i.floats("general", i.shape.features, i.shape.features, scale=0.4)
    ),
    "cosine": lambda i: regard.scores.Cosine(4.0),
    "additive": lambda i: regard.scores.Additive(
        i.floats("vector", 8),
        i.floats("query weight", i.shape.features, 8, scale=0.4),
        i.floats("key weight", i.shape.features, 8, scale=0.4),
    ),
    "concat": lambda i: regard.scores.Concat(
        i.floats("vector", 8), i.floats("both", 2 * i.shape.features, 8, scale=0.4)
    ),
    "location": lambda i: regard.scores.Location(
        i.floats("places", i.shape.keys + 2, i.shape.features)
    ),
}
NORMALIZERS: Mapping[str, Made] = {
    "softmax": lambda i: regard.normalizers.Softmax(),
    "sigmoid": lambda i: regard.normalizers.Sigmoid(),
    "sparsemax": lambda i: regard.normalizers.Sparsemax(),
    "entmax15": lambda i: regard.normalizers.Entmax15(),
    "hard": lambda i: regard.normalizers.Hard(),
    "gumbel": lambda i: regard.normalizers.GumbelHard(temperature=0.7, seed=3),
}
MASKS: Mapping[str, Made] = {
    "none": lambda i: None,
    "causal": lambda i: regard.causal(),
    "window": lambda i: regard.window(2),
    "window back": lambda i: regard.window(3, 0),
    "lengths": lambda i: regard.padding(i.lengths),
    "real keys": lambda i: regard.padding(_real(i)),
    "real queries": lambda i: regard.padding(
        i.lengths, queries=i.array(np.array([i.shape.queries, 3]))
    ),
    "documents": _documents,
    "array": lambda i: i.allowed,
    "row": lambda i: i.allowed[:, :, 2:3],
    "causal window": lambda i: regard.causal() & regard.window(4) & regard.padding(i.lengths),
    "either": lambda i: regard.padding(i.lengths) | i.allowed,
    "local": lambda i: regard.masks.local(i.centres, 2),
}
BIASES: Mapping[str, Made] = {
    "none": lambda i: None,
    "alibi": lambda i: regard.positions.ALiBi(),
    "relative": lambda i: regard.positions.Relative(i.floats("table", i.shape.heads, 8)),
    "relative back": lambda i: regard.positions.Relative(
        i.floats("table", i.shape.heads, 8), False, 20
    ),
    "gaussian": lambda i: regard.positions.Gaussian(i.centres, 2.0),
    "array": lambda i: i.floats("bias", 1, i.shape.heads, i.shape.queries, i.shape.keys),
    "infinite": lambda i: i.array(
        np.where(np.arange(i.shape.keys) % 4 == 1, -np.inf, 0.1)[None, None, None]
    ),
}


@dataclass(frozen=True)
class Case:
    """One call of `attend`, by the names above."""

    score: str = "scaled dot"
    normalizer: str = "softmax"
    mask: str = "none"
    bias: str = "none"

    def __str__(self) -> str:
        return f"{self.score}, {self.normalizer}, mask {self.mask}, bias {self.bias}"

    def options(self, i: Inputs) -> dict[str, Any]:
        """What `attend` is told."""
        return {
            "score": SCORES[self.score](i),
            "normalizer": NORMALIZERS[self.normalizer](i),
            "mask": MASKS[self.mask](i),
            "bias": BIASES[self.bias](i),
        }


def _small_cases() -> Iterator[Case]:
    """Every score with every normaliser and every mask with every bias; the other two take turns."""
    masks, biases = itertools.cycle(MASKS), itertools.cycle(BIASES)
    for score, normalizer in itertools.product(SCORES, NORMALIZERS):
        yield Case(score, normalizer, next(masks), next(biases))
    scores, normalizers = itertools.cycle(SCORES), itertools.cycle(NORMALIZERS)
    for mask, bias in itertools.product(MASKS, BIASES):
        yield Case(next(scores), next(normalizers), mask, bias)


def _large_cases() -> Iterator[Case]:
    """What the kernels have: every score, every mask, every bias; and one that falls back to tiles."""
    yield from (Case(score=score) for score in SCORES)
    yield from (Case(mask=mask) for mask in MASKS)
    yield from (Case(bias=bias) for bias in BIASES)
    for score, mask, bias in (
        ("additive", "causal", "none"),
        ("additive", "array", "alibi"),
        ("cosine", "causal window", "relative"),
        ("general", "lengths", "array"),
    ):
        yield Case(score, "softmax", mask, bias)
    yield Case(normalizer="entmax15", mask="causal")


def _observables(weights: Any, i: Inputs) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Questions to a map."""
    s = i.shape
    keys, queries = (
        i.array(np.random.default_rng(n).standard_normal((s.batch, s.heads, n, 3)))
        for n in (s.keys, s.queries)
    )
    projection = i.array(np.random.default_rng(1).standard_normal((s.features // 2, 4)))
    yield "entropy", weights.entropy
    yield "topk", lambda: tuple(weights.topk(3))
    yield "received", weights.received
    yield "pool", lambda: tuple(weights.pool(3, 2))
    yield "distance", weights.distance
    yield "rows", lambda: weights[..., 1:4, :]
    yield "product", lambda: weights @ keys
    yield "transposed product", lambda: weights.T @ queries
    yield "norms", lambda: weights.norms(i.value, projection)[..., :3, :]
    yield "dense", weights.dense


def _plain(case: Case, i: Inputs) -> Iterator[tuple[str, Callable[[], Any]]]:
    """Output and every question; with watched statistics, too; with dropout."""
    given, options = (i.query, i.key, i.value), case.options(i)
    output, weights = regard.attend(*given, **options)
    yield "output", lambda: output
    yield from _observables(weights, i)
    yield "dropped", lambda: regard.attend(*given, **options, dropout=0.3, seed=7)[0]
    if i.shape == LARGE:
        watched, known = regard.attend(*given, **options, watch=WATCH)
        yield "watched output", lambda: watched
        yield "watched entropy", known.entropy
        yield "watched topk", lambda: tuple(known.topk())
        yield "watched pool", lambda: tuple(known.pool())
        yield "watched received", known.received


def _gradients(case: Case, i: Inputs, dropout: float) -> dict[str, Any]:
    """The gradient of every input and parameter, through the output and the entropy."""
    output, weights = regard.attend(
        i.query, i.key, i.value, **case.options(i), dropout=dropout, seed=7, watch=("entropy",)
    )
    pull = torch.linspace(-1, 1, output.numel(), dtype=output.dtype).view(output.shape)
    loss = (output * pull).sum() + 0.5 * weights.entropy().sum()
    loss.backward()
    return {name: x.grad for name, x in i.learned.items()}


def described(found: Any) -> str:
    """Arrays as type, shape, hash of their bytes, and their sum to show how far two are apart."""
    if found is None:
        return "none"
    if isinstance(found, tuple):
        return " and ".join(described(part) for part in found)
    if isinstance(found, torch.Tensor):
        kind = str(found.dtype).removeprefix("torch.")
        found = found.detach().contiguous()
        if found.dtype == torch.bfloat16:
            bits, wide = found.view(torch.int16).numpy(), found.double().numpy()
        else:
            bits = wide = found.numpy()
    else:
        bits = wide = np.ascontiguousarray(found)
        kind = str(bits.dtype)
    digest = hashlib.sha256(bits.tobytes()).hexdigest()[:16]
    with np.errstate(invalid="ignore"):
        total = float(np.asarray(wide, dtype=np.float64).sum())
    return f"{kind}{tuple(found.shape)} {digest} sum {total!r}"


def _attempt(call: Callable[[], Any]) -> str:
    """What a call gives, or which error it raises: that is an answer, too."""
    try:
        return described(call())
    except Exception as error:
        return f"raises {type(error).__name__}"


def answers() -> dict[str, str]:
    """All cases: name of the answer to its description."""
    found: dict[str, str] = {}
    for shape, cases, kinds in (
        (SMALL, [*_small_cases()], ("float32", "float64", "float16", "bfloat16")),
        (LARGE, [*_large_cases()], ("float32", "bfloat16")),
    ):
        size = "small" if shape == SMALL else "large"
        for library, dtype in itertools.product(("numpy", "torch"), kinds):
            if library == "numpy" and dtype == "bfloat16":
                continue
            if library == "numpy" and dtype == "float16" and shape == SMALL:
                continue
            for case in cases:
                found |= _of_case(f"{size} {library} {dtype}: {case}", case, shape, library, dtype)
    return found | _others()


def _of_case(name: str, case: Case, shape: Shape, library: str, dtype: str) -> dict[str, str]:
    found = {}
    try:
        questions = dict(_plain(case, Inputs(shape, library, dtype)))
    except Exception as error:
        return {name: f"raises {type(error).__name__}"}
    for question, call in questions.items():
        found[f"{name}: {question}"] = _attempt(call)
    if library == "torch" and dtype in ("float32", "float64", "bfloat16"):
        for dropout in (0.0, 0.3):
            i = Inputs(shape, library, dtype, learn=True)
            try:
                gradients = _gradients(case, i, dropout)
            except Exception as error:
                found[f"{name}: gradient, dropout {dropout}"] = f"raises {type(error).__name__}"
                continue
            for part, gradient in gradients.items():
                found[f"{name}: gradient of {part}, dropout {dropout}"] = described(gradient)
    return found


def _others() -> dict[str, str]:
    """Few axes, NaN, rollout, positions, sampling, attention on paper."""
    found: dict[str, str] = {}
    for library in ("numpy", "torch"):
        i = Inputs(SMALL, library, "float32")
        for axes, at in {"two axes": (0, 0), "three axes": (slice(None), 0)}.items():
            output, weights = regard.attend(i.query[at], i.key[at], i.value[at])
            found[f"{library} {axes}"] = described((output, weights.dense(), weights.entropy()))
        for size, shape in {"small": SMALL, "large": LARGE}.items():
            found |= _with_nan(f"{size} {library}", Inputs(shape, library, "float32"))
        square = Inputs(Shape(2, 2, 2, 6, 6, 4), library, "float32")
        maps = [
            regard.attend(square.query * n, square.key, square.value, mask=regard.causal())[1]
            for n in (1, 2)
        ]
        found[f"{library} rollout"] = described(regard.rollout(maps, targets=[0, 5]))
        found[f"{library} rotary"] = described(regard.positions.rotary(i.query))
        found[f"{library} rotary, halves"] = described(_rotary_halves(i.query))
        drawn = regard.normalizers.sample(regard.attend(i.query, i.key, i.value)[1].dense(), seed=4)
        found[f"{library} sample"] = described(tuple(drawn))
    found["sinusoidal"] = described(regard.positions.sinusoidal(9, 8))
    steps = regard.worked([1, 0, 1], [[1, 0, 0], [1, 0, 1]], [[1, 2], [5, 6]], show=False)
    found["on paper"] = described((steps.weights, steps.output))
    return found


def _with_nan(name: str, i: Inputs) -> dict[str, str]:
    """NaN and infinity in places that some queries may see and others may not."""
    i.key[0, 0, 2, 0], i.value[1, 1, 3, 1], i.query[1, 0, 1, 0] = np.nan, np.inf, np.nan
    found = {}
    for mask in ("none", "causal", "array"):
        output, weights = regard.attend(
            i.query, i.key, i.value, mask=MASKS[mask](i), watch=("entropy", "topk")
        )
        # Which NaN it is (its sign, its payload) means nothing.
        parts = [np.nan_to_num(np.asarray(x), nan=1234.5) for x in (output, *_statistics(weights))]
        found[f"{name} with NaN, mask {mask}"] = described(tuple(parts))
    return found


def _statistics(weights: Any) -> tuple[Any, ...]:
    return weights.entropy(), weights.topk(3)[0], weights.received(), *weights.pool(3, 2)


def _rotary_halves(x: Any) -> Any:
    rotary: Any = regard.positions.rotary
    return first_that_works(lambda: rotary(x, interleaved=False), lambda: rotary(x, halves=True))
