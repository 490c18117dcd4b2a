"""`regard.check` of layers, models and functions: each planted fault by its name, and nothing in right ones."""

from __future__ import annotations

import functools
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.nn import functional as F

import regard
from regard.errors import InputError
from tests.integrations.checking.learners import (
    Alignment,
    Classifier,
    Decoder,
    Heads,
    Pooling,
    SelfAttention,
)

HEADS = "heads-and-length-swapped"
AXIS = "softmax-wrong-axis"
FAULTS: list[tuple[Any, str, str, dict[str, Any]]] = [
    (Alignment, "", "", {}),
    (Alignment, "query-ignored", "query-ignored", {}),
    (Alignment, "cancels", "query-ignored", {}),
    (Alignment, "key-ignored", "key-ignored", {}),
    (Alignment, "inverted", "mask-inverted", {}),
    (Alignment, "mask-ignored", "mask-ignored", {}),
    (Alignment, "added", "mask-added", {}),
    (Alignment, "zero score", "padding-attended", {}),
    (Alignment, "overflow", "mask-overflow", {}),
    (Alignment, "after softmax", "mask-after-softmax", {}),
    (Alignment, "one key", "weights-always-1", {}),
    (Alignment, "batch", AXIS, {}),
    (Alignment, "nan", "nan-when-all-masked", {}),
    (Alignment, "not-summed", "not-summed", {}),
    (Alignment, "detached", "no-gradient", {}),
    (functools.partial(Alignment, layers=True), "", "", {}),
    (functools.partial(Alignment, layers=True), "wrong-layer", "wrong-layer", {}),
    (Pooling, "", "", {}),
    (Pooling, "mask-ignored", "mask-ignored", {}),
    (Pooling, "one key", "weights-always-1", {}),
    (Pooling, "batch", AXIS, {}),
    (Pooling, "not-summed", "not-summed", {}),
    (Pooling, "mean", "padding-attended", {}),
    (Classifier, "", "", {"padding": 0}),
    (Classifier, "padding", "padding-attended", {"padding": 0}),
    (Classifier, "recurrent", "padding-attended", {"padding": 0}),
    (SelfAttention, "", "", {}),
    (SelfAttention, "view", HEADS, {}),
    (SelfAttention, "among heads", HEADS, {}),
    (SelfAttention, "join", HEADS, {}),
    (SelfAttention, "no scale", "scale-missing", {}),
    (SelfAttention, "on queries", "mask-on-queries", {}),
    (SelfAttention, "over queries", AXIS, {}),
    (SelfAttention, "over heads", AXIS, {}),
    (SelfAttention, "over batch", AXIS, {}),
    (SelfAttention, "nan", "nan-when-all-masked", {}),
    (SelfAttention, "random", "random-in-eval", {}),
    (functools.partial(SelfAttention, causal=True), "", "", {"causal": True}),
    (functools.partial(SelfAttention, causal=True), "triu", "causal-transposed", {"causal": True}),
    (
        functools.partial(SelfAttention, causal=True),
        "one ahead",
        "future-attended",
        {"causal": True},
    ),
    (
        functools.partial(SelfAttention, causal=True),
        "no causal",
        "future-attended",
        {"causal": True},
    ),
    (functools.partial(SelfAttention, fused=True), "", "", {}),
    (functools.partial(SelfAttention, fused=True), "view", HEADS, {}),
    (functools.partial(SelfAttention, fused=True), "among heads", HEADS, {}),
    (functools.partial(SelfAttention, fused=True), "join", HEADS, {}),
    (Heads, "", "", {}),
    (Heads, "in place", "input-changed", {}),
    (Heads, "detached", "no-gradient", {}),
    (Heads, "sigmoid", "rows-not-1", {}),
    (Heads, "over queries", AXIS, {}),
    (Heads, "dropped", "dropout-in-weights", {}),
    (Decoder, "", "", {"causal": "strict"}),
    (Decoder, "not shifted", "target-not-shifted", {"causal": "strict"}),
]


def planted(kind: Any, width: int, fault: str, seed: int) -> nn.Module:
    torch.manual_seed(seed)
    module: nn.Module = kind(width, fault=fault)
    return module


@pytest.mark.parametrize(("kind", "fault", "name", "options"), FAULTS)
def test_a_planted_fault_is_found_by_its_name_and_nothing_else(kind, fault, name, options):
    for width, seed in ((8, 0), (20, 1), (32, 2)):
        report = regard.check(planted(kind, width, fault, seed), seed=seed, **options)
        assert report.names == ((name,) if name else ()), f"width {width}, seed {seed}: {report}"
        assert report.ok == (not name)


