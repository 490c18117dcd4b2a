"""Names of the places in a model where attention happens: encoder, decoder, cross, and towers by name."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

__all__ = ["Site", "is_cross", "order_of_sites", "site_names", "stack_of"]

Site = str
"""Place of attention in a model.

`"encoder"` or `"decoder"` (self-attention), `"cross"` (cross-attention), or in a model with several
towers the name of one: `"vision"`, `"audio"`, `"text"`, or what the model itself calls it.
"""

STANDARD = ("vision", "audio", "encoder", "text", "decoder", "cross")

# transformers' modules of cross-attention have no common attribute, only names of three kinds:
# crossattention or cross_attn (BERT, GPT-2), encoder_attn (BART), EncDecAttention (T5).
_CROSS_ATTENTION = re.compile(r"cross_?att|encoder_att|encdec")
_DECODER_OF_TORCH = re.compile(r"(^|\.)decoder\.layers\.\d+\.multihead_attn$")  # nn.Transformer
_TOWERS = {
    "vision": {"vision", "visual", "image", "video", "pixel", "vit"},
    "audio": {"audio", "speech", "sound"},
    "text": {"text", "language", "lm"},
}
_GENERIC = {"layers", "layer", "blocks", "block", "h", "model", "transformer", "module"}


def site_names(modules: Mapping[str, bool], *, is_encoder_decoder: bool) -> dict[str, Site]:
    """Name the site of each attention module.

    Args:
        modules: whether each module, by its name in the model, is causal.
        is_encoder_decoder: whether the model is one.

    Returns:
        The site of each module. No two stacks of layers share one: where the names above would be
        the same, a site is called as the model calls the stack, behind `"cross."` for cross-attention.
    """
    stacks = {name: _path(name) for name in modules}
    several = len({stack for name, stack in stacks.items() if not is_cross(name)}) > 1
    sites: dict[str, Site] = {}
    for name, causal in modules.items():
        if is_cross(name):
            sites[name] = "cross"
        else:
            tower = _tower(stacks[name], causal, is_encoder_decoder) if several else None
            sites[name] = tower or _side(name, causal, is_encoder_decoder)
    for site in set(sites.values()):
        members = {stacks[name]: name for name, own in sites.items() if own == site}
        if len(members) > 1:
            own_names = dict(zip(members, _distinct(site, list(members)), strict=True))
            if site == "cross":
                own_names = {stack: f"cross.{own}" for stack, own in own_names.items()}
            sites |= {name: own_names[stacks[name]] for name in sites if sites[name] == site}
    return sites


def order_of_sites(sites: Iterable[Site]) -> list[Site]:
    """Distinct sites in the order in which data flows; names of the model's own come first."""
    found = list(dict.fromkeys(sites))
    own = [site for site in found if site not in STANDARD]
    return own + [site for site in STANDARD if site in found]


def is_cross(name: str) -> bool:
    """Return whether a module is one of cross-attention by its name."""
    if _DECODER_OF_TORCH.search(name):
        return True
    return any(_CROSS_ATTENTION.search(part) for part in name.lower().split("."))


def stack_of(name: str) -> str:
    """Return the path of the list of layers that a module belongs to, with its kind of attention."""
    return _path(name) + ("/cross" if is_cross(name) else "")


def _path(name: str) -> str:
    """Return all of a module's name before the first number."""
    parts = name.split(".")
    numbers = [n for n, part in enumerate(parts) if part.isdigit()]
    return ".".join(parts[: numbers[0]] if numbers else parts[:-1])


def _tower(stack: str, causal: bool, is_encoder_decoder: bool) -> Site | None:
    parts = stack.lower().split(".")
    for n, part in enumerate(parts):
        words = set(part.split("_"))
        for tower, keys in _TOWERS.items():
            if not words & keys:
                continue
            if tower != "text":
                return tower
            if is_encoder_decoder and {"encoder", "decoder"} & set(parts[n + 1 :]):
                return None  # a language model of two sides
            if "encoder" in words or "encoder" in parts[n + 1 :]:
                return "text"
            # A language model beside a tower that sees or hears is the decoder.
            return "decoder" if causal or "decoder" in words else "text"
    return None


def _side(name: str, causal: bool, is_encoder_decoder: bool) -> Site:
    sides = [part for part in name.lower().split(".") if part in ("encoder", "decoder")]
    if is_encoder_decoder and sides:
        return sides[0]
    return "decoder" if causal else "encoder"


def _distinct(site: Site, stacks: list[str]) -> list[Site]:
    """Names of stacks that would share a site: the parts of their paths in which they differ."""
    paths = [stack.split(".") for stack in stacks]
    shared = set.intersection(*map(set, paths)) | _GENERIC
    names = [".".join(part for part in path if part.lower() not in shared) for path in paths]
    if len(set(names)) < len(names):
        names = stacks
    return [name or site for name in names]
