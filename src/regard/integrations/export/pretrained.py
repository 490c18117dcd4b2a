"""Classifiers of transformers as graphs, with the inputs that transformers gives them."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from regard.integrations.export.graphs import Axes, Graph, Named
from regard.integrations.pretrained.adapters import remove_adapters
from regard.integrations.pretrained.networks import (
    PretrainedBase,
    PretrainedClassifier,
    PretrainedEncoder,
)

__all__ = ["classifier_graph", "pretrained_obstacle"]

_OTHERS = "'optimum-cli export onnx' of the optimum package exports it from its folder"

_AXES: Axes = dict.fromkeys(("input_ids", "attention_mask", "token_type_ids"), ("batch", "length"))


def pretrained_obstacle(network: PretrainedBase) -> str:
    """Why a network of transformers cannot become a graph, as the end of a sentence; empty if it can."""
    if isinstance(network, PretrainedEncoder) and not isinstance(network, PretrainedClassifier):
        return f"it has no head that gives an answer; {_OTHERS}"
    if not isinstance(network, PretrainedClassifier):
        return f"it writes, by steps of transformers' own; {_OTHERS}"
    if network.model.config.is_encoder_decoder:
        return f"it reads a text twice, in its encoder and its decoder; {_OTHERS}"
    if not getattr(network.tokenizer_backend, "is_fast", False):
        return (
            "its tokenizer is no fast one, so that the tokenizers library cannot read it alone; save the "
            "folder with a fast tokenizer"
        )
    return ""


def classifier_graph(network: PretrainedClassifier, *, longest: int, attention: bool) -> Graph:
    """Graph of a classifier without obstacle: ids of its own vocabulary and their mask to logits.

    Args:
        network: in evaluation mode; the graph holds a copy, low-rank changes merged.
        longest: most tokens that it reads.
        attention: whether the graph gives the weights of every layer, too.
    """
    merged = network.stored_state()
    model: Any = copy.deepcopy(network.model)
    remove_adapters(model)
    model.load_state_dict(merged)
    model = model.cpu().float().eval().requires_grad_(False)
    model.set_attn_implementation("eager" if attention else "sdpa")
    ids, lengths = torch.tensor([[9, 8, 7, 6], [8, 9, 7, 0]]), torch.tensor([4, 3])
    inputs = network.inputs(ids, lengths)
    names = ["input_ids", "attention_mask"]
    if network.takes_types:
        inputs.setdefault("token_type_ids", torch.zeros_like(ids))
        names.append("token_type_ids")
    given = {name: inputs[name].cpu() for name in names}
    module = _Classifier(model, names, attention)
    outputs = tuple(module(*given.values()))
    axes = {name: _AXES[name] for name in names}
    return Graph("model", module, given, axes, outputs, {"length": longest})


class _Classifier(nn.Module):
    """A model of transformers, its arguments by position and its outputs by name."""

    def __init__(self, model: nn.Module, names: list[str], attention: bool) -> None:
        super().__init__()
        self.model = model
        self.names = names
        self.attention = attention

    def forward(
        self, input_ids: Tensor, attention_mask: Tensor, token_type_ids: Tensor | None = None
    ) -> Named:
        types = {} if token_type_ids is None else {"token_type_ids": token_type_ids}
        caches = {"use_cache": False} if hasattr(self.model.config, "use_cache") else {}
        found = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            output_attentions=self.attention,
            **types,
            **caches,
        )
        layers = found.attentions if self.attention else ()
        maps = {f"attention_{number}": weights for number, weights in enumerate(layers, 1)}
        return {"logits": found.logits, **maps}
