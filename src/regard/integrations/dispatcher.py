"""Attention of any PyTorch model, captured at torch's dispatcher while the model runs.

Every operation of a model passes the dispatcher, whoever wrote the model. Fused attention operators are asked
through `attend` with their own arguments; attention that is written out is followed from its softmax to the
product with the values (`softmax_trace`). The model itself computes what it always computes: its output and its
gradients are the same, bit for bit.
"""

from __future__ import annotations

import contextlib
import re
import sys
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.module import (
    register_module_forward_hook,
    register_module_forward_pre_hook,
)
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.hooks import RemovableHandle

from regard.attention import AttentionMap
from regard.errors import InputError
from regard.integrations.arranging import Sizes, arrange
from regard.integrations.captured import Keep
from regard.integrations.fused_operators import MapOf, checked_heads, fused_map
from regard.integrations.registry import registered
from regard.integrations.sites import is_cross
from regard.integrations.softmax_trace import Followed, SoftmaxTrace
from regard.integrations.watched import Watched

__all__ = ["watch_dispatcher"]

_HEADS = re.compile(
    r"^(n_?heads?|num_(attention_|encoder_|decoder_)?heads|heads|h|num_head|n_heads?_.*)$"
)
_ROUTER = re.compile(r"(^|[._])(moe|router|gate|gating|experts?|mixture)", re.IGNORECASE)
_ATTENTION = re.compile(r"attention|attn", re.IGNORECASE)


@contextlib.contextmanager
def watch_dispatcher(model: nn.Module, *, keep: Keep | None = None) -> Iterator[Watched]:
    """Capture the attention of any module while it runs inside the block; see `regard.watch`.

    Raises:
        InputError: the model is being watched already, ran in another thread or without an attention that
            could be followed, or attends in a way that can be seen only partly.
        RegardError: some query has NaN weights.
    """
    seen = Watched(model, keep or Keep())
    observer = _Observer(model, seen)
    with contextlib.ExitStack() as undo:
        undo.enter_context(registered(model, seen))
        undo.callback(observer.trace.clear)
        for hook in _hooks(model, observer):
            undo.callback(hook.remove)
        _follow_transformers(model, seen, undo)
        with _no_compiled_code(), observer:
            yield seen
        observer.finish()
        seen.finish()


def _hooks(model: nn.Module, observer: _Observer) -> Iterator[RemovableHandle]:
    """Report the modules of a model to an observer."""
    if any(isinstance(part, nn.TransformerEncoderLayer) for part in model.modules()):
        # Hooks of its own keep such a layer from its fast path, which rounds in another way.
        yield register_module_forward_pre_hook(observer.on_begin)
        yield register_module_forward_hook(observer.on_end, always_call=True)
        return
    for part in model.modules():
        yield part.register_forward_pre_hook(observer.on_begin)
        yield part.register_forward_hook(observer.on_end, always_call=True)


def _follow_transformers(model: nn.Module, seen: Watched, undo: contextlib.ExitStack) -> None:
    """Follow the caches and the loops of `generate` of models of `transformers` inside."""
    if "transformers" not in sys.modules:
        return
    from transformers import PreTrainedModel

    from regard.integrations.forward_passes import follow_forward_passes
    from regard.integrations.generation import generation_followed

    if any(isinstance(part, PreTrainedModel) for part in model.modules()):
        undo.enter_context(generation_followed())
        follow_forward_passes(model, seen, undo)


@contextlib.contextmanager
def _no_compiled_code() -> Iterator[None]:
    """Run the code of compiled models itself: operations inside compiled code pass no dispatcher."""
    with torch.compiler.set_stance("force_eager"):
        yield


class _Outermost(nn.Module):
    """Stands for the outermost module of a call, which may itself be a model that reports its calls."""


@dataclass
class _Running:
    """A module that is running."""

    module: nn.Module
    inputs: Any


