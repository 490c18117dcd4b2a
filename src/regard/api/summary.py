"""Summary of the network of a model, ours or one of transformers, which may be absent."""

from __future__ import annotations

import torch
from torch import nn

from regard.attention import AttentionMap
from regard.integrations.captured import Keep
from regard.integrations.pretrained.networks import PretrainedBase
from regard.layers.eval_mode import eval_mode
from regard.models.summarizing import Probe, probe_network, summarize
from regard.models.summary import ModelSummary

__all__ = ["summarize_network"]

_MAPS = Keep(pool=0, topk=0, entropy=False, received=False, dense_limit=0, maps=True)


def summarize_network(network: nn.Module, title: str) -> ModelSummary:
    """Layers of a network in order, with shapes, parameters and where attention is.

    The network is run twice, on a few ids, in evaluation mode.

    Args:
        network: of a model.
        title: what the model is.
    """
    if not isinstance(network, PretrainedBase):
        return summarize(network, probe_network(network), title=title)
    probes = _pretrained_probe(network, 0), _pretrained_probe(network, 1)
    maps, cross = _maps(network, probes[0])
    return summarize(network.model, probes, title=title, maps=maps, cross=cross)


def _maps(network: PretrainedBase, probe: Probe) -> tuple[dict[str, AttentionMap], set[str]]:
    """Map of each attention module of a model of transformers by its name, and names of those that cross."""
    from regard.integrations.attention_modules import attention_modules
    from regard.integrations.watching import watch

    model: nn.Module = network.model
    names = {name for name, _ in attention_modules(model)}
    with torch.no_grad(), eval_mode(model), watch(model, keep=_MAPS) as seen:
        probe.call()
    layers = [layer for site in seen.sites for layer in seen[site]]
    found = {layer.module: layer.calls[0].map for layer in layers if layer.module in names}
    cross = {layer.module for layer in layers if layer.site.startswith("cross")}
    return {name: each for name, each in found.items() if each is not None}, cross


def _pretrained_probe(network: PretrainedBase, number: int) -> Probe:
    """A pass of a model of transformers over padded ids: its own, without `regard` around it."""
    from regard.integrations.pretrained.decoders import PretrainedEncoderDecoder

    model, batch, length, target = network.model, (3, 2)[number], (7, 6)[number], (5, 4)[number]
    word = min(10, len(network.vocabulary) - 5)
    ids = torch.full((batch, length), word)
    mask = torch.ones_like(ids)
    mask[-1, -2:] = 0
    end = model.config.get_text_config().eos_token_id
    if isinstance(
        end, int
    ):  # a classifier may read the state at the end, of which each row has one
        ids[:-1, -1] = ids[-1, -3] = end
    inputs = {"input_ids": ids}
    sizes = {"batch": batch, "length": length}
    if isinstance(network, PretrainedEncoderDecoder):
        inputs["decoder_input_ids"] = torch.full((batch, target), word)
        sizes = {"batch": batch, "source": length, "target": target}
    device = next(model.parameters()).device
    given = {name: tensor.to(device) for name, tensor in inputs.items()}
    options = {"use_cache": False} if network.caches else {}
    return Probe(lambda: model(**given, attention_mask=mask.to(device), **options), given, sizes)