@settings(max_examples=12, deadline=None, derandomize=True)
@given(
    case=st.sampled_from(FAULTS),
    width=st.sampled_from([8, 12, 16, 24, 40]),
    seed=st.integers(0, 1000),
)
def test_any_width_and_seed(case, width, seed):
    kind, fault, name, options = case
    report = regard.check(planted(kind, width, fault, seed), seed=seed, **options)
    assert report.names == ((name,) if name else ()), str(report)


@pytest.mark.parametrize(
    "make",
    [
        lambda: F.scaled_dot_product_attention,
        lambda: regard.layers.MultiHeadAttention(16, 4),
        lambda: regard.layers.BahdanauAttention(16, 12),
        lambda: regard.layers.LuongAttention(16, 16, score="general"),
        lambda: regard.layers.AttentionPooling(16, 8, heads=2),
        lambda: nn.TransformerDecoderLayer(16, 4, 32, batch_first=True),
        lambda: lambda query, key, value, mask: regard.attend(query, key, value, mask=mask),
        lambda: nn.MultiheadAttention(16, 4, add_zero_attn=True, batch_first=True),
    ],
    ids=["sdpa", "multihead", "bahdanau", "luong", "pooling", "decoder", "attend", "zero"],
)
def test_right_attention_has_no_finding(make):
    torch.manual_seed(0)
    report = regard.check(make())
    assert report.ok, str(report)


@pytest.mark.parametrize("batch_first", [True, False])
def test_of_torchs_own_layers_only_what_torch_documents_is_found(batch_first):
    torch.manual_seed(0)
    report = regard.check(nn.MultiheadAttention(16, 4, dropout=0.1, batch_first=batch_first))
    # Rows of NaN, and weights after dropout: both so in torch itself.
    assert set(report.names) == {"nan-when-all-masked", "dropout-in-weights"}
    layer = nn.TransformerEncoderLayer(16, 4, 32, batch_first=batch_first)
    assert set(regard.check(layer).names) <= {"nan-when-all-masked"}


def test_batch_first_forgotten_is_an_answer_that_depends_on_the_batch():
    class Forgetful(nn.Module):
        def __init__(self):
            super().__init__()
            self.inner = nn.MultiheadAttention(16, 4)

        def forward(self, x):
            return self.inner(x, x, x)[0]

    report = regard.check(Forgetful())
    assert report.names == ("batch-dependent",)
    assert "batch_first" in report.findings[0].advice


@pytest.mark.parametrize("name", ["bert", "gpt2", "t5"])
def test_models_of_transformers(name):
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    if name == "bert":
        config = transformers.BertConfig(
            vocab_size=50,
            hidden_size=32,
            num_attention_heads=4,
            intermediate_size=64,
            num_hidden_layers=2,
        )
        report = regard.check(transformers.BertModel(config))
        wrong = regard.check(transformers.BertModel(config), causal=True)
        assert wrong.names == ("future-attended",)
    elif name == "gpt2":
        config = transformers.GPT2Config(
            vocab_size=50, n_embd=32, n_head=4, n_layer=2, bos_token_id=0, eos_token_id=1
        )
        report = regard.check(transformers.GPT2LMHeadModel(config), causal=True)
    else:
        config = transformers.T5Config(
            vocab_size=50, d_model=32, d_kv=8, d_ff=64, num_layers=2, num_heads=4
        )
        report = regard.check(transformers.T5ForConditionalGeneration(config), causal=True)
    assert report.ok, str(report)


def numpy_attention(query, key, value, axis=-1):
    scores = query @ np.swapaxes(key, -1, -2) / np.sqrt(key.shape[-1])
    raised = np.exp(scores - scores.max())
    weights = raised / raised.sum(axis, keepdims=True)
    return weights @ value


def test_numpy_functions_of_matrices_without_a_batch():
    assert regard.check(numpy_attention).ok
    for axis in (-2, None):
        report = regard.check(functools.partial(numpy_attention, axis=axis))
        assert report.names == (AXIS,), str(report)


def test_jax_functions():
    pytest.importorskip("jax")
    import jax
    import jax.numpy as jnp

    def attention(query, key, value):
        weights = jax.nn.softmax(query @ jnp.swapaxes(key, -1, -2) / 4, -2)
        return weights @ value

    example = [np.random.default_rng(0).normal(size=(2, n, 16)) for n in (3, 5, 5)]
    report = regard.check(attention, example=[jnp.asarray(x) for x in example])
    assert report.names == (AXIS,)


