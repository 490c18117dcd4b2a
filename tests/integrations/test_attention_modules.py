"""Which modules attend, and which options of an attention function are known."""

from __future__ import annotations

import pytest
import torch
import transformers
from torch import nn

from regard.integrations.attention_modules import (
    attention_modules,
    goes_beyond_sdpa,
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
    assert unknown_options(nn.Module, known | {"softcap": None}) == []
    assert unknown_options(nn.Module, known | {"indices": 1, "any": 2}) == ["indices", "any"]


def test_caps_and_sinks_are_known_where_they_were_measured():
    """DeepSeek V4 does more than its sinks say: it is left to the dispatcher."""
    given = {"softcap": 50.0, "s_aux": torch.zeros(4)}
    gemma2 = transformers.models.gemma2.modeling_gemma2.Gemma2Attention
    gpt_oss = transformers.models.gpt_oss.modeling_gpt_oss.GptOssAttention
    for kind in (gemma2, gpt_oss):
        assert unknown_options(kind, given) == []
        assert goes_beyond_sdpa(kind)
    assert unknown_options(nn.Module, given) == ["softcap", "s_aux"]
    other = pytest.importorskip("transformers.models.deepseek_v4.modeling_deepseek_v4")
    assert not goes_beyond_sdpa(other.DeepseekV4Attention)
