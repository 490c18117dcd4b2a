"""Watching `transformers` models: equal to eager on every layer, and without a trace afterwards."""

from __future__ import annotations

import threading

import numpy as np
import pytest
import torch
import transformers
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

import regard
from regard.errors import InputError, RegardError
from regard.integrations import Keep
from regard.integrations import transformers as watching

SMALL = {"vocab_size": 50, "intermediate_size": 64, "hidden_size": 32, "num_attention_heads": 4}
EVERYTHING = Keep(pool=5, topk=3, rows=(0, -1), rollout=(0, -1), maps=True)


def bert(**more):
    return transformers.BertModel(
        transformers.BertConfig(**SMALL, num_hidden_layers=3, max_position_embeddings=512, **more)
    )


def modern_bert():
    ends = {"bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
    return transformers.ModernBertModel(
        transformers.ModernBertConfig(
            **SMALL,
            **ends,
            num_hidden_layers=3,
            local_attention=4,
            global_attn_every_n_layers=2,
            pad_token_id=0,
        )
    )


def albert():
    return transformers.AlbertModel(
        transformers.AlbertConfig(**SMALL, embedding_size=16, num_hidden_layers=4)
    )


def gpt2(layers=3, positions=64, **more):
    sizes = {"vocab_size": 50, "n_embd": 32, "n_head": 4, **more}
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            **sizes, n_layer=layers, n_positions=positions, bos_token_id=0, eos_token_id=1
        )
    )


def llama():
    return transformers.LlamaForCausalLM(
        transformers.LlamaConfig(**SMALL, num_hidden_layers=2, num_key_value_heads=2)
    )


def mistral():
    return transformers.MistralForCausalLM(
        transformers.MistralConfig(
            **SMALL, num_hidden_layers=2, num_key_value_heads=2, sliding_window=4
        )
    )


def bart():
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


def t5():
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=50,
            d_model=32,
            d_kv=8,
            d_ff=64,
            num_layers=3,
            num_decoder_layers=2,
            num_heads=4,
            decoder_start_token_id=0,
        )
    )


ENCODERS = [bert, modern_bert, albert]
DECODERS = [gpt2, llama, mistral]
TWO_SIDED = [bart, t5]


@pytest.fixture
def make():
    """A model with the same weights every time."""

    def build(kind, **more):
        torch.manual_seed(0)
        return kind(**more).eval()

    return build


@pytest.fixture
def ids():
    return torch.randint(5, 50, (2, 11), generator=torch.Generator().manual_seed(1))


def padding(side):
    mask = torch.ones(2, 11, dtype=torch.long)
    mask[1, :4] = 0
    return mask if side == "left" else mask.flip(1)


def run(model, **inputs):
    with torch.no_grad():
        return model(**inputs)


def eager(model, **inputs):
    """`(encoder or only, decoder, cross)` attentions, the slow and certain way."""
    model.set_attn_implementation("eager")
    output = run(model, **inputs, output_attentions=True)
    model.set_attn_implementation("sdpa")
    if model.config.is_encoder_decoder:
        return {
            "encoder": output.encoder_attentions,
            "decoder": output.decoder_attentions,
            "cross": output.cross_attentions,
        }
    return {None: output.attentions}


def watched(model, keep=None, **inputs):
    with regard.watch(model, keep=keep) as seen:
        output = run(model, **inputs)
    return seen, output


def check_against_eager(model, keep=None, **inputs):
    """Every layer's whole map equals eager's where tokens are real; the output is as it was."""
    seen, output = watched(model, keep, **inputs)
    torch.testing.assert_close(output[0], run(model, **inputs)[0], atol=1e-5, rtol=0)
    mask = inputs.get("attention_mask")
    for place, matrices in eager(model, **inputs).items():
        layers = seen[place or seen.places[0]]
        assert len(layers) == len(matrices)
        for n, (layer, matrix) in enumerate(zip(layers, matrices, strict=True)):
            assert layer.index == n
            assert layer.shape == matrix.shape
            real = np.ones(1)
            if mask is not None and place in (None, "encoder"):
                real = mask.numpy()[:, None, :, None]  # what a padding token attends to is moot
            np.testing.assert_allclose(layer.whole * real, matrix.numpy() * real, atol=1e-5)
    return seen


@pytest.mark.parametrize("kind", ENCODERS + DECODERS)
def test_equals_eager(make, kind, ids):
    seen = check_against_eager(make(kind), input_ids=ids)
    assert seen.places == ["encoder" if kind in ENCODERS else "decoder"]


