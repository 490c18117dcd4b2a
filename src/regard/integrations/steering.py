"""Knock-outs in a running model: heads silenced, keys hidden or reweighed, layer by layer.

What a head or a word does for an answer is found out by taking it away. `steer` takes it away inside the
attention of any model of `transformers` that looks its attention function up in `AttentionInterface`,
and gives it back when the block ends.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeAlias, TypeVar, cast

from torch import Tensor, nn

from regard.errors import InputError, MissingExtraError, nearest
from regard.integrations.attention_modules import (
    REASONS,
    attention_modules,
    in_a_stack,
    is_routed,
    unknown_options,
)
from regard.integrations.knockout import (
    SteeredLayer,
    steered_attention,
    steered_layers,
    steered_mask,
    steering_of,
)
from regard.integrations.sites import site_names

try:
    from transformers import (
        AttentionInterface,
        AttentionMaskInterface,
        PreTrainedConfig,
        PreTrainedModel,
    )
    from transformers.masking_utils import sdpa_mask

    from regard.integrations.transformers import is_watched
except ImportError as _error:
    raise MissingExtraError("regard.steer", "transformers") from _error

__all__ = ["Place", "Steered", "heads_by_layer", "hidden_keys", "steer"]

Place: TypeAlias = int | str | tuple[str, int]
"""Where something is knocked out: a layer (from 0), a site with all its layers, or a layer of a site."""

V = TypeVar("V")
# The keys of a mapping are invariant: a `dict[int, ...]` is none of `Mapping[Place, ...]`.
ByPlace: TypeAlias = (
    Mapping[int, V] | Mapping[str, V] | Mapping[tuple[str, int], V] | Mapping[Place, V]
)
"""Values by place."""

_NAME = "regard_steered"

_lock = threading.Lock()


@contextlib.contextmanager
def steer(
    model: nn.Module,
    *,
    heads: ByPlace[Sequence[int]] | None = None,
    hide: Sequence[int] | ByPlace[Sequence[int]] | None = None,
    scale: Mapping[int, float] | ByPlace[Mapping[int, float]] | None = None,
) -> Iterator[Steered]:
    r"""Silence heads and hide or reweigh keys of a model of `transformers` inside the block.

    With factors :math:`s_j` of the keys (0 where hidden, 1 where nothing is said), a weight becomes

    .. math:: a'_{ij} = \frac{s_j a_{ij}}{\sum_k s_k a_{ik}}

    before the values are summed; a query whose keys are all hidden gets zeros, and so does a silenced head,
    before the output projection of its layer. Everything else runs as it is, the key-value cache included.
    A watched model may be steered, inside `watch` or around it: its maps are those of the steered run.

    >>> import regard, torch, transformers
    >>> sizes = {"hidden_size": 8, "num_attention_heads": 2, "intermediate_size": 8}
    >>> config = transformers.BertConfig(vocab_size=9, num_hidden_layers=1, **sizes)
    >>> model = transformers.BertModel(config).eval()
    >>> with regard.steer(model, heads={0: [1]}, hide=[2]), regard.watch(model) as seen:
    ...     output = model(torch.tensor([[1, 2, 3]]))
    >>> float(seen["encoder"][0].dense[0, :, :, 2].max()), float(seen["encoder"][0].dense[0, 1].max())
    (0.0, 0.0)

    Args:
        model: a `transformers` model, or a module that contains one.
        heads: heads to silence, from 0, by layer.
        hide: positions of keys that no query may attend to, in all layers or by layer. Positions count the
            tokens of a text as the model reads them, from 0.
        scale: factors of keys by position, at least 0, in all layers or by layer.

    Yields:
        What is steered, with the layers that it may name.

    Raises:
        InputError: no such site, layer, head or position; a model that cannot be steered or is already; a
            model of several sites where none is named; nothing that was steered came to run.
    """
    root = _root(model)
    steered = Steered(_layers_of(root))
    steered.silence(heads or {})
    steered.hide(_by_place(hide, "hide"))
    steered.rescale(_by_place(scale, "scale"))
    with contextlib.ExitStack() as undo:
        _enter(root, steered, undo)
        yield steered
        steered.check_used()


@contextlib.contextmanager
def hidden_keys(model: nn.Module, positions: Sequence[int]) -> Iterator[None]:
    """Hide keys in all layers inside the block, also of a model that is being steered already.

    Args:
        model: see `steer`; all its layers attend to the same keys.
        positions: see `steer`.
    """
    layers = [steered_layers.get(id(part)) for part in model.modules()]
    running = [layer for layer in layers if layer is not None]
    if not running:
        with steer(model, hide=positions):
            yield
        return
    before = [dict(layer.factors) for layer in running]
    for layer in running:
        layer.factors |= dict.fromkeys(positions, 0.0)
    try:
        yield
    finally:
        for layer, factors in zip(running, before, strict=True):
            layer.factors = factors


def heads_by_layer(model: nn.Module) -> dict[str, list[int]]:
    """Number of heads of each layer by site; empty for a model that cannot be steered.

    Args:
        model: a `transformers` model, or a module that contains one.
    """
    try:
        root = _root(model)
        layers = _layers_of(root)
    except InputError:
        return {}
    found = {site: [_heads_of(part) for part in stack] for site, stack in layers.items()}
    return found if all(all(counts) for counts in found.values()) else {}


_HEAD_COUNTS = ("num_heads", "num_attention_heads", "n_heads", "n_head")


def _heads_of(part: nn.Module) -> int:
    """Number of heads of an attention module, by its own account or its configuration's; 0: not known."""
    for owner in (part, getattr(part, "config", None)):
        for name in _HEAD_COUNTS:
            if isinstance(count := getattr(owner, name, None), int):
                return count
    return 0


