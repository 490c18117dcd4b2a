"""Watching `transformers` models: every layer against eager mode, and the model restored afterwards."""

from __future__ import annotations

import threading
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import WhitespaceSplit
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import regard
from regard.errors import InputError, RegardError
from regard.integrations import Keep, tokens
from regard.integrations import transformers as watching

ENCODERS = ["bert", "modern_bert", "albert"]
DECODERS = ["gpt2", "llama", "mistral"]
ENCODER_DECODERS = ["bart", "t5"]


@pytest.fixture
def check_against_eager(eager, run, watched):
    """Function that compares every layer with eager mode, and the output with the bare model's."""

    def check(model, keep=None, **inputs):
        seen, output = watched(model, keep, **inputs)
        mask, plain = inputs.get("attention_mask"), run(model, **inputs)[0]
        both = (output[0], plain)
        if model.config._attn_implementation == "eager" and mask is not None:
            both = tuple(x[mask.bool()] for x in both)  # where a row of padding is even, not zero
        torch.testing.assert_close(*both, atol=1e-5, rtol=0)
        for site, matrices in eager(model, **inputs).items():
            layers = seen[site or seen.sites[0]]
            assert len(layers) == len(matrices)
            for n, (layer, matrix) in enumerate(zip(layers, matrices, strict=True)):
                assert layer.index == n
                assert layer.shape == matrix.shape
                real = np.ones(1)
                if mask is not None and site in (None, "encoder"):
                    real = mask.numpy()[:, None, :, None]  # the rows of padding have no meaning
                np.testing.assert_allclose(layer.dense * real, matrix.numpy() * real, atol=1e-5)
        return seen

    return check


def padding(side):
    mask = torch.ones(2, 11, dtype=torch.long)
    mask[1, :4] = 0
    return mask if side == "left" else mask.flip(1)


@pytest.mark.parametrize("kind", ENCODERS + DECODERS)
def test_against_eager(make, kind, ids, check_against_eager):
    seen = check_against_eager(make(kind), input_ids=ids)
    assert seen.sites == ["encoder" if kind in ENCODERS else "decoder"]


