"""Which modules attend, and which options of an attention function are known."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

from regard.integrations.attention_modules import (
    attention_modules,
    in_a_stack,
    is_routed,
    unknown_options,
)


def test_attention_modules_are_the_innermost(make):
    found = dict(attention_modules(make("bert")))
    assert list(found) == [f"encoder.layer.{n}.attention.self" for n in range(3)]
    assert all(is_routed(type(part)) for part in found.values())


@pytest.mark.parametrize("kind", ["MPNet", "XLNet", "Bloom", "ImageGPT"])
def test_models_that_attend_by_themselves(kind):
    config = getattr(transformers, f"{kind}Config")()
    with torch.device("meta"):
        model = getattr(transformers, f"{kind}Model")(config)
    found = dict(attention_modules(model))
    assert found
    assert not any(is_routed(type(part)) for part in found.values())


def test_the_attention_of_torch_is_found():
    layer = nn.TransformerEncoderLayer(8, 2)
    assert [name for name, _ in attention_modules(layer)] == ["self_attn"]


def test_a_pooling_head_is_no_stack():
    assert in_a_stack("encoder.layers.0.self_attn")
    assert not in_a_stack("vision_model.head.attention")


def test_options_are_unknown_unless_they_are_known():
    known = {"scaling": 0.5, "dropout": 0.0, "sliding_window": 4, "use_cache": True}
    assert unknown_options(known | {"softcap": None}) == []
    assert unknown_options(known | {"indices": 1, "anything": 2}) == ["indices", "anything"]
