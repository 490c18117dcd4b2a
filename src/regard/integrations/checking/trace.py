"""Softmaxes of running torch code, seen where Python calls them, with the module and line that did."""

from __future__ import annotations

import contextlib
import math
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode

from regard.integrations.checking.subject import Subject

__all__ = ["Normalized", "Product", "Trace", "traced"]

_PRODUCTS = ("matmul", "__matmul__", "__rmatmul__", "bmm", "einsum", "baddbmm", "mm")
_QUOTIENTS = ("div", "true_divide", "divide", "__truediv__", "exp", "div_")
_SCALINGS = (*_QUOTIENTS, "mul", "mul_", "multiply", "__mul__", "__rmul__")
_CLOSE = 1e-4


@dataclass(frozen=True)
class Product:
    """A matrix product: its result and both operands."""

    result: Tensor
    operands: tuple[Tensor, ...]


@dataclass
class Normalized:
    """A tensor that was normalised along one axis, by a softmax or by hand.

    Attributes:
        weights: the tensor.
        axis: along which it sums to 1.
        scores: what went into the softmax, if it was one.
        place: module, function and line.
        module: the innermost module that ran.
        products: matrix products before it in that module.
        scaled: whether something was multiplied or divided by a number before it.
        output: what the module returned.
        call: positional and named arguments of the module.
    """

    weights: Tensor
    axis: int
    scores: Tensor | None
    place: str
    module: nn.Module | None
    products: list[Product]
    scaled: bool
    output: Any = None
    call: tuple[tuple[Any, ...], dict[str, Any]] = ((), {})


@dataclass
class _Running:
    module: nn.Module
    name: str
    call: tuple[tuple[Any, ...], dict[str, Any]]
    found: list[Normalized] = field(default_factory=list)