@pytest.mark.parametrize("kind", ENCODERS + DECODERS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_against_eager_in_a_padded_batch(make, kind, ids, side, check_against_eager):
    mask = padding(side)
    seen = check_against_eager(make(kind), input_ids=ids, attention_mask=mask)
    layer = seen[seen.sites[0]][0]
    real = mask.numpy().astype(bool)
    assert (layer.dense[1][:, real[1]][..., ~real[1]] == 0).all()


@pytest.mark.parametrize("kind", ENCODER_DECODERS)
def test_encoder_decoders_keep_self_and_cross_apart(make, kind, ids, check_against_eager):
    target = ids[:, :5]
    seen = check_against_eager(
        make(kind), input_ids=ids, attention_mask=padding("right"), decoder_input_ids=target
    )
    assert seen.sites == ["encoder", "decoder", "cross"]
    assert [len(seen[site]) for site in seen.sites] == [3, 2, 2]
    assert seen["cross"][1].shape[2:] == (5, 11)
    assert [seen[site][0].causal for site in seen.sites] == [False, True, False]


BEYOND_SDPA = ["gemma2", "gpt_oss"]
"""Models whose scores are capped or whose softmax has sinks, which sdpa does not compute."""


@pytest.mark.parametrize("kind", BEYOND_SDPA)
@pytest.mark.parametrize("side", [None, "left"])
def test_caps_and_sinks_against_eager(make, kind, ids, side, check_against_eager):
    """With a cap the scores differ from those without, and with sinks rows sum to less than 1."""
    mask = {} if side is None else {"attention_mask": padding(side)}
    seen = check_against_eager(make(kind), input_ids=ids, **mask)
    sums = seen["decoder"][0].dense.sum(-1)
    assert (sums < 0.999).all() == (kind == "gpt_oss")


@pytest.mark.parametrize("kind", BEYOND_SDPA)
def test_chosen_heads_keep_their_sinks(make, kind, ids, eager, watched):
    model = make(kind)
    seen, _ = watched(model, Keep(heads=(3, 1)), input_ids=ids)
    (matrices,) = eager(model, input_ids=ids).values()
    np.testing.assert_allclose(seen["decoder"][0].dense, matrices[0][:, [3, 1]], atol=1e-6)


@pytest.mark.parametrize("kind", BEYOND_SDPA)
def test_training_beyond_sdpa(make, kind, ids):
    """Gradients of every parameter, sinks included, are those of eager mode."""
    model = make(kind)
    model.set_attn_implementation("eager")

    def gradient():
        model.zero_grad()
        model(ids)[0][..., 3].sum().backward()
        return {name: p.grad for name, p in model.named_parameters() if p.grad is not None}

    expected = gradient()
    with regard.watch(model, way="interface"):
        found = gradient()
    assert found.keys() == expected.keys()
    assert kind != "gpt_oss" or any("sinks" in name for name in found)
    for name, slope in expected.items():
        assert (found[name] - slope).abs().max() <= 1e-4 * slope.abs().max() + 1e-8, name


def test_masks_built_in_blocks_are_complete(make, ids, monkeypatch, check_against_eager):
    monkeypatch.setattr(watching, "_MASK_BLOCK_BYTES", 4 * 2 * 11 * 3)  # three rows at a time
    for kind in ("gpt2", "mistral", "modern_bert"):
        check_against_eager(make(kind), input_ids=ids, attention_mask=padding("left"))
    check_against_eager(
        make("t5"), input_ids=ids, attention_mask=padding("right"), decoder_input_ids=ids[:, :7]
    )


def test_bert_shaped_at_512_tokens_against_eager_on_every_layer(make, check_against_eager):
    ids = torch.randint(5, 50, (1, 512), generator=torch.Generator().manual_seed(2))
    model = make("bert")
    seen = check_against_eager(model, Keep(pool=7, topk=3, rows=(511,)), input_ids=ids)
    assert [layer.module for layer in seen["encoder"]] == [
        f"encoder.layer.{n}.attention.self" for n in range(3)
    ]


# Afterwards


def implementations(model):
    return [
        part.config._attn_implementation
        for part in model.modules()
        if isinstance(part, transformers.PreTrainedModel)
    ]


@pytest.mark.parametrize("before", ["sdpa", "eager"])
def test_the_model_is_restored(make, ids, before, run):
    for kind in ("bart", "gpt2"):
        model = make(kind)
        model.set_attn_implementation(before)
        with regard.watch(model):
            run(model, input_ids=ids)
            assert set(implementations(model)) == {"sdpa"}
        assert set(implementations(model)) == {before}
        assert not any(part._forward_pre_hooks for part in model.modules())
        assert not watching._watched_modules


def test_the_model_is_restored_after_an_error(make, ids, check_against_eager, run):
    model = make("bart")
    with pytest.raises(IndexError), regard.watch(model):
        run(model, input_ids=ids + 50)
    assert set(implementations(model)) == {"sdpa"}
    assert not watching._watched_modules
    check_against_eager(model, input_ids=ids, decoder_input_ids=ids)


def test_gradients_are_those_of_the_model(make, ids):
    model = make("gpt2")

    def gradient():
        model.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        return model.transformer.h[0].attn.c_attn.weight.grad.clone()

    expected = gradient()
    with regard.watch(model, keep=Keep(maps=True)) as seen:
        found = gradient()
    torch.testing.assert_close(found, expected)
    assert not seen["decoder"][0].map.dense().requires_grad


def test_two_models_in_two_threads(make, ids, eager, watched):
    results, together = {}, threading.Barrier(2)

    def watch(kind):
        model = make(kind)
        together.wait()
        for _ in range(5):
            seen, _ = watched(model, input_ids=ids)
        results[kind] = (model, seen)

    threads = [threading.Thread(target=watch, args=(kind,)) for kind in ("gpt2", "mistral")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model, seen in results.values():
        (matrices,) = eager(model, input_ids=ids).values()
        for layer, matrix in zip(seen["decoder"], matrices, strict=True):
            np.testing.assert_allclose(layer.dense, matrix, atol=1e-5)


def test_a_model_inside_another_module_can_be_watched(make, ids):
    class Wrapper(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.cross_encoder = inner

        def forward(self, ids):
            return self.cross_encoder(ids).last_hidden_state.mean(1)

    with regard.watch(Wrapper(make("bert"))) as seen, torch.no_grad():
        seen_model = Wrapper(make("bert"))
        with regard.watch(seen_model) as inner:
            seen_model(ids)
    assert inner.sites == ["encoder"]
    with pytest.raises(InputError, match="run Wrapper inside"):
        seen["encoder"]


def test_a_pipeline_can_be_watched(make, ids):
    words = {word: n for n, word in enumerate(("[UNK]", "the", "dog", "sat", "[PAD]"))}
    tokenizer: Any = Tokenizer(WordLevel(words, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = WhitespaceSplit()
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]"
    )
    pipe: Any = transformers.pipeline("feature-extraction", model=make("bert"), tokenizer=fast)
    with regard.watch(pipe) as seen:
        pipe(["the dog sat", "the dog"])
    assert [each["encoder"][0].shape[2:] for each in seen.passes] == [(3, 3), (2, 2)]
    assert len(seen.passes[1].record(tokens(fast, "the dog")).tracks) == 3
    with pytest.raises(InputError, match="int is no module of torch"), regard.watch(3):
        pass


def test_attentions_that_the_model_is_asked_for_are_answered(make, ids, run):
    for before in ("eager", "sdpa"):
        model = make("llama")
        model.set_attn_implementation("eager")
        expected = run(model, input_ids=ids, output_attentions=True).attentions
        model.set_attn_implementation(before)
        with regard.watch(model) as seen:
            answered = run(model, input_ids=ids, output_attentions=True).attentions
        assert len(answered) == len(seen["decoder"]) == 2
        for a, b in zip(answered, expected, strict=True):
            torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_gradients_pass_through_attentions_that_were_asked_for(make, ids):
    model = make("bert")

    def gradient():
        model.zero_grad()
        model(ids, output_attentions=True).attentions[1].square().sum().backward()
        return model.encoder.layer[0].attention.self.query.weight.grad.clone()

    with regard.watch(model):
        found = gradient()
    model.set_attn_implementation("eager")
    torch.testing.assert_close(found, gradient(), atol=1e-5, rtol=1e-4)


def test_options_that_are_not_known_are_refused(make, ids):
    model = make("llama")
    attention = model.model.layers[0].self_attn
    arrays = torch.zeros(3, 1, 4, 2, 8)
    with (
        pytest.raises(InputError, match="'block_indices', which the fast path does not support"),
        regard.watch(model),
    ):
        watching._attention(attention, arrays[0], arrays[1], arrays[2], None, block_indices=ids)


def test_sparse_attention_is_watched_with_its_choice_of_keys(check_against_eager, ids):
    # Under a name that it does not know, this model passes on its choice instead of masking by it.
    if not hasattr(transformers, "DeepseekV32Config"):
        pytest.skip("this version of transformers has no DeepSeek V3.2")
    torch.manual_seed(0)
    config = transformers.DeepseekV32Config(
        vocab_size=50,
        hidden_size=32,
        intermediate_size=64,
        moe_intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=4,
        n_routed_experts=4,
        num_experts_per_tok=2,
        n_group=1,
        topk_group=1,
        first_k_dense_replace=2,
        q_lora_rank=16,
        kv_lora_rank=16,
        qk_rope_head_dim=8,
        qk_nope_head_dim=8,
        v_head_dim=8,
        index_topk=3,
        index_n_heads=4,
        index_head_dim=16,
    )
    seen = check_against_eager(transformers.DeepseekV32Model(config).eval(), input_ids=ids)
    assert ((seen["decoder"][0].dense > 0).sum(-1) <= 3).all()


def test_a_model_without_attention_says_so():
    config = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8], depths=[1])
    with (
        pytest.raises(InputError, match="ResNetModel has no attention, so there is nothing"),
        regard.watch(transformers.ResNetModel(config)),
    ):
        pass


def test_another_function_at_the_name_of_sdpa_is_refused(make, monkeypatch):
    mapping = transformers.AttentionInterface._global_mapping
    monkeypatch.setitem(mapping, "sdpa", lambda *args, **options: None)
    with pytest.raises(InputError, match="registered as 'sdpa'"), regard.watch(make("bert")):
        pass


def test_registries_are_restored(make, ids, run):
    mapping = transformers.AttentionInterface._global_mapping
    before = mapping["sdpa"]
    first, second = make("bert"), make("gpt2")
    with regard.watch(first):
        with regard.watch(second):
            run(first, input_ids=ids)
        assert mapping["sdpa"] is not before
        run(make("llama"), input_ids=ids)  # a model that is not watched
    assert mapping["sdpa"] is before


# Memory


class Largest(TorchDispatchMode):
    """The most elements that any array made inside had."""

    def __init__(self):
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        made = function(*args, **(kwargs or {}))
        for array in made if isinstance(made, tuple | list) else (made,):
            if isinstance(array, torch.Tensor):
                storage = array.untyped_storage().nbytes() // array.element_size()
                self.elements = max(self.elements, storage)
        return made


@pytest.mark.parametrize("padded", [False, True])
def test_nothing_as_large_as_the_matrix_is_made(make, padded, monkeypatch, watched):
    length = 2048
    monkeypatch.setattr(watching, "_MASK_BLOCK_BYTES", 2**20)
    model = make("gpt2", layers=1, positions=length, n_embd=16, n_head=2)
    ids = torch.randint(5, 50, (2, length))
    mask = torch.ones_like(ids)
    mask[1, :700] = 0 if padded else 1
    with Largest() as largest:
        seen, _ = watched(model.transformer, input_ids=ids, attention_mask=mask)
    assert seen["decoder"][0].shape == (2, 2, length, length)
    assert largest.elements <= length**2  # of a matrix of 4 * length**2


# Guards


def test_other_modules_are_refused():
    with (
        pytest.raises(InputError, match="Linear contains no transformers model"),
        regard.watch(nn.Linear(2, 2), way="interface"),
    ):
        pass


def test_a_model_that_does_not_route_its_attention_is_refused(make):
    config = transformers.XLNetConfig(vocab_size=50, d_model=32, n_layer=1, n_head=4, d_inner=64)
    with (
        pytest.raises(InputError, match="XLNetModel does not route its attention"),
        regard.watch(transformers.XLNetModel(config), way="interface"),
    ):
        pass


def test_a_model_without_the_fast_path_is_refused(make, monkeypatch):
    model = make("bert")
    monkeypatch.setattr(type(model), "_supports_sdpa", False)
    with (
        pytest.raises(InputError, match="does not run on scaled_dot"),
        regard.watch(model, way="interface"),
    ):
        pass


def test_caps_of_a_family_that_was_not_measured_are_refused(make, ids, monkeypatch, run):
    modules = "regard.integrations.attention_modules"
    monkeypatch.setattr(f"{modules}._MEASURED", frozenset())
    monkeypatch.setattr(f"{modules}._known", {})
    monkeypatch.setattr(transformers.Gemma2Model, "_supports_sdpa", True)
    model = make("gemma2")
    with (
        pytest.raises(InputError, match="'softcap', which the fast path"),
        regard.watch(model, way="interface"),
    ):
        run(model, input_ids=ids)
    assert not watching._watched_modules


def test_watching_twice_is_refused(make, ids, run):
    model = make("bert")
    with regard.watch(model) as seen:
        with pytest.raises(InputError, match="being watched already"), regard.watch(model):
            pass
        run(model, input_ids=ids)  # the first block still watches
    assert len(seen["encoder"]) == 3


def test_nan_weights_are_reported_with_their_layer(make, ids, run):
    model = make("bert")
    with torch.no_grad():
        model.encoder.layer[1].attention.self.query.weight[0, 0] = float("nan")
    with (
        pytest.raises(
            RegardError, match=r"encoder\.layer\.1\.attention\.self: \d+ of \d+ queries have NaN"
        ),
        regard.watch(model),
    ):
        run(model, input_ids=ids)
    assert set(implementations(model)) == {"sdpa"}


def test_a_model_without_an_attention_call_is_refused(make, ids, run):
    model = make("bert")
    for layer in model.encoder.layer:
        layer.forward = lambda states, *rest, **more: states
    with (
        pytest.raises(InputError, match="BertModel ran, but no attention call was observed"),
        regard.watch(model),
    ):
        run(model, input_ids=ids)


def test_a_model_that_was_not_run_has_no_sites(make):
    with regard.watch(make("bert")) as seen:
        pass
    assert seen.sites == []
    with pytest.raises(InputError, match="no attention call was observed; run BertModel inside"):
        seen["encoder"]


def test_the_message_of_a_wrong_site_names_the_right_one(make, ids, watched):
    seen, _ = watched(make("bert"), input_ids=ids)
    with pytest.raises(InputError, match="did you mean 'encoder'"):
        seen["encodr"]
