"""Our Transformers as specifications of CTranslate2, which writes them in its own format.

CTranslate2 has its own Transformer, not a graph of operations: each of our tensors goes to its place there, and
what has no place cannot be exported. `obstacle` says what has none.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regard.errors import InputError, MissingExtraError
from regard.layers import LearnedPositions, MultiHeadAttention
from regard.models.building_blocks import Embedding, FeedForward, Residual
from regard.models.language_model import TransformerLanguageModel
from regard.models.settings import LmSettings, TransformerSettings
from regard.models.transformer import Transformer
from regard.text import BOS, PAD, SPECIALS

__all__ = ["NEVER_WRITTEN", "generator_spec", "obstacle", "translator_spec"]

NEVER_WRITTEN = (PAD, BOS)
"""Tokens that our decoding never writes."""

_FORBIDDEN = -1e4
"""Bias of a token that is never written: its probability is 0, and float16 can hold it."""

_NO_PLACE: Mapping[str, str] = {
    "alibi": "its encoder has no ALiBi positions (positions=alibi)",
    "relative": "its layers share one table of relative positions, and ours have one each "
    "(positions=relative)",
}
"""Positions that CTranslate2's encoder-decoder cannot have."""

_NO_KIND: Mapping[str, str] = {
    "rnn": "it has no recurrent layers",
    "pointer": "it has no recurrent layers, and copies no word of the source",
    "extractive": "it has no recurrent layers",
    "masked": "its encoders end in states and have no masked words",
}


def obstacle(network: nn.Module) -> str:
    """Why a network cannot be written for CTranslate2, as the end of a sentence; empty if it can."""
    if isinstance(network, Transformer):
        assert isinstance(network.settings, TransformerSettings)
        return _NO_PLACE.get(network.settings.positions, "")
    if isinstance(network, TransformerLanguageModel):
        return ""
    kind = getattr(getattr(network, "settings", None), "kind", "")
    return _NO_KIND.get(kind, "it runs models that write a text, Transformers of its own layers")


def translator_spec(
    network: Transformer, source: Sequence[str], target: Sequence[str], *, positions: int
) -> Any:
    """Specification of an encoder-decoder, as `ctranslate2.Translator` reads it.

    Args:
        network: with a kind of positions that `obstacle` has nothing against.
        source: tokens of the source vocabulary, by id.
        target: tokens of the target vocabulary, by id.
        positions: longest source or target; more have no sinusoidal position there.

    Returns:
        `ctranslate2.specs.TransformerSpec`, with all weights.

    Raises:
        MissingExtraError: CTranslate2 is not installed.
        InputError: a vocabulary in which two ids have one token.
    """
    specs = _specs()
    settings = network.settings
    assert isinstance(settings, TransformerSettings)
    shared: dict[str, Any] = {
        "num_heads": settings.heads,
        "pre_norm": settings.norm == "pre",
        "activation": _activation(specs, settings.activation),
        **({"rotary_dim": 0} if settings.positions == "rotary" else {}),
    }
    encoder = specs.transformer_spec.TransformerEncoderSpec(settings.encoder_layers, **shared)
    decoder = specs.transformer_spec.TransformerDecoderSpec(settings.decoder_layers, **shared)
    spec = specs.transformer_spec.TransformerSpec(encoder, decoder)
    _set_embedding(encoder.embeddings[0], network.source)
    _set_embedding(decoder.embeddings, network.target)
    for side in (encoder, decoder):
        if network.places is not None:
            side.position_encodings.encodings = _position_table(network.places, positions)
    for place, layer in _pairs(encoder.layer, network.encoder):
        _set_self_attention(place.self_attention, layer.attention, layer.around_attention)
        _set_feedforward(place.ffn, layer.feedforward, layer.around_feedforward)
    for place, layer in _pairs(decoder.layer, network.decoder):
        _set_self_attention(place.self_attention, layer.attention, layer.around_attention)
        _set_cross_attention(place.attention, layer.cross, layer.around_cross)
        _set_feedforward(place.ffn, layer.feedforward, layer.around_feedforward)
    if settings.norm == "pre":
        _set_norm(encoder.layer_norm, network.encoder_norm)
        _set_norm(decoder.layer_norm, network.decoder_norm)
    _set_output(decoder.projection, network.output)
    for name, tokens in (("source", source), ("target", target)):
        _check_unique(tokens, f"{name} vocabulary")
    spec.register_source_vocabulary(list(source))
    spec.register_target_vocabulary(list(target))
    spec.config.add_source_eos = True
    return spec


