"""Attention written out in any code, followed from its softmax to the product with the values.

A softmax is attention when its result is multiplied with something and summed along its own axis. On the way
there it may be masked, cast, dropped out, copied, reshaped and cut into pieces. A softmax over the outputs of
a linear layer (a router, a classifier, the kernel of a dynamic convolution) chooses among features and not
among positions, so it is not attention, whatever it is multiplied with.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any, Literal, TypeAlias

from torch import Tensor, nn

from regard.errors import InputError
from regard.integrations.axes import AxisMap
from regard.integrations.origins import (
    ELEMENTWISE,
    Origins,
    StorageTable,
    result_of,
    tensors_of,
)

__all__ = ["Followed", "SoftmaxTrace"]

Stage: TypeAlias = Literal["weights", "weighted", "exp", "sum", "log", "logsumexp"]
"""What a tensor is: weights, weights times values before their sum, or a step of a softmax by hand."""

_MOVED = frozenset(
    [
        "index",
        "index_select",
        "gather",
        "scatter",
        "scatter_add",
        "index_put",
        "index_add",
        "cat",
        "stack",
        "convolution",
        "_scaled_mm",
        "_int_mm",
        "_grouped_mm",
        "_sparse_mm",
    ]
)
"""Operators that take weights somewhere else, where they are not followed."""


@dataclass
class Followed:
    """A softmax whose result is followed.

    Attributes:
        shape: of the result.
        axis: axis of the softmax.
        over_features: whether it is taken over the outputs of a linear layer.
        of_product: whether its scores are a product of two activations.
        free: axes that the values do not have: the queries.
        shared: axes that the values have as well: batch and heads.
        pieces: starts and sizes of the parts that were multiplied.
        order: sizes of the two axes that the first axis of the values was made of, and whether the heads
            come first; `None` where that is not known.
        moved: operator that took the weights where they were not followed.
        running: the modules that are running when they are multiplied, outermost first.
        found: the weights that were multiplied, before dropout, and where their axes lie; set when they
            are reported, since whoever holds them keeps the memory of the matrix.
    """

    shape: tuple[int, ...]
    axis: int
    over_features: bool
    of_product: bool
    free: set[int] = field(default_factory=set)
    shared: set[int] = field(default_factory=set)
    pieces: dict[Any, int] = field(default_factory=dict)
    order: tuple[int, int, bool] | None = None
    moved: str = ""
    running: tuple[Any, ...] = ()
    found: tuple[Tensor, AxisMap] | None = None

    @property
    def count(self) -> int:
        """Number of weights."""
        return prod(self.shape)

    @property
    def covered(self) -> int:
        """Number of weights that were multiplied with values."""
        return sum(self.pieces.values())


@dataclass(frozen=True)
class _Fact:
    """What is known about a storage."""

    stage: Stage
    subject: Any
    axes: AxisMap
    axis: int = 0
    before: tuple[Tensor, AxisMap] | None = None
    sheared: bool = False


class SoftmaxTrace:
    """Follows every softmax of a running model.

    Args:
        model: the model; its parameters tell linear layers from products.
        on_attention: called with each softmax that was multiplied with values, at the product.
        running: the modules that are running, outermost first.
    """

    def __init__(
        self,
        model: nn.Module,
        on_attention: Callable[[Followed], None],
        running: list[Any],
    ) -> None:
        self._origins = Origins(model)
        self._facts: StorageTable[_Fact] = StorageTable()
        self._order: StorageTable[tuple[int, int, bool]] = StorageTable()
        self._on_attention = on_attention
        self._running = running
        self._open: list[Followed] = []
        self._begun: list[Followed] = []

    def clear(self) -> None:
        """Forget every tensor."""
        self._open.clear()
        self._begun.clear()
        self._facts.clear()

    # Operators

    def before(self, name: str, args: tuple[Any, ...]) -> None:
        """Keep the weights that dropout is about to overwrite."""
        if name not in ("mul_", "div_", "masked_fill_") or not isinstance(args[0], Tensor):
            return
        fact = self._facts.get(args[0])
        if fact is None or fact.stage != "weights" or fact.before is not None:
            return
        if any(self._origins.is_kind(other, "random") for other in tensors_of(args[1:])):
            copied = args[0].detach().clone()
            axes = fact.axes.follow(args[0], copied)
            if axes is not None:
                self._facts.put(args[0], replace(fact, before=(copied, axes)))

    def observe(self, name: str, args: tuple[Any, ...], result: Any) -> None:
        """Follow the result of an operator."""
        made = result_of(result)
        if made is None or made.is_nested or not args:
            return
        self._origins.observe(name, args, made)
        if name in ("_softmax", "_safe_softmax", "_masked_softmax"):
            place = 2 if name == "_masked_softmax" else 1
            axis = next(iter(args[place:]), None)
            self._begin(args[0], made, (-1 if axis is None else axis) % max(1, made.dim()))
        elif name in ("bmm", "mm", "mv"):
            self._multiply(args[0], args[1])
        elif name in ("baddbmm", "addmm"):
            self._multiply(args[1], args[2])
        elif name in _BY_HAND:
            self._by_hand(name, args, made)
        elif name.rstrip("_") in ELEMENTWISE:
            self._elementwise(name, args, made)
        elif name in _MOVED or "." in name:  # of another library than torch
            self._move(name, args, made)

    def _by_hand(self, name: str, args: tuple[Any, ...], made: Tensor) -> None:
        """Follow a softmax written as `exp` and `sum`, or by way of logarithms."""
        fact = self._facts.get(args[0]) if isinstance(args[0], Tensor) else None
        whole = AxisMap.of(made)
        if name == "_log_softmax":
            self._facts.put(made, _Fact("log", None, whole, args[1] % made.dim()))
        elif name == "logsumexp":
            axis = args[1][0] if isinstance(args[1], list | tuple) else args[1]
            self._facts.put(made, _Fact("logsumexp", None, whole, axis % args[0].dim()))
        elif name in ("exp", "exp_"):
            if fact is not None and fact.stage == "log":
                self._begin(args[0], made, fact.axis)
            else:
                self._origins.copy(args[0], made)
                self._facts.put(made, _Fact("exp", object(), whole))
        elif name == "sum" and fact is not None and len(args) > 1 and args[1]:
            dimensions = args[1] if isinstance(args[1], list | tuple) else [args[1]]
            if fact.stage == "exp" and len(dimensions) == 1:
                axis = dimensions[0] % args[0].dim()
                self._facts.put(made, _Fact("sum", fact.subject, whole, axis))
            elif fact.stage == "weighted":
                self._sum_weighted(args[0], fact, [n % args[0].dim() for n in dimensions])

    def _elementwise(self, name: str, args: tuple[Any, ...], made: Tensor) -> None:
        """Carry what is known over to the result of an element-by-element operator."""
        sources = tensors_of(args)
        facts = [(x, fact) for x in sources if (fact := self._facts.get(x)) is not None]
        self._note_order(name, sources, made)
        if not facts:
            return
        stages = {fact.stage: fact for _, fact in facts}
        if {"exp", "sum"} <= stages.keys() and stages["exp"].subject is stages["sum"].subject:
            self._begin(facts[0][0], made, stages["sum"].axis)
            return
        if "logsumexp" in stages and name in ("sub", "sub_") and facts[-1][1].stage == "logsumexp":
            self._facts.put(made, _Fact("log", None, AxisMap.of(made), facts[-1][1].axis))
            return
        source, fact = facts[0]
        if name.endswith("_"):
            if (
                source is not args[0]
                and source.numel() == made.untyped_storage().nbytes() // made.element_size()
            ):
                self._carry(name, source, fact, sources, made)
            return
        self._carry(name, source, fact, sources, made)

    def _carry(
        self, name: str, source: Tensor, fact: _Fact, sources: list[Tensor], made: Tensor
    ) -> None:
        axes = fact.axes.follow(source, made)
        if axes is None:
            if fact.stage == "weights":
                fact.subject.moved = fact.subject.moved or name
            return
        if name == "constant_pad_nd":
            self._pad(source, fact, axes, made)
            return
        if fact.stage in ("exp", "sum", "log", "logsumexp"):
            self._facts.put(made, _Fact(fact.stage, fact.subject, axes, fact.axis))
            return
        if axes.count != made.numel():  # times the values, to be summed
            if fact.stage == "weights" and name == "mul" and len(sources) == 2:
                self._facts.put(made, _Fact("weighted", (fact.subject, sources), axes))
            return
        if fact.stage == "weights":
            is_random = name == "native_dropout" or any(
                self._origins.is_kind(other, "random") for other in sources if other is not source
            )
            before = fact.before
            if before is None and (is_random or fact.sheared or axes.count < fact.axes.count):
                before = (
                    source.detach(),
                    fact.axes,
                )  # what is multiplied is not all, or not as it was
            self._facts.put(made, replace(fact, axes=axes, before=before))

    def _pad(self, source: Tensor, fact: _Fact, axes: AxisMap, made: Tensor) -> None:
        """Follow weights with zeros around them, which longer dimensions then hold."""
        if fact.stage != "weights":
            return
        parts = list(axes.parts)
        for size, old, stride in zip(made.shape, source.shape, made.stride(), strict=True):
            if size != old:
                parts = [p._replace(size=size) if p.stride == stride else p for p in parts]
        padded = AxisMap(tuple(parts), int(made.storage_offset()))
        before = fact.before or (source.detach(), fact.axes)
        self._facts.put(made, replace(fact, axes=padded, before=before, sheared=True))

    def _move(self, name: str, args: tuple[Any, ...], made: Tensor) -> None:
        sources = tensors_of(args)
        self._note_order(name, sources, made)
        for source in sources:
            fact = self._facts.get(source)
            if fact is not None and fact.stage == "weights":
                fact.subject.moved = fact.subject.moved or name

    def _note_order(self, name: str, sources: list[Tensor], made: Tensor) -> None:
        """Note how batch and heads are ordered in a copy that puts them into one axis."""
        if name == "cat":
            shared = {source.untyped_storage()._cdata for source in sources}
            if len(sources) > 1 and len(shared) == 1 and made.dim() == 3:
                source_rows = sources[0].shape[0]
                if made.shape[0] == source_rows * len(sources):
                    self._order.put(made, (len(sources), source_rows, True))
            return
        if name in ("clone", "_to_copy", "contiguous") and made.dim() == 4:
            source, strides = sources[0], sources[0].stride()
            if strides[0] and strides[1] and made.is_contiguous():
                first, second = source.shape[:2]
                self._order.put(made, (first, second, strides[0] < strides[1]))
        elif sources and (order := self._order.get(sources[0])) is not None:
            self._order.put(made, order)

    # From softmax to product

    def _begin(self, scores: Tensor, made: Tensor, axis: int) -> None:
        """Follow a new softmax."""
        self.flush(len(self._running))
        if made.dim() == 0 or self._origins.is_kind(scores, "parameter"):
            return
        of_product = self._origins.is_kind(scores, "product")
        if made.dim() == 1 and not of_product:
            return
        followed = Followed(
            tuple(made.shape),
            axis,
            self._origins.is_over_features(scores, axis),
            of_product,
        )
        followed.running = tuple(self._running)
        self._facts.put(made, _Fact("weights", followed, AxisMap.of(made)))
        if of_product and not followed.over_features:
            self._begun.append(followed)

    def _multiply(self, left: Tensor, right: Tensor) -> None:
        """See a matrix product: of weights with values, or of something else."""
        facts = [self._facts.get(left), self._facts.get(right)]
        known = [fact is not None and fact.stage == "weights" for fact in facts]
        if not any(known):
            return
        sides = [(left, left.dim() - 1, right), (right, max(0, right.dim() - 2), left)]
        along = [
            is_known and fact is not None and self._is_along(weights, fact, dimension)
            for is_known, fact, (weights, dimension, _) in zip(known, facts, sides, strict=True)
        ]
        if all(known) and any(along):
            raise InputError(
                "two results of a softmax are multiplied with each other (as in Nystrom attention), so "
                "the weights of a query are a product of matrices that no single softmax shows; this "
                "attention cannot be watched"
            )
        for n in (0, 1):
            fact, (weights, dimension, values) = facts[n], sides[n]
            if fact is None or not known[n]:
                continue
            if not along[n]:
                fact.subject.moved = fact.subject.moved or "product along another axis"
                continue
            batch = set(range(weights.dim() - 2))
            free = set(range(weights.dim())) - batch - {dimension}
            followed: Followed = fact.subject
            followed.order = self._order.get(values)
            self._found(weights, fact, free, batch, self._origins.is_kind(values, "sampled"))
            return

    def _is_along(self, weights: Tensor, fact: _Fact, dimension: int) -> bool:
        """Return whether a dimension of a view of weights is the axis of their softmax."""
        followed: Followed = fact.subject
        size = weights.shape[dimension]
        if size == 1:
            return followed.shape[followed.axis] == 1
        parts = fact.axes.of_dimension(size, weights.stride(dimension))
        return bool(parts) and all(part.axis == followed.axis for part in parts or ())

    def _sum_weighted(self, product: Tensor, fact: _Fact, dimensions: list[int]) -> None:
        """See the sum of weights times values, written without a matrix product."""
        _, sources = fact.subject
        weights = next(x for x in sources if self._facts.get(x) is not None)
        values = next(x for x in sources if x is not weights)
        inner = self._facts.get(weights)
        if inner is None or inner.stage != "weights" or len(dimensions) != 1:
            return
        offset = product.dim() - weights.dim()
        dimension = dimensions[0] - offset
        if dimension < 0 or not self._is_along(weights, inner, dimension):
            return
        shift = product.dim() - values.dim()
        shared = {
            n
            for n in range(weights.dim())
            if n + offset >= shift
            and values.shape[n + offset - shift] > 1
            and values.stride(n + offset - shift)
        }
        free = set(range(weights.dim())) - shared - {dimension}
        is_sampled = self._origins.is_kind(values, "sampled")
        self._found(weights, inner, free, shared - {dimension}, is_sampled)

    def _found(
        self, weights: Tensor, fact: _Fact, free: set[int], shared: set[int], is_sampled: bool
    ) -> None:
        """Note that some weights were multiplied with values, and report them when all were."""
        followed: Followed = fact.subject
        if followed.over_features and not is_sampled:
            return
        parts = fact.axes.of_view(weights)
        for dimensions, axes in ((free, followed.free), (shared, followed.shared)):
            for n in dimensions:
                axes.update(part.axis for part in parts[n] or ())
        followed.shared.discard(followed.axis)
        followed.free.discard(followed.axis)
        if fact.sheared:
            followed.pieces["all"] = followed.count
        else:
            sizes: dict[int, int] = {}
            count = 1
            for found in parts:
                for part in found or ():
                    sizes[part.axis] = sizes.get(part.axis, 1) * part.size
                    count *= part.size
            starts = tuple(sorted(fact.axes.starts_of(weights).items()))
            followed.pieces[starts, tuple(sorted(sizes.items()))] = count
        followed.running = tuple(self._running)
        followed.found = fact.before or (weights.detach(), fact.axes)
        if followed.covered >= followed.count:
            self._open = [other for other in self._open if other is not followed]
            self._report(followed)
        elif not any(other is followed for other in self._open):
            self._open.append(followed)

    def lost(self) -> Iterator[Followed]:
        """Softmaxes of scores that were taken where they are not followed."""
        return (followed for followed in self._begun if followed.moved)

    def flush(self, depth: int, *, ended: bool = False) -> None:
        """Report the softmaxes of which the first or last keys were left out, such as a sink.

        Args:
            depth: those of modules nested at least this deep.
            ended: whether these modules have ended, so that nothing more can come.

        Raises:
            InputError: the weights of only some queries were multiplied with values.
        """
        waiting, self._open = self._open, []
        for followed in waiting:
            keys = followed.shape[followed.axis]
            spans = _spans(followed)
            if len(followed.running) < depth or (spans is None and not ended):
                self._open.append(followed)
                continue
            if spans is None:
                raise InputError(
                    f"only {followed.covered} of the {followed.count} weights of a softmax of shape "
                    f"{followed.shape} were seen when they were multiplied with values; the code "
                    "multiplies the rest in a way that is not followed"
                )
            first, last = min(start for start, _ in spans), max(stop for _, stop in spans)
            assert followed.found is not None  # set with the first piece
            tensor, axes = followed.found
            if axes.size(followed.axis) == keys:
                whole = axes.original(tensor, len(followed.shape))
                tensor = whole.narrow(followed.axis, first, last - first)
                axes = AxisMap.of(tensor)
            followed.shape = tuple(tensor.shape)
            followed.found = tensor, axes
            self._report(followed)

    def _report(self, followed: Followed) -> None:
        self._begun = [other for other in self._begun if other is not followed]
        try:
            self._on_attention(followed)
        finally:
            followed.found = None


_BY_HAND = frozenset(["_log_softmax", "logsumexp", "exp", "exp_", "sum"])


def _spans(followed: Followed) -> list[tuple[int, int]] | None:
    """Ranges of keys that were multiplied, or `None` if not for every query."""
    spans = []
    for (starts, sizes), count in followed.pieces.items():
        size = dict(sizes).get(followed.axis, 1)
        if count * followed.shape[followed.axis] != size * followed.count:
            return None
        start = dict(starts).get(followed.axis, 0)
        spans.append((start, start + size))
    return spans