class Trace(TorchFunctionMode):
    """Collects what is normalised while it is active; fused attention is computed step by step.

    Attributes:
        found: in the order of the calls.
    """

    def __init__(self) -> None:
        super().__init__()
        self.found: list[Normalized] = []
        self.stack: list[_Running] = []
        self._products: list[Product] = []
        self._scaled = False

    def __torch_function__(
        self,
        func: Any,
        types: Any,
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        """Run a function of torch and look at what it makes."""
        kwargs = kwargs or {}
        if func is F.scaled_dot_product_attention:
            return self._written_out(*args, **kwargs)
        made = func(*args, **kwargs)
        name = getattr(func, "__name__", "")
        if not isinstance(made, Tensor) or not made.is_floating_point():
            return made
        if name == "softmax":
            axis = kwargs.get("dim", args[1] if len(args) > 1 else -1)
            scores = args[0] if args else kwargs.get("input")
            self._add(made, -1 if axis is None else int(axis), scores, f"softmax(dim={axis})")
            return made
        if name in _PRODUCTS:
            operands = [x for a in args for x in (a if isinstance(a, list | tuple) else [a])]
            self._products.append(
                Product(made, tuple(x for x in operands if isinstance(x, Tensor)))
            )
        elif name in _SCALINGS:
            self._note_scale(args)
        if name in _QUOTIENTS and made.dim() > 1 and (axis := _sums_to_one(made)) is not None:
            self._add(made, axis, None, f"{name}, normalised along axis {axis}")
        return made

    def _note_scale(self, args: tuple[Any, ...]) -> None:
        for factor in args[:2]:
            if isinstance(factor, int | float) and not isinstance(factor, bool):
                self._scaled |= factor not in (0, 1) and abs(factor) < 1e3
            elif isinstance(factor, Tensor):
                single = factor.dim() == 0 or isinstance(factor, nn.Parameter)
                self._scaled |= single and (
                    factor.numel() > 1 or abs(float(factor)) not in (0.0, 1.0)
                )

    def _written_out(self, query: Tensor, key: Tensor, value: Tensor, attn_mask: Tensor | None = None,
                     dropout_p: float = 0.0, is_causal: bool = False, scale: float | None = None,
                     enable_gqa: bool = False) -> Tensor:  # fmt: skip
        """`scaled_dot_product_attention` in steps that can be seen."""
        if enable_gqa:
            groups = query.shape[-3] // key.shape[-3]
            key, value = (x.repeat_interleave(groups, -3) for x in (key, value))
        product = query @ key.mT
        scores = product * (query.shape[-1] ** -0.5 if scale is None else scale)
        if is_causal:
            allowed = torch.ones(scores.shape[-2:], dtype=torch.bool, device=scores.device).tril()
            scores = scores.masked_fill(~allowed, -math.inf)
        if attn_mask is not None and attn_mask.dtype == torch.bool:
            scores = scores.masked_fill(~attn_mask, -math.inf)
        elif attn_mask is not None:
            scores = scores + attn_mask
        weights = scores.softmax(-1).nan_to_num() if attn_mask is not None else scores.softmax(-1)
        self._products.append(Product(product, (query, key)))
        before, self._scaled = self._scaled, True
        self._add(weights, -1, scores, "scaled_dot_product_attention")
        self._scaled = before
        return F.dropout(weights, dropout_p) @ value

    def _add(self, weights: Tensor, axis: int, scores: Any, what: str) -> None:
        if torch.is_grad_enabled() and not weights.requires_grad:
            weights.requires_grad_()
        running = next(
            (r for r in reversed(self.stack) if type(r.module).__module__ != "torch.nn.modules.activation"
             or isinstance(r.module, nn.MultiheadAttention)), None
        )  # fmt: skip
        where = f"{what} of {tuple(weights.shape)}"
        if running is not None:
            kind = type(running.module).__name__
            where += f" in {f'{running.name} ({kind})' if running.name else kind}"
        found = Normalized(
            weights,
            axis % max(1, weights.dim()),
            scores if isinstance(scores, Tensor) else None,
            where + _line(),
            running.module if running else None,
            list(self._products),
            self._scaled,
        )
        if running is not None:
            found.call = running.call
            running.found.append(found)
        self.found.append(found)

    def begin(
        self, name: str, module: nn.Module, call: tuple[tuple[Any, ...], dict[str, Any]]
    ) -> None:
        """Note that a module begins."""
        self.stack.append(_Running(module, name, call))

    def end(self, output: Any) -> None:
        """Note that the innermost module ends."""
        for found in self.stack.pop().found:
            found.output = output


def _sums_to_one(made: Tensor) -> int | None:
    """The last axis along which numbers of at least 0 sum to 1, if there is one."""
    with torch.no_grad():
        if bool((made < 0).any()) or not bool(made.isfinite().all()):
            return None
        for axis in reversed(range(made.dim())):
            if made.shape[axis] > 1 and bool(((made.sum(axis) - 1).abs() < _CLOSE).all()):
                return axis
    return None


def _line() -> str:
    """File and line of the user's code that is running."""
    for frame in reversed(traceback.extract_stack()):
        parts = Path(frame.filename).parts
        if not {"regard", "torch", "site-packages"} & {*parts}:
            return f" ({Path(frame.filename).name}:{frame.lineno})"
    return ""


@contextlib.contextmanager
def traced(subject: Subject) -> Iterator[Trace]:
    """Collect what is normalised inside the block."""
    trace = Trace()
    with contextlib.ExitStack() as undo:
        seen: set[int] = set()
        for module in subject.modules:
            for name, part in module.named_modules():
                if id(part) not in seen:
                    seen.add(id(part))
                    for hook in _hooks(trace, name, part):
                        undo.callback(hook.remove)
        with trace:
            yield trace


def _hooks(trace: Trace, name: str, part: nn.Module) -> list[Any]:
    begin: Callable[..., None] = lambda _, args, kwargs: trace.begin(name, part, (args, kwargs))  # noqa: E731
    end: Callable[..., None] = lambda _, args, output: trace.end(output)  # noqa: E731
    return [
        part.register_forward_pre_hook(begin, with_kwargs=True),
        part.register_forward_hook(end, always_call=True),
    ]