def generator_spec(network: TransformerLanguageModel, vocabulary: Sequence[str]) -> Any:
    """Specification of a language model, as `ctranslate2.Generator` reads it.

    Raises:
        MissingExtraError: CTranslate2 is not installed.
        InputError: a vocabulary in which two ids have one token.
    """
    specs = _specs()
    settings = network.settings
    assert isinstance(settings, LmSettings)
    heads = settings.key_heads
    decoder = specs.transformer_spec.TransformerDecoderSpec(
        settings.layers,
        settings.heads,
        pre_norm=True,
        activation=_activation(specs, "gelu"),
        with_encoder_attention=False,
        rotary_dim=0,
        num_heads_kv=None if heads in (None, settings.heads) else heads,
    )
    spec = specs.transformer_spec.TransformerDecoderModelSpec(decoder)
    _set_embedding(decoder.embeddings, network.embedding)
    for place, layer in _pairs(decoder.layer, network.decoder):
        _set_self_attention(place.self_attention, layer.attention, layer.first)
        _set_feedforward(place.ffn, layer.feedforward, layer.second)
    _set_norm(decoder.layer_norm, network.norm)
    _set_output(decoder.projection, network.output)
    _check_unique(vocabulary, "vocabulary")
    spec.register_vocabulary(list(vocabulary))
    return spec


def _specs() -> Any:
    """CTranslate2's package of specifications."""
    try:
        from ctranslate2 import specs
    except ModuleNotFoundError as error:
        raise MissingExtraError("export to CTranslate2", "export") from error
    return specs


def _pairs(places: Iterable[Any], layers: Iterable[Any]) -> Iterator[tuple[Any, Any]]:
    """Each layer of theirs beside ours, whose types a `ModuleList` does not keep."""
    return zip(places, layers, strict=True)


def _activation(specs: Any, name: str) -> Any:
    kinds = specs.common_spec.Activation
    return {"relu": kinds.RELU, "gelu": kinds.GELU}[name]


def _set_embedding(place: Any, embedding: nn.Module) -> None:
    assert isinstance(embedding, Embedding)
    place.weight = _array(embedding.weight)
    place.multiply_by_sqrt_depth = embedding.factor != 1.0


def _position_table(places: nn.Module, positions: int) -> np.ndarray[Any, Any]:
    """The vectors that are added to embeddings, `(positions, width)`."""
    if isinstance(places, LearnedPositions):
        return _array(places.table)
    return _array(places(positions))


def _set_self_attention(place: Any, attention: MultiHeadAttention, around: Residual) -> None:
    """Queries, keys and values of self-attention are one product, there as here."""
    _set_linear(place.linear[0], attention.projection)
    _set_linear(place.linear[1], attention.output)
    _set_norm(place.layer_norm, around.norm)


def _set_cross_attention(place: Any, attention: MultiHeadAttention, around: Residual) -> None:
    projection, width = attention.projection, attention.width
    for linear, rows in ((place.linear[0], slice(width)), (place.linear[1], slice(width, None))):
        linear.weight = _array(projection.weight[rows])
        linear.bias = _array(projection.bias[rows])
    _set_linear(place.linear[2], attention.output)
    _set_norm(place.layer_norm, around.norm)


def _set_feedforward(place: Any, feedforward: FeedForward, around: Residual) -> None:
    first, last = (layer for layer in feedforward if isinstance(layer, nn.Linear))
    _set_linear(place.linear_0, first)
    _set_linear(place.linear_1, last)
    _set_norm(place.layer_norm, around.norm)


def _set_linear(place: Any, linear: nn.Linear) -> None:
    place.weight = _array(linear.weight)
    if linear.bias is not None:
        place.bias = _array(linear.bias)


def _set_output(place: Any, linear: nn.Linear) -> None:
    """Set the output projection, with a bias that forbids what our decoding never writes."""
    place.weight = _array(linear.weight)
    bias = torch.zeros(linear.out_features) if linear.bias is None else linear.bias.detach().clone()
    bias[list(NEVER_WRITTEN)] = _FORBIDDEN
    place.bias = _array(bias)


def _set_norm(place: Any, norm: nn.Module) -> None:
    assert isinstance(norm, nn.LayerNorm)
    place.gamma, place.beta = _array(norm.weight), _array(norm.bias)


def _array(tensor: Tensor) -> np.ndarray[Any, Any]:
    # A copy: CTranslate2 changes arrays in place where it quantises.
    return np.array(tensor.detach().cpu().float().numpy(), order="C")


def _check_unique(tokens: Sequence[str], name: str) -> None:
    """CTranslate2 finds the id of a token by its name."""
    seen: set[str] = set()
    for index, token in enumerate(tokens):
        if token in seen:
            raise InputError(
                f"two ids of the {name} have the token {token!r} (one of them {index}), which "
                f"CTranslate2 cannot tell apart; export to onnx or torch instead"
            )
        seen.add(token)
    assert tuple(tokens[: len(SPECIALS)]) == SPECIALS
