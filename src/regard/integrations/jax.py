"""Attention of any JAX function, evaluated one equation at a time while its softmaxes are followed.

A function is traced to a *jaxpr*, its list of equations. A softmax is the quotient of an `exp` and its sum (or
the `exp` of a logarithm of probabilities); it is attention when a later product sums over its axis. What is
inside `jit`, `scan`, `remat`, `cond` and `while_loop` is evaluated in the same way.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

from regard.attention import AttentionMap
from regard.errors import InputError, MissingExtraError
from regard.integrations.arranging import Sizes, roles
from regard.integrations.jax_axes import Dims, identity, moved

try:
    import jax
    import jax.numpy as jnp
    from jax.core import Tracer
    from jax.extend import core
except ImportError as _error:
    raise MissingExtraError("regard.watch_jax", "jax") from _error

__all__ = ["watch_jax"]


def watch_jax(function: Callable[..., Any]) -> Callable[..., tuple[Any, list[AttentionMap]]]:
    """A function that returns what `function` returns, and the attention map of every layer.

    >>> import jax, jax.numpy as jnp, regard
    >>> x = jnp.ones((1, 3, 2, 4))  # (batch, length, heads, features)
    >>> attention = jax.jit(lambda x: jax.nn.dot_product_attention(x, x, x, is_causal=True))
    >>> output, maps = regard.watch_jax(attention)(x)
    >>> maps[0].shape  # (batch, heads, queries, keys)
    (1, 2, 3, 3)

    The output is that of `function(*args)` itself. For the maps the function is evaluated once more, one
    equation at a time, so it takes at least twice as long, and callbacks inside it run twice. A map holds
    the matrix that the function computes.

    Args:
        function: any function of arrays, also one made by `jax.jit`, `jax.vmap` or `jax.grad`; inside may
            be `jit`, `scan`, `remat`, `cond`, `while_loop` and derivatives with rules of their own.
            Layers of a `scan` give one map each. What a `remat` computes again for a gradient is counted
            once.

    Returns:
        A function of the same arguments, which returns a pair of the output and the maps, `(batch, heads,
        queries, keys)` each, in the order in which they are computed.

    Raises:
        InputError: when called: no attention was found; an attention inside a kernel, or inside a branch or
            loop that depends on values while an outer function is traced.
        MissingExtraError: JAX is not installed.
    """

    def watched(*args: Any, **kwargs: Any) -> tuple[Any, list[AttentionMap]]:
        output = function(*args, **kwargs)
        leaves, tree = jax.tree.flatten((args, kwargs))
        is_array = [hasattr(leaf, "dtype") or isinstance(leaf, float | complex) for leaf in leaves]

        def flat(*arrays: Any) -> Any:
            given = iter(arrays)
            filled = [
                next(given) if dynamic else leaf
                for dynamic, leaf in zip(is_array, leaves, strict=True)
            ]
            inner_args, inner_kwargs = jax.tree.unflatten(tree, filled)
            return function(*inner_args, **inner_kwargs)

        arrays = [leaf for dynamic, leaf in zip(is_array, leaves, strict=True) if dynamic]
        closed = jax.make_jaxpr(flat)(*arrays)
        evaluation = _Evaluation()
        evaluation.run(closed.jaxpr, closed.consts, arrays, [None] * len(arrays))
        if not evaluation.maps:
            name = getattr(function, "__name__", type(function).__name__)
            raise InputError(
                f"{name} was evaluated and no attention was found in it: no product sums over the axis of "
                "a softmax"
            )
        return output, evaluation.maps

    return watched


@dataclass(frozen=True)
class _Fact:
    """What is known about an array.

    Attributes:
        stage: `"scores"`, `"exp"`, `"sum"`, `"log"`, `"logsumexp"`, `"weights"` or `"weighted"`.
        dims: for each dimension its axes of the softmax's result; other numbers are negative.
        subject: what belongs together: an `exp` and its sum, or the softmax.
        axis: axis of the softmax, or of the sum.
        features: dimensions that are features of a linear layer.
        free: of `"weighted"`: axes that the values do not have.
    """

    stage: str
    dims: Dims
    subject: Any = None
    axis: int = -1
    features: frozenset[int] = frozenset()
    free: frozenset[int] = frozenset()


@dataclass(eq=False)
class _Softmax:
    """A softmax whose result is followed."""

    weights: Any
    axis: int
    over_features: bool
    is_shown: bool = False


_CALLS = frozenset(
    [
        "pjit",
        "jit",
        "closed_call",
        "core_call",
        "remat",
        "remat2",
        "checkpoint",
        "custom_jvp_call",
        "custom_vjp_call",
        "custom_vjp_call_jaxpr",
        "custom_lin",
        "xla_call",
        "named_call",
    ]
)
_KERNELS = ("pallas_call", "dot_product_attention", "cudnn", "triton", "ffi_call")


@dataclass
class _Evaluation:
    """One evaluation of a function."""

    maps: list[AttentionMap] = field(default_factory=list)
    is_recomputed: bool = False

    def run(
        self, jaxpr: Any, consts: Sequence[Any], args: Sequence[Any], known: Sequence[_Fact | None]
    ) -> tuple[list[Any], list[_Fact | None]]:
        """Evaluate a jaxpr and return its outputs with what is known about them."""
        values: dict[Any, Any] = dict(zip(jaxpr.constvars, consts, strict=True))
        values |= dict(zip(jaxpr.invars, args, strict=True))
        facts = {var: fact for var, fact in zip(jaxpr.invars, known, strict=True) if fact}

        def read(var: Any) -> Any:
            return var.val if isinstance(var, core.Literal) else values[var]

        def fact_of(var: Any) -> _Fact | None:
            return None if isinstance(var, core.Literal) else facts.get(var)

        for equation in jaxpr.eqns:
            inputs = [read(var) for var in equation.invars]
            before = [fact_of(var) for var in equation.invars]
            outputs, after = self._evaluate(equation, inputs, before)
            values |= dict(zip(equation.outvars, outputs, strict=True))
            facts |= {var: fact for var, fact in zip(equation.outvars, after, strict=True) if fact}
        return [read(var) for var in jaxpr.outvars], [fact_of(var) for var in jaxpr.outvars]

    def _evaluate(
        self, equation: Any, inputs: list[Any], before: list[_Fact | None]
    ) -> tuple[list[Any], list[_Fact | None]]:
        name, params = equation.primitive.name, equation.params
        if name in _CALLS:
            inner = params.get("jaxpr") or params.get("call_jaxpr") or params.get("fun_jaxpr")
            if inner is not None:
                outside, self.is_recomputed = (
                    self.is_recomputed,
                    self.is_recomputed or bool(params.get("differentiated")),
                )
                found = self.run(*_open(inner), inputs, before)
                self.is_recomputed = outside
                return found
        elif name in ("scan", "while", "cond"):
            bodies = [value for value in params.values() if _is_jaxpr(value)]
            bodies += list(params.get("branches", ()))
            if any(map(_has_softmax, bodies)):
                outputs = getattr(self, f"_{name}")(params, inputs)
                return outputs, [None] * len(outputs)
        elif any(kernel in name for kernel in _KERNELS):
            raise InputError(
                f"the function calls a kernel, {name}, whose inside cannot be watched; try the plain "
                "implementation (for jax.nn.dot_product_attention, implementation='xla')"
            )
        found_params = equation.primitive.get_bind_params(params)
        functions, rest = found_params if isinstance(found_params, tuple) else ((), found_params)
        made = equation.primitive.bind(*functions, *inputs, **rest)
        outputs = list(made) if equation.primitive.multiple_results else [made]
        return outputs, [self._follow(name, params, inputs, before, outputs[0])] + [None] * (
            len(outputs) - 1
        )

    # Control flow

    def _scan(self, params: Any, inputs: list[Any]) -> list[Any]:
        closed, length = params["jaxpr"], params["length"]
        constants, carried = params["num_consts"], params["num_carry"]
        fixed = inputs[:constants]
        carry, each = inputs[constants : constants + carried], inputs[constants + carried :]
        steps = range(length - 1, -1, -1) if params["reverse"] else range(length)
        rows: dict[int, list[Any]] = {}
        for step in steps:
            given = [*fixed, *carry, *(array[step] for array in each)]
            outputs, _ = self.run(*_open(closed), given, [None] * len(given))
            carry, rows[step] = outputs[:carried], outputs[carried:]
        columns = zip(*(rows[step] for step in range(length)), strict=True)
        return [*carry, *(jnp.stack(column) for column in columns)]

    def _while(self, params: Any, inputs: list[Any]) -> list[Any]:
        conditions, bodies = params["cond_nconsts"], params["body_nconsts"]
        of_condition, of_body = inputs[:conditions], inputs[conditions : conditions + bodies]
        carry = inputs[conditions + bodies :]

        def goes_on() -> bool:
            given = [*of_condition, *carry]
            outputs, _ = self.run(*_open(params["cond_jaxpr"]), given, [None] * len(given))
            return bool(_concrete(outputs[0], "loop"))

        while goes_on():
            given = [*of_body, *carry]
            carry, _ = self.run(*_open(params["body_jaxpr"]), given, [None] * len(given))
        return carry

    def _cond(self, params: Any, inputs: list[Any]) -> list[Any]:
        index, *given = inputs
        branches = params["branches"]
        chosen = branches[min(max(int(_concrete(index, "branch")), 0), len(branches) - 1)]
        return self.run(*_open(chosen), given, [None] * len(given))[0]

    # From scores to the product with the values

    def _follow(
        self,
        name: str,
        params: Any,
        inputs: list[Any],
        before: list[_Fact | None],
        made: Any,
    ) -> _Fact | None:
        """What is known about the result of an equation."""
        rank = made.ndim if hasattr(made, "ndim") else 0
        first = next((fact for fact in before if fact is not None), None)
        if name == "dot_general":
            return self._product(params["dimension_numbers"], inputs, before)
        if name in ("div", "mul") and len(before) == 2:
            left, right = before
            if left and right and {left.stage, right.stage} == {"exp", "sum"}:
                exp, total = (left, right) if left.stage == "exp" else (right, left)
                if exp.subject is total.subject:
                    return self._begin(made, total.axis, exp.features)
        if name == "exp" and first is not None and first.stage == "log":
            return self._begin(made, first.axis, first.features)
        if name == "exp":
            features = first.features if first is not None else frozenset()
            return _Fact("exp", identity(rank), object(), features=features)
        if first is None:
            return None
        if name == "sub" and before[1] is not None and before[1].stage == "logsumexp":
            features = before[0].features if before[0] else frozenset()
            return _Fact("log", identity(rank), None, before[1].axis, features)
        if name == "log" and first.stage == "sum":
            return replace(first, stage="logsumexp")
        if name == "reduce_sum":
            return self._sum(tuple(params["axes"]), inputs[0], first)
        if name == "mul" and first.stage == "weights" and (weighted := _weighted(inputs, before)):
            return weighted
        dims = moved(name, params, first.dims, inputs, made)
        if dims is None:
            return None
        features = frozenset(
            n for n, dim in enumerate(dims) if any(-1 - f in dim for f in first.features)
        )
        if first.stage in ("scores", "exp"):
            source = moved(name, params, identity(inputs[before.index(first)].ndim), inputs, made)
            features = frozenset(
                n for n, dim in enumerate(source or ()) if set(dim) & set(first.features)
            )
            return replace(first, dims=identity(rank), features=features)
        return replace(first, dims=dims)

    def _begin(self, made: Any, axis: int, features: frozenset[int]) -> _Fact:
        softmax = _Softmax(made, axis % made.ndim, axis % made.ndim in features)
        return _Fact("weights", identity(made.ndim), softmax, softmax.axis)

    def _sum(self, axes: tuple[int, ...], array: Any, fact: _Fact) -> _Fact | None:
        rest = tuple(dim for n, dim in enumerate(fact.dims) if n not in axes)
        if fact.stage == "exp" and len(axes) == 1:
            return _Fact("sum", rest, fact.subject, fact.dims[axes[0]][0])
        if fact.stage == "weighted" and len(axes) == 1 and fact.dims[axes[0]] == (fact.axis,):
            self._show(fact.subject, fact.free, {}, 0)
        return None

    def _product(self, numbers: Any, inputs: list[Any], before: list[_Fact | None]) -> _Fact | None:
        """See a product of two arrays: of weights with values, or one that may become scores."""
        contracted, batched = numbers
        for side in (0, 1):
            fact = before[side]
            if fact is None or fact.stage != "weights":
                continue
            along = [fact.dims[n] for n in contracted[side]]
            if along == [(fact.axis,)] or (
                inputs[side].ndim == 1 and fact.subject.weights.ndim == 1
            ):
                free = {
                    axis
                    for n, dim in enumerate(fact.dims)
                    if n not in contracted[side] and n not in batched[side]
                    for axis in dim
                }
                other = 1 - side
                at = {
                    axis: there
                    for here, there in zip(batched[side], batched[other], strict=True)
                    for axis in fact.dims[here]
                }
                self._show(fact.subject, frozenset(free), at, min(contracted[other], default=0))
                return None
        ranks = [array.ndim for array in inputs]
        kept = [ranks[side] - len(contracted[side]) - len(batched[side]) for side in (0, 1)]
        rank = len(batched[0]) + sum(kept)
        features: frozenset[int] = frozenset()
        if not batched[0]:  # a linear layer: the features are those of the matrix
            start = rank - kept[1] if ranks[1] <= ranks[0] else 0
            features = frozenset(range(start, start + kept[1 if ranks[1] <= ranks[0] else 0]))
        return _Fact("scores", identity(rank), None, features=features)

    def _show(
        self, softmax: _Softmax, free: frozenset[int], at: Mapping[int, int], length: int
    ) -> None:
        """Add the map of a softmax that was multiplied with values.

        Args:
            softmax: the softmax.
            free: its axes that the values do not have.
            at: dimension of the values of each other axis.
            length: dimension of the values that is summed over.
        """
        if softmax.is_shown or self.is_recomputed or (softmax.over_features and not free):
            return
        softmax.is_shown = True
        weights, sizes = softmax.weights, softmax.weights.shape
        rest = [axis for axis in range(weights.ndim) if axis != softmax.axis]
        shared = sorted(set(rest) - free, key=lambda axis: at.get(axis, axis))
        batch, heads, queries = roles(sizes, rest, free, shared, Sizes())
        if not heads and batch and batch[0] in at and at[batch[0]] > length:
            batch, heads = [], batch  # (length, heads, features): no batch
        arranged = jnp.transpose(weights, [*batch, *heads, *queries, softmax.axis])
        shape = [prod(sizes[axis] for axis in group) for group in (batch, heads, queries)]
        self.maps.append(AttentionMap.from_dense(arranged.reshape(*shape, sizes[softmax.axis])))


def _weighted(inputs: list[Any], before: list[_Fact | None]) -> _Fact | None:
    """What is known about weights times values, not yet summed; `None` for another product."""
    side = 0 if before[0] is not None and before[0].stage == "weights" else 1
    fact, values = before[side], inputs[1 - side]
    if fact is None or not hasattr(values, "ndim") or values.ndim != len(fact.dims):
        return None
    repeats = [n for n, dim in enumerate(fact.dims) if not dim and values.shape[n] > 1]
    return replace(fact, stage="weighted") if repeats else None


def _open(jaxpr: Any) -> tuple[Any, Sequence[Any]]:
    """The equations of a jaxpr and its constants."""
    return (jaxpr.jaxpr, jaxpr.consts) if hasattr(jaxpr, "consts") else (jaxpr, ())


def _is_jaxpr(value: Any) -> bool:
    return hasattr(value, "eqns") or hasattr(value, "jaxpr")


def _has_softmax(jaxpr: Any) -> bool:
    """Return whether there is an `exp`, or a kernel, in a jaxpr or in those inside it."""
    equations, _ = _open(jaxpr)
    for equation in equations.eqns:
        name = equation.primitive.name
        if name == "exp" or any(kernel in name for kernel in _KERNELS):
            return True
        inner = [value for value in equation.params.values() if _is_jaxpr(value)]
        if any(map(_has_softmax, [*inner, *equation.params.get("branches", ())])):
            return True
    return False


def _concrete(value: Any, kind: str) -> Any:
    """The value that decides about a loop or a branch."""
    if isinstance(value, Tracer):
        raise InputError(
            f"an attention stands in a {kind} that depends on values, which are not known while an outer "
            "function is traced; call watch_jax outside of jit, vmap and grad"
        )
    return value