class Steered:
    """Layers of a steered model, and what is changed in them.

    Attributes:
        layers: number of layers by site.
        modules: what is changed, by the id of the attention module.
    """

    def __init__(self, modules: Mapping[str, Sequence[nn.Module]]) -> None:
        self._places = {
            (site, number): SteeredLayer(site, number)
            for site, stack in modules.items()
            for number in range(len(stack))
        }
        self.modules: dict[int, SteeredLayer] = {
            id(part): self._places[site, number]
            for site, stack in modules.items()
            for number, part in enumerate(stack)
        }
        self.layers: dict[str, int] = {site: len(stack) for site, stack in modules.items()}

    def silence(self, heads: Mapping[Any, Sequence[int]]) -> None:
        """Silence heads."""
        for place, chosen in heads.items():
            if any(head < 0 for head in chosen):
                raise InputError(f"heads {list(chosen)} of {place!r}; they are counted from 0")
            for layer in self._at(place):
                layer.heads |= set(chosen)

    def hide(self, positions: Mapping[Any, Sequence[int]]) -> None:
        """Hide keys."""
        self.rescale({place: dict.fromkeys(chosen, 0.0) for place, chosen in positions.items()})

    def rescale(self, factors: Mapping[Any, Mapping[int, float]]) -> None:
        """Multiply the weights of keys."""
        for place, by_position in factors.items():
            for position, factor in by_position.items():
                if position < 0:
                    raise InputError(f"key {position}; positions are counted from 0")
                if not 0 <= factor < float("inf"):
                    raise InputError(f"key {position} has the factor {factor}; expected at least 0")
                for layer in self._at(place):
                    layer.factors[position] = layer.factors.get(position, 1.0) * factor

    def _at(self, place: Place | None) -> list[SteeredLayer]:
        """The layers of a place."""
        if isinstance(place, tuple):
            site, number = place
        elif isinstance(place, str):
            site, number = place, None
        else:
            site, number = self._only_site(), place
        if site not in self.layers:
            raise InputError(
                f"the model has no attention in {site!r}; {nearest(site, self.layers)}"
            )
        if number is None:
            return [layer for (own, _), layer in self._places.items() if own == site]
        if not 0 <= number < self.layers[site]:
            raise InputError(
                f"no layer {number} in {site!r}; it has {self.layers[site]}, counted from 0"
            )
        return [self._places[site, number]]

    def _only_site(self) -> str:
        if len(self.layers) > 1:
            names = ", ".join(map(repr, self.layers))
            first = next(iter(self.layers))
            raise InputError(
                f"the model attends in several places ({names}), with keys of their own; say which: "
                f"{{{first!r}: ...}}, or {{({first!r}, 0): ...}} for a layer"
            )
        return next(iter(self.layers))

    def check_used(self) -> None:
        """Check that what was to be changed was there.

        Raises:
            InputError: the model ran, and some layer or key that is named did not.
        """
        ran = any(layer.calls for layer in self._places.values())
        for layer in self._places.values() if ran else ():
            if (layer.heads or layer.factors) and not layer.calls:
                raise InputError(
                    f"{layer.site} layer {layer.number} did not run, so nothing was changed there"
                )
            if layer.factors and max(layer.factors) >= layer.keys:
                raise InputError(
                    f"key {max(layer.factors)} of {layer.site} layer {layer.number} was never there: the "
                    f"longest text had {layer.keys} tokens; positions are counted from 0"
                )


