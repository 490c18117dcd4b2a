"""Mean pooling as a layer of attention, so that a plain `...ForSequenceClassification` pools its text.

Classifiers of the BERT family read the state of one token, `[CLS]` or `<s>`. In encoders that were made to
embed sentences (SBERT, Reimers and Gurevych 2019) the mean of all states says more of a text: of the 22 M
MiniLM, 90 % against 84 % of sentiment sentences (docs/log.md). No head of BERT computes that mean, but a layer
of attention does, if its queries and keys are zero: its weights are uniform over the text, padding left out. So
the mean can be had in a model that everybody opens.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

__all__ = ["add_mean_pooling", "pools_by_mean"]

SHARE = 1000.0
"""Weight of the mean beside the token's own state, which the residual connection adds."""

NEARLY_LINEAR = 0.25
r"""Factor inside the pooler's :math:`\tanh`, of normalised features, which it then hardly bends."""

_PARTS = (
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)
"""Modules of a layer of BERT, RoBERTa, XLM-RoBERTa, CamemBERT and ELECTRA, normalised after each residual."""


def add_mean_pooling(model: Any) -> bool:
    r"""Append a layer in which every token reads the mean of all states.

    .. math:: \mathrm{LN}\left(\frac{s}{n} \sum_i h_i + h_{\mathrm{cls}}\right), \quad s = 1000

    Queries and keys are zero, values and the output projection are the identity (times `s`), and the
    feed-forward part adds nothing, so the second normalisation changes nothing. A dense layer with a
    :math:`\tanh` between the pooled states and the last layer of the head becomes the identity (times 1/4).

    Args:
        model: a `...ForSequenceClassification`, changed in place.

    Returns:
        Whether its architecture has such layers; nothing is changed if not.
    """
    layers = _layers(model)
    if layers is None:
        return False
    model.config.num_hidden_layers = len(layers) + 1
    layer: Any = type(layers[-1])(model.config, layer_idx=len(layers)).to(model.dtype)
    parts = [layer.get_submodule(name) for name in _PARTS]
    query, key, value, mixing, norm, inner, outer, last_norm = parts
    with torch.no_grad():
        for part in (query, key, inner, outer):
            part.weight.zero_()
        for part, factor in ((value, 1.0), (mixing, SHARE)):
            _set_identity(part, factor)
        for part in (query, key, inner, outer, norm, last_norm):
            part.bias.zero_()
        for part in (norm, last_norm):
            part.weight.fill_(1.0)
        dense = _dense_of_head(model)
        if dense is not None:
            _set_identity(dense, NEARLY_LINEAR)
    layers.append(layer.train(model.training))
    return True


def pools_by_mean(model: Any) -> bool:
    """Whether the last layer of a model gives all tokens of a text the same weight."""
    layers = _layers(model)
    if layers is None:
        return False
    last = layers[-1].get_submodule("attention.self")
    return not any(
        bool(part.any())
        for part in (last.query.weight, last.query.bias, last.key.weight, last.key.bias)
    )


def _layers(model: Any) -> Any | None:
    layers = getattr(getattr(model.base_model, "encoder", None), "layer", None)
    if not isinstance(layers, nn.ModuleList) or not len(layers):
        return None
    names = {name for name, _ in layers[-1].named_modules()}
    return layers if names.issuperset(_PARTS) else None


def _dense_of_head(model: Any) -> Any | None:
    """The dense layer of BERT's pooler, or of the head of RoBERTa."""
    for name in ("pooler.dense", "classifier.dense"):
        owner = model.base_model if name.startswith("pooler") else model
        found = dict(owner.named_modules()).get(name)
        if isinstance(found, nn.Linear) and found.in_features == found.out_features:
            return found
    return None


def _set_identity(dense: Any, factor: float) -> None:
    dense.weight.copy_(factor * torch.eye(len(dense.weight)))
    dense.bias.zero_()