class _Observer(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's __init_subclass__
    """Sees every operation of a model in the thread of its block.

    Args:
        model: the model.
        seen: takes the maps.
    """

    supports_higher_order_operators = True

    def __init__(self, model: nn.Module, seen: Watched) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._model, self._seen = model, seen
        self._names = {id(part): name for name, part in model.named_modules()}
        self._running: list[_Running] = []
        self._thread = threading.get_ident()
        self._can_write = bool(getattr(model, "can_generate", lambda: False)())
        self._fused: dict[Any, tuple[str, MapOf | None]] = {}
        self._composite: dict[Any, bool] = {}
        self._call = contextlib.ExitStack()
        self._causal: dict[int, bool] = {}
        self._ran: set[int] = set()
        self._attended: set[int] = set()
        self.trace = SoftmaxTrace(model, self._on_written, self._running)

    # Modules

    def on_begin(self, module: nn.Module, inputs: Any) -> None:
        """Note that a module begins."""
        if id(module) not in self._names or _in_backward():
            return
        if threading.get_ident() != self._thread:
            raise InputError(
                f"{type(self._model).__name__} runs in another thread than its regard.watch block, where "
                "the dispatcher cannot be seen; open the block in the thread that runs the model"
            )
        if not self._running:
            self._call = contextlib.ExitStack()
            self._call.enter_context(self._seen.running(_Outermost()))
        self._running.append(_Running(module, inputs))
        self._ran.add(id(module))

    def on_end(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """Note that a module ends, also by an error."""
        if id(module) not in self._names or threading.get_ident() != self._thread:
            return
        if not any(run.module is module for run in self._running):
            return
        while self._running.pop().module is not module:
            pass
        self.trace.flush(len(self._running) + 1, ended=True)
        if not self._running:
            try:
                self._check_lost()
                self._call.close()
            finally:
                self.trace.clear()

    # Operators

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        """Run an operation and look at it."""
        kwargs = kwargs or {}
        if not self._running or _in_backward():
            return func(*args, **kwargs)
        if self._is_composite(func):
            with _views_of_parameters(), self:
                made = func.decompose(*args, **kwargs)
            if made is not NotImplemented:
                return made
        name, map_of = self._kind_of(func)
        self.trace.before(name, args)
        made = func(*args, **kwargs)
        if map_of is not None:
            names = (argument.name for argument in func._schema.arguments)
            given = dict(zip(names, args, strict=False)) | kwargs
            with torch.no_grad():
                weights, by_flag = map_of(given, self._seen.keep, self._sizes(self._running).heads)
                self._add(self._running, weights, causal=by_flag)
        else:
            self.trace.observe(name, args, made)
        return made

    def _kind_of(self, func: Any) -> tuple[str, MapOf | None]:
        if func not in self._fused:
            packet = getattr(func, "overloadpacket", func)
            name = getattr(packet, "__name__", str(func))
            if getattr(func, "namespace", "aten") != "aten":
                name = f"{func.namespace}.{name}"
            if "flex_attention" in name:
                raise InputError(
                    f"the model attends by {name}, which the dispatcher does not show; try "
                    "attn_implementation='sdpa' or 'eager' where the model has such a setting"
                )
            self._fused[func] = name, fused_map(name)
        return self._fused[func]

    def _is_composite(self, func: Any) -> bool:
        """Return whether an operation consists of others; it is met whole only in inference mode."""
        if func not in self._composite:
            self._composite[func] = isinstance(
                func, torch._ops.OpOverload
            ) and torch._C._dispatch_has_kernel_for_dispatch_key(
                _name(func), "CompositeImplicitAutograd"
            )
        return self._composite[func]

    # Attention

    def _on_written(self, followed: Followed) -> None:
        """Take weights that were multiplied with values."""
        module = followed.running[-1].module
        path = ".".join([self._names[id(module)], type(module).__name__])
        if not followed.of_product and _ROUTER.search(path):
            return
        with torch.no_grad():
            weights = arrange(followed, self._sizes(followed.running, followed.shape))
            if weights.dtype not in (torch.float32, torch.float64):
                weights = weights.float() if weights.numel() <= 2**20 else weights
            heads = self._seen.keep.heads
            if heads is not None:
                weights = weights[:, list(checked_heads(heads, weights.shape[1]))]
            self._add(followed.running, AttentionMap.from_dense(weights), causal=False)

    def _add(self, running: Sequence[_Running], weights: AttentionMap, *, causal: bool) -> None:
        self._attended.update(id(run.module) for run in running)
        module = running[-1].module
        queries, keys = weights.shape[2:]
        cached = self._seen.run.segment.cached if self._seen.run else None
        read = cached or 0
        if queries > 1:
            visible = read + queries if read + queries < keys else keys  # of a static cache
            causal = causal or _is_causal(weights, visible)
            self._causal[id(module)] = causal
        else:
            causal = self._causal.get(id(module), self._writes(self._names[id(module)]))

        def make() -> tuple[AttentionMap, int, int]:
            if not causal:
                return weights, 0, 0
            first_query = max(keys - queries, 0) if cached is None else cached
            end = first_query + queries
            if end < keys and not bool((weights[..., end:] != 0).any()):
                # The rest of a static cache is still empty.
                return AttentionMap.from_dense(weights[..., :end]), first_query, 0
            return weights, first_query, max(end - keys, 0)

        self._seen.add_layer(module, make, causal=causal)

    def _writes(self, name: str) -> bool:
        """Return whether a module that gets one query belongs to a text that is being written."""
        if self._seen.is_encoder_decoder:
            return "decoder" in name.split(".") and not is_cross(name)
        return self._can_write

    def _sizes(self, running: Sequence[_Running], shape: tuple[int, ...] = ()) -> Sizes:
        """Numbers of heads and batch sizes that the running modules name."""
        heads: list[int] = []
        batch: list[int] = []
        lengths = set(shape)
        for run in reversed(running):
            for source in (run.module, getattr(run.module, "config", None)):
                for name, value in vars(source).items() if source is not None else ():
                    if isinstance(value, int) and value > 0 and _HEADS.match(name):
                        heads.append(value)
            for given in run.inputs if isinstance(run.inputs, tuple) else ():
                if isinstance(given, Tensor) and not given.is_nested and given.dim() >= 2:
                    first = getattr(run.module, "batch_first", True) or given.shape[1] in lengths
                    order = given.shape[:2] if first else (given.shape[1], given.shape[0])
                    batch += [int(size) for size in order]
        return Sizes(tuple(dict.fromkeys(heads)), tuple(dict.fromkeys(batch)))

    def _check_lost(self) -> None:
        """Raise where an attention was seen only up to its softmax."""
        for followed in self.trace.lost():
            module = followed.running[-1].module
            name = self._names[id(module)]
            if _ATTENTION.search(f"{name}.{type(module).__name__}"):
                raise InputError(
                    f"{name} ({type(module).__name__}) takes the result of its softmax, of shape "
                    f"{followed.shape}, to {followed.moved}, where it is not followed; this attention cannot "
                    "be watched"
                )

    def finish(self) -> None:
        """Check that every attention was seen.

        Raises:
            InputError: the model ran and no attention was found, or an attention module ran without one
                while others of its class had one.
        """
        model = type(self._model).__name__
        if self._ran and not self._attended:
            raise InputError(
                f"{model} ran, but no attention was found in it: no fused attention, and no softmax whose "
                "result is multiplied with values; there is nothing to show"
            )
        parts = {id(part): part for part in self._model.modules()}
        seen = {type(parts[part]) for part in self._attended if part in parts}
        for part in self._ran - self._attended:
            kind = type(parts[part])
            if kind in seen and _ATTENTION.search(kind.__name__):
                raise InputError(
                    f"{model}: no attention was found in {self._names[part]} ({kind.__name__}), which ran, "
                    "while other modules of this class have one; what was seen is not all"
                )


@contextlib.contextmanager
def _views_of_parameters() -> Iterator[None]:
    """Let views of parameters require gradients, as outside: `matmul` chooses its kernel by that."""
    key = torch._C.DispatchKey.ADInplaceOrView
    excluded = torch._C._dispatch_tls_is_dispatch_key_excluded(key)
    torch._C._dispatch_tls_set_dispatch_key_excluded(key, False)
    try:
        yield
    finally:
        torch._C._dispatch_tls_set_dispatch_key_excluded(key, excluded)


def _in_backward() -> bool:
    """Return whether autograd runs, which recomputes what a checkpoint did not keep."""
    return torch._C._current_graph_task_id() != -1


def _is_causal(weights: AttentionMap, end: int) -> bool:
    """Return whether no query attends to a key after it, the last query standing at the key before `end`."""
    queries, keys = weights.shape[-2:]
    if end < queries:
        return False
    first = weights[..., 0, :]
    if bool((first[..., end - queries + 1 :] != 0).any()):
        return False
    for rows, tile in weights.tiles():
        later = torch.ones(rows.stop - rows.start, keys, dtype=torch.bool, device=tile.device)
        later = later.triu(rows.start + end - queries + 1)
        if bool((tile * later != 0).any()):
            return False
    return True


def _name(func: Any) -> str:
    """Name of an operator in the dispatcher, with that of its overload."""
    name: str = func.name()
    return name