def test_keras_layers_are_left_unbuilt():
    keras: Any = pytest.importorskip("keras")
    layer_class: Any = keras.layers.Layer
    if keras.backend.backend() != "torch":
        pytest.skip("the tests run Keras on torch")

    class Bahdanau(layer_class):
        def __init__(self, units, axis=1):
            super().__init__()
            self.of_query, self.of_value = keras.layers.Dense(units), keras.layers.Dense(units)
            self.score, self.axis = keras.layers.Dense(1), axis

        def call(self, query, values):
            query = keras.ops.expand_dims(query, 1)
            both = keras.ops.tanh(self.of_query(query) + self.of_value(values))
            weights = keras.ops.softmax(self.score(both), axis=self.axis)
            return keras.ops.sum(weights * values, axis=1), weights

    layer = Bahdanau(12)
    assert regard.check(layer).ok
    assert not layer.built
    assert regard.check(Bahdanau(12, axis=-1)).names == ("weights-always-1",)
    assert regard.check(Bahdanau(12, axis=0)).names == (AXIS,)
    assert regard.check(keras.layers.Attention()).ok
    assert regard.check(keras.layers.MultiHeadAttention(2, 8)).ok


def test_a_mask_whose_true_hides():
    def attention(query, key, value, mask):
        return (query @ key.mT / 4).masked_fill(mask, -torch.inf).softmax(-1).nan_to_num() @ value

    assert regard.check(attention).names == ("mask-inverted",)
    assert regard.check(attention, mask_hides=True).ok


def test_a_mask_of_queries_and_keys_the_wrong_way_round():
    def attention(x, mask):
        scores = (x @ x.mT / 4).masked_fill(~mask.mT, -torch.inf)
        return scores.softmax(-1).nan_to_num() @ x

    report = regard.check(attention, example={"x": torch.randn(3, 7, 16)}, ignore=["mask-overflow"])
    assert "mask-transposed" in report.names or "mask-on-queries" in report.names, str(report)


def test_a_small_number_instead_of_minus_infinity():
    def attention(query, key, value, mask):
        return (query @ key.mT / 4).masked_fill(~mask[:, None], -30.0).softmax(-1) @ value

    assert regard.check(attention).names == ("mask-too-weak",)


def test_the_report_is_text_and_rows_and_names_the_place():
    report = regard.check(planted(SelfAttention, 16, "over queries", 0))
    row = report.rows()[0]
    assert row["name"] == AXIS
    assert row["length of axis"] == 7
    assert "learners.py:" in row["part"]
    text = str(report)
    assert "SelfAttention: 1 wrong" in text
    assert "try: softmax over the keys" in text
    assert "padding-attended, which softmax-wrong-axis brings with it" in text


def test_what_was_not_checked_is_told():
    report = regard.check(nn.Linear(8, 8))
    assert any(text.startswith("masks: no argument") for text in report.unchecked)
    assert any(text.startswith("padding: no argument") for text in report.unchecked)


class Refuses(Heads):
    """Works in float32 alone, and not in training."""

    def forward(self, query, key, value, mask=None):
        if query.dtype != torch.float32 or self.training:
            raise NotImplementedError("only for float32, and when it is trained")
        return super().forward(query, key, value, mask)


def test_a_probe_that_the_module_refuses_is_not_told_as_tried():
    report = regard.check(Refuses())
    assert not any("weights in training" in run for run in report.runs)
    refused = "refused by NotImplementedError: only for float32, and when it is trained"
    assert {f"float16: {refused}", f"weights in training: {refused}"} <= set(report.unchecked)


def test_what_is_meant_so_can_be_left_out():
    module = planted(Heads, 16, "sigmoid", 0)
    assert regard.check(module, ignore=["rows-not-1"]).ok
    with pytest.raises(InputError, match="rows-not-1"):
        regard.check(module, ignore=["rows-not-one"])


def test_the_module_is_left_as_it_was():
    module = planted(Heads, 16, "dropped", 0).train()
    before = {name: value.clone() for name, value in module.state_dict().items()}
    state = torch.random.get_rng_state()
    regard.check(module)
    assert all(part.training for part in module.modules())
    assert all(torch.equal(before[n], value) for n, value in module.state_dict().items())
    assert all(p.grad is None for p in module.parameters())
    assert not any(part._forward_hooks or part._forward_pre_hooks for part in module.modules())
    assert torch.equal(state, torch.random.get_rng_state())


def test_things_that_cannot_be_checked():
    with pytest.raises(InputError, match="regard check FOLDER"):
        regard.check("runs/mood")  # type: ignore[call-overload]
    with pytest.raises(InputError, match=r"score=\.\.\."):
        regard.check(regard.scores.Dot())  # type: ignore[call-overload]
    with pytest.raises(InputError, match=r"Heads\(\.\.\.\)"):
        regard.check(Heads)
    with pytest.raises(InputError, match="by themselves"):
        regard.check(Heads(), score=regard.scores.Dot())  # type: ignore[call-overload]
    with pytest.raises(InputError, match="cannot tell what foo is"):
        regard.check(lambda foo, bar, spam, eggs: foo)
    with pytest.raises(InputError, match="without an array of floats"):
        regard.check(lambda query, key: 3)
    with pytest.raises(InputError, match="does not run with the example"):
        regard.check(Heads(16), example=[torch.zeros(2, 3, 5)] * 3)