@pytest.mark.parametrize("kind", ENCODERS + DECODERS)
@pytest.mark.parametrize("side", ["left", "right"])
def test_equals_eager_in_a_padded_batch(make, kind, ids, side):
    mask = padding(side)
    seen = check_against_eager(make(kind), input_ids=ids, attention_mask=mask)
    layer = seen[seen.places[0]][0]
    real = mask.numpy().astype(bool)
    assert (layer.whole[1][:, real[1]][..., ~real[1]] == 0).all()


@pytest.mark.parametrize("kind", TWO_SIDED)
def test_encoder_decoders_keep_self_and_cross_apart(make, kind, ids):
    target = ids[:, :5]
    seen = check_against_eager(
        make(kind), input_ids=ids, attention_mask=padding("right"), decoder_input_ids=target
    )
    assert seen.places == ["encoder", "decoder", "cross"]
    assert [len(seen[place]) for place in seen.places] == [3, 2, 2]
    assert seen["cross"][1].shape[2:] == (5, 11)
    assert [seen[place][0].causal for place in seen.places] == [False, True, False]


def test_masks_met_in_blocks_are_the_same_masks(make, ids, monkeypatch):
    monkeypatch.setattr(watching, "_BLOCK_BYTES", 4 * 2 * 11 * 3)  # three rows at a time
    for kind in (gpt2, mistral, modern_bert):
        check_against_eager(make(kind), input_ids=ids, attention_mask=padding("left"))
    check_against_eager(
        make(t5), input_ids=ids, attention_mask=padding("right"), decoder_input_ids=ids[:, :7]
    )


def test_bert_shaped_at_512_tokens_equals_eager_on_every_layer(make):
    ids = torch.randint(5, 50, (1, 512), generator=torch.Generator().manual_seed(2))
    model = make(bert)
    seen = check_against_eager(model, Keep(pool=7, topk=3, rows=(511,)), input_ids=ids)
    assert [layer.module for layer in seen["encoder"]] == [
        f"encoder.layer.{n}.attention.self" for n in range(3)
    ]


# Statistics


@pytest.fixture
def asked(make, ids):
    model = make(llama)
    (matrices,) = eager(model, input_ids=ids).values()
    return watched(model, EVERYTHING, input_ids=ids)[0], [m.double().numpy() for m in matrices]


def test_entropy_received_rows_and_map_equal_eagers(asked):
    seen, matrices = asked
    for layer, matrix in zip(seen["decoder"], matrices, strict=True):
        logs = np.log(matrix, where=matrix > 0, out=np.zeros_like(matrix))
        np.testing.assert_allclose(layer.entropy, -(matrix * logs).sum(-1), atol=1e-5)
        np.testing.assert_allclose(layer.received, matrix.sum(2), atol=1e-5)
        np.testing.assert_allclose(layer.rows, matrix[:, :, [0, -1]], atol=1e-5)
        np.testing.assert_allclose(layer.map.dense().numpy(), matrix, atol=1e-5)


def test_topk_equals_eagers(asked):
    seen, matrices = asked
    for layer, matrix in zip(seen["decoder"], matrices, strict=True):
        values = -np.sort(-matrix)[..., :3]
        np.testing.assert_allclose(layer.topk.values, values, atol=1e-5)
        found = np.take_along_axis(matrix, layer.topk.positions, -1)
        np.testing.assert_allclose(found, values, atol=1e-5)


def test_pool_equals_eagers(asked):
    seen, matrices = asked
    for layer, matrix in zip(seen["decoder"], matrices, strict=True):
        expected = regard.AttentionMap.from_dense(torch.from_numpy(matrix)).pool(5, 5)
        np.testing.assert_allclose(layer.pool.mean, expected.mean, atol=1e-5)
        np.testing.assert_allclose(layer.pool.max, expected.max, atol=1e-5)


def test_rollout_of_chosen_targets(asked):
    seen, matrices = asked
    flow = np.eye(11)
    for matrix in matrices:
        flow = (0.5 * np.eye(11) + 0.5 * matrix.mean(1)) @ flow
    np.testing.assert_allclose(seen.rollout("decoder"), flow[:, [0, -1]], atol=1e-5)


def test_what_was_not_asked_for_is_not_kept(make, ids):
    nothing = Keep(pool=0, topk=0, entropy=False, received=False, whole=0)
    seen, _ = watched(make(gpt2), nothing, input_ids=ids)
    layer = seen["decoder"][0]
    for name in ("entropy", "received", "topk", "pool", "rows", "whole", "map"):
        with pytest.raises(InputError, match="was not kept"):
            getattr(layer, name)
    with pytest.raises(InputError, match=r"Keep\(rollout"):
        seen.rollout("decoder")