def _attention(
    module: nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    **options: Any,
) -> tuple[Tensor, Tensor]:
    """Compute the attention of a steered model; an `AttentionInterface` function."""
    layer = steering_of(module)
    if layer is None:
        raise InputError(
            f"{type(module).__name__} runs on {_NAME!r} attention outside regard.steer; models are "
            "steered by `with regard.steer(model):`, not by attn_implementation"
        )
    if unknown := unknown_options(type(module), options):
        name = unknown[0]
        raise InputError(
            f"{type(module).__name__} attends with {name!r}, which steering does not support"
            + (f" (it {REASONS[name]})" if name in REASONS else "")
            + "; this model cannot be steered"
        )
    mask = steered_mask(layer, module, query, key, attention_mask, options)
    return steered_attention(module, query, key, value, mask, options)


def _by_place(given: Any, name: str) -> Mapping[Place | None, Any]:
    """What is given by place; `None` stands for all layers."""
    if given is None:
        return {}
    nested = isinstance(given, Mapping) and all(
        isinstance(value, Mapping if name == "scale" else Iterable) for value in given.values()
    )
    return cast("Mapping[Place | None, Any]", given) if nested else {None: given}


def _root(model: nn.Module) -> PreTrainedModel:
    """The outermost `transformers` model inside, all of whose attention can be steered."""
    roots = [part for part in model.modules() if isinstance(part, PreTrainedModel)]
    if not roots:
        raise InputError(
            f"{type(model).__name__} contains no transformers model, so there is nothing to steer; a model "
            "of regard takes masked_out (translate) and strengths (reweigh)"
        )
    root = roots[0]
    stacked = [(name, part) for name, part in attention_modules(root) if in_a_stack(name)]
    if not stacked:
        raise InputError(f"{type(root).__name__} has no layers of attention to steer")
    for name, part in stacked:
        if not is_routed(type(part)):
            raise InputError(
                f"{type(root).__name__} does not route its attention through AttentionInterface ({name}, a "
                f"{type(part).__name__}, computes it by itself), so it cannot be steered"
            )
    return root


def _layers_of(root: PreTrainedModel) -> dict[str, list[nn.Module]]:
    """Attention modules of a model by site, in the order of the layers, as `watch` names them."""
    parts = {name: part for name, part in attention_modules(root) if in_a_stack(name)}
    causal = {name: bool(getattr(part, "is_causal", True)) for name, part in parts.items()}
    sites = site_names(causal, is_encoder_decoder=bool(root.config.is_encoder_decoder))
    found: dict[str, list[nn.Module]] = {}
    for name, part in parts.items():
        found.setdefault(sites[name], []).append(part)
    wanted = getattr(root.config.get_text_config(), "num_hidden_layers", None)
    if len(found) == 1 and isinstance(wanted, int) and len(parts) < wanted:
        raise InputError(
            f"{type(root).__name__} uses {len(parts)} attention module(s) for {wanted} layers, which share "
            "their parameters, so a layer cannot be steered apart"
        )
    return found


def _enter(root: PreTrainedModel, steered: Steered, undo: contextlib.ExitStack) -> None:
    """Send the attention of a model to the functions here."""
    with _lock:
        if any(module in steered_layers for module in steered.modules):
            raise InputError("this model is being steered already; leave that block first")
        AttentionInterface.register(_NAME, _attention)
        AttentionMaskInterface.register(_NAME, sdpa_mask)
        steered_layers.update(steered.modules)

    def leave() -> None:
        with _lock:
            for module in steered.modules:
                del steered_layers[module]

    undo.callback(leave)
    if is_watched(root):  # its attention is captured, and asks here what is changed
        return
    for part in root.modules():
        config = getattr(part, "config", None)
        if isinstance(config, PreTrainedConfig) and config._attn_implementation_internal != _NAME:
            before = config._attn_implementation_internal
            undo.callback(setattr, config, "_attn_implementation_internal", before)
            config._attn_implementation_internal = _NAME
