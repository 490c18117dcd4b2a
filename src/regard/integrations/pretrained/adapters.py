r"""LoRA: low-rank changes beside the weights of a model, trained alone and merged when they are saved.

:math:`W' = W + \frac{\alpha}{r} B A` with `A` drawn at random and `B` zero at first (Hu et al. 2022). Every
linear layer of the body has one, as Dettmers et al. 2023 found to matter more than the rank.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from regard.errors import InputError, MissingExtraError

__all__ = ["add_adapters", "merged_state", "remove_adapters"]


def add_adapters(model: Any, *, rank: int, scaling: float, dropout: float, seed: int) -> None:
    """Freeze the body of a model and put low-rank changes beside its linear layers.

    Args:
        model: of transformers, changed in place; its head is trained whole.
        rank: of the changes.
        scaling: their alpha.
        dropout: of what they read.
        seed: of their initial weights.

    Raises:
        MissingExtraError: peft is not installed.
        InputError: it has no linear layers.
    """
    try:
        import peft
    except ImportError as error:
        raise MissingExtraError("LoRA", "tune") from error
    body, written = model.base_model, _output_layer(model)
    names = [
        name
        for name, module in model.named_modules()
        if _is_linear(module) and module is not written and _inside(module, body)
    ]
    if not names:
        raise InputError(f"{type(model).__name__} has no linear layers for LoRA; tune it full")
    config = peft.LoraConfig(
        r=rank,
        lora_alpha=scaling,  # type: ignore[arg-type] # any number will do
        lora_dropout=dropout,
        target_modules=names,
        bias="none",
    )
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter(
            "ignore"
        )  # on the transposed weights of GPT-2, which peft sees by itself
        torch.manual_seed(seed)
        peft.inject_adapter_in_model(config, model)
    in_body = {id(parameter) for parameter in body.parameters()}
    for name, parameter in model.named_parameters():
        own = ".lora_" in name or ".pooler." in name
        parameter.requires_grad_(own or id(parameter) not in in_body)


def _is_linear(module: nn.Module) -> bool:
    return isinstance(module, nn.Linear) or type(module).__name__ == "Conv1D"


def _output_layer(model: Any) -> nn.Module | None:
    """The layer that gives logits over a vocabulary; often it is the table of tokens as well."""
    found: nn.Module | None = model.get_output_embeddings()
    return found


def _inside(module: nn.Module, body: nn.Module) -> bool:
    return any(module is each for each in body.modules())


def merged_state(model: Any) -> dict[str, Tensor]:
    """State dict of the model with its changes added to the weights, under the names it had without them."""
    deltas = {
        f"{name}.weight": layer.get_delta_weight("default") for name, layer in _adapted(model)
    }
    found: dict[str, Tensor] = {}
    for name, tensor in model.state_dict().items():
        if ".lora_" in name:
            continue
        own = name.replace(".base_layer.", ".")
        found[own] = tensor + deltas[own].to(tensor.dtype) if own in deltas else tensor
    return found


def remove_adapters(model: Any) -> None:
    """Take the changes away again, unmerged, and let every weight be trained."""
    for name, layer in list(_adapted(model)):
        owner, _, own = name.rpartition(".")
        setattr(model.get_submodule(owner), own, layer.base_layer)
    model.requires_grad_(True)


def _adapted(model: Any) -> Iterator[tuple[str, Any]]:
    for name, module in model.named_modules():
        if hasattr(module, "lora_A") and hasattr(module, "base_layer"):
            yield name, module
