"""Parameters inside a score or normaliser, which is no module, as parameters of the layer that uses it."""

from __future__ import annotations

from torch import nn

__all__ = ["register_parameters"]


def register_parameters(layer: nn.Module, name: str, part: object) -> None:
    """Make the `nn.Parameter`s of a part parameters of a layer, so that they are trained, moved and saved.

    A score, normaliser or its like is a plain object whose parameters no module would find: its optimizer would
    never hear of them.

    Args:
        layer: that uses the part.
        name: of the part; a parameter `alpha` of it becomes `name_alpha`.
        part: object whose attributes are looked at.

    >>> from regard.attention.normalizers import Entmax
    >>> import torch
    >>> layer = nn.Identity()
    >>> register_parameters(layer, "normalizer", Entmax(nn.Parameter(torch.tensor([1.2, 1.8]))))
    >>> [name for name, _ in layer.named_parameters()]
    ['normalizer_alpha']
    """
    for attribute, value in vars(part).items():
        if isinstance(value, nn.Parameter):
            layer.register_parameter(f"{name}_{attribute}", value)