def test_rollout_lets_go_of_the_maps(make, ids):
    seen, _ = watched(make(gpt2), Keep(rollout=(3,)), input_ids=ids)
    assert seen.rollout("decoder").shape == (2, 1, 11)
    assert not seen["decoder"][0].has("map")


def test_only_short_maps_are_kept_whole(make, ids):
    assert watched(make(gpt2), Keep(whole=11), input_ids=ids)[0]["decoder"][0].has("whole")
    assert not watched(make(gpt2), Keep(whole=10), input_ids=ids)[0]["decoder"][0].has("whole")


@pytest.mark.parametrize("wrong", [{"pool": -1}, {"topk": -2}, {"whole": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError, match="expected at least 0"):
        Keep(**wrong)


# Generation


@pytest.mark.parametrize("kind", [*DECODERS, *TWO_SIDED])
def test_generation_with_a_cache_equals_one_pass(make, kind, ids):
    model = make(kind)
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "num_beams": 1}
    options["pad_token_id"] = 1
    with regard.watch(model) as seen:
        made = model.generate(ids, **options)
    torch.testing.assert_close(made, model.generate(ids, **options))
    if model.config.is_encoder_decoder:
        once, _ = watched(model, input_ids=ids, decoder_input_ids=made[:, :-1])
    else:
        once, _ = watched(model, input_ids=made[:, :-1])
    for place in once.places:
        for steps, whole in zip(seen[place], once[place], strict=True):
            assert len(steps.calls) == (1 if place == "encoder" else 6)
            assert steps.shape == whole.shape
            np.testing.assert_allclose(steps.whole, whole.whole, atol=1e-5)
            np.testing.assert_allclose(steps.entropy, whole.entropy, atol=1e-5)
            np.testing.assert_allclose(steps.received, whole.received, atol=1e-5)
            top = steps.topk
            there = np.take_along_axis(steps.whole, top.positions, -1)
            np.testing.assert_allclose(there * (top.values > 0), top.values, atol=1e-6)


def test_what_cannot_be_joined_says_so(make, ids):
    model = make(gpt2)
    with regard.watch(model, keep=Keep(rollout=(-1,))) as seen:
        model.generate(ids, max_new_tokens=3, min_new_tokens=3, pad_token_id=1)
    with pytest.raises(InputError, match="called 3 times and pool cannot be joined"):
        _ = seen["decoder"][0].pool
    with pytest.raises(InputError, match="not generation step by step"):
        seen.rollout("decoder")
    assert seen["decoder"][0].calls[0].pool is not None


# Afterwards


def implementations(model):
    return [
        part.config._attn_implementation
        for part in model.modules()
        if isinstance(part, transformers.PreTrainedModel)
    ]


@pytest.mark.parametrize("before", ["sdpa", "eager"])
def test_the_model_is_as_it_was(make, ids, before):
    for kind in (bart, gpt2):
        model = make(kind)
        model.set_attn_implementation(before)
        with regard.watch(model):
            run(model, input_ids=ids)
            assert set(implementations(model)) == {"regard"}
        assert set(implementations(model)) == {before}
        assert not any(part._forward_pre_hooks for part in model.modules())
        assert not watching._watchers


def test_also_after_an_error(make, ids):
    model = make(bart)
    with pytest.raises(IndexError), regard.watch(model):
        run(model, input_ids=ids + 50)
    assert set(implementations(model)) == {"sdpa"}
    assert not watching._watchers
    check_against_eager(model, input_ids=ids, decoder_input_ids=ids)


def test_gradients_are_those_of_the_model(make, ids):
    model = make(gpt2)

    def slope():
        model.zero_grad()
        model(input_ids=ids, labels=ids).loss.backward()
        return model.transformer.h[0].attn.c_attn.weight.grad.clone()

    expected = slope()
    with regard.watch(model, keep=Keep(maps=True)) as seen:
        found = slope()
    torch.testing.assert_close(found, expected)
    assert not seen["decoder"][0].map.dense().requires_grad


def test_two_models_in_two_threads(make, ids):
    results, together = {}, threading.Barrier(2)

    def look(kind):
        model = make(kind)
        together.wait()
        for _ in range(5):
            seen, _ = watched(model, input_ids=ids)
        results[kind] = (model, seen)

    threads = [threading.Thread(target=look, args=(kind,)) for kind in (gpt2, mistral)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for model, seen in results.values():
        (matrices,) = eager(model, input_ids=ids).values()
        for layer, matrix in zip(seen["decoder"], matrices, strict=True):
            np.testing.assert_allclose(layer.whole, matrix, atol=1e-5)


def test_a_model_inside_another_module_can_be_watched(make, ids):
    class Around(nn.Module):
        def __init__(self, inner):
            super().__init__()
            self.cross_encoder = inner

        def forward(self, ids):
            return self.cross_encoder(ids).last_hidden_state.mean(1)

    with regard.watch(Around(make(bert))) as seen, torch.no_grad():
        seen_model = Around(make(bert))
        with regard.watch(seen_model) as inner:
            seen_model(ids)
    assert inner.places == ["encoder"]
    with pytest.raises(InputError, match="run Around inside"):
        seen["encoder"]


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
def test_nothing_as_large_as_the_matrix_is_made(make, padded, monkeypatch):
    length = 2048
    monkeypatch.setattr(watching, "_BLOCK_BYTES", 2**20)
    model = make(gpt2, layers=1, positions=length, n_embd=16, n_head=2)
    ids = torch.randint(5, 50, (2, length))
    mask = torch.ones_like(ids)
    mask[1, :700] = 0 if padded else 1
    with Largest() as largest:
        seen, _ = watched(model.transformer, input_ids=ids, attention_mask=mask)
    assert seen["decoder"][0].shape == (2, 2, length, length)
    assert largest.elements <= length**2  # of a matrix of 4 * length**2


# Guards


def test_other_modules_are_told_what_is_expected():
    with (
        pytest.raises(InputError, match="Linear holds no transformers model"),
        regard.watch(nn.Linear(2, 2)),
    ):
        pass


def test_a_model_that_does_not_route_its_attention_is_refused(make):
    config = transformers.XLNetConfig(vocab_size=50, d_model=32, n_layer=1, n_head=4, d_inner=64)
    with (
        pytest.raises(InputError, match="XLNetModel does not route its attention"),
        regard.watch(transformers.XLNetModel(config)),
    ):
        pass


def test_a_model_without_the_fast_path_is_refused(make, monkeypatch):
    model = make(bert)
    monkeypatch.setattr(type(model), "_supports_sdpa", False)
    with pytest.raises(InputError, match="does not run on scaled_dot"), regard.watch(model):
        pass


def test_a_model_that_caps_its_scores_is_refused(ids, monkeypatch):
    monkeypatch.setattr(transformers.Gemma2Model, "_supports_sdpa", True)
    config = transformers.Gemma2Config(
        **SMALL, num_hidden_layers=1, num_key_value_heads=2, head_dim=8, sliding_window=4
    )
    model = transformers.Gemma2Model(config).eval()
    with pytest.raises(InputError, match="'softcap', which the fast path"), regard.watch(model):
        run(model, input_ids=ids)
    assert "regard" not in implementations(model)


def test_watching_twice_is_refused(make, ids):
    model = make(bert)
    with regard.watch(model) as seen:
        with pytest.raises(InputError, match="being watched already"), regard.watch(model):
            pass
        run(model, input_ids=ids)  # the first still watches
    assert len(seen["encoder"]) == 3


def test_nan_is_told_with_its_place(make, ids):
    model = make(bert)
    with torch.no_grad():
        model.encoder.layer[1].attention.self.query.weight[0, 0] = float("nan")
    with (
        pytest.raises(RegardError, match=r"encoder\.layer\.1\.attention\.self attends by NaN for"),
        regard.watch(model),
    ):
        run(model, input_ids=ids)
    assert set(implementations(model)) == {"sdpa"}


def test_a_model_whose_attention_never_comes_by_is_told(make, ids):
    model = make(bert)
    for layer in model.encoder.layer:
        layer.forward = lambda states, *rest, **more: states
    with (
        pytest.raises(InputError, match="BertModel ran and none of its attention"),
        regard.watch(model),
    ):
        run(model, input_ids=ids)


def test_a_model_that_was_not_run_is_told(make):
    with regard.watch(make(bert)) as seen:
        pass
    assert seen.places == []
    with pytest.raises(InputError, match="no attention came by; run BertModel inside"):
        seen["encoder"]


def test_a_wrong_place_names_the_right_one(make, ids):
    seen, _ = watched(make(bert), input_ids=ids)
    with pytest.raises(InputError, match="did you mean 'encoder'"):
        seen["encodr"]


def test_the_name_alone_does_not_watch(make, ids):
    model = make(bert)
    with regard.watch(model):
        run(model, input_ids=ids)
    model.set_attn_implementation("regard")
    with pytest.raises(InputError, match=r"outside regard\.watch"):
        run(model, input_ids=ids)
