"""Which calls belong to one text: passes apart, caches, checkpoints, recomputation, parts of a batch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
import transformers
from torch import nn

import regard
from regard.errors import InputError


def check_same(seen, once):
    """Every statistic of every layer, step by step and in one pass."""
    assert seen.sites == once.sites
    for site in once.sites:
        for steps, one in zip(seen[site], once[site], strict=True):
            assert steps.shape == one.shape
            for name in ("dense", "entropy", "received"):
                np.testing.assert_allclose(getattr(steps, name), getattr(one, name), atol=1e-5)


def test_texts_in_one_block_are_kept_apart(make, ids, watched):
    model = make("bert")
    with torch.no_grad(), regard.watch(model) as seen:
        model(ids[:1])
        model(ids[1:, :7])
    for each, given in zip(seen.passes, (ids[:1], ids[1:, :7]), strict=True):
        check_same(each, watched(model, input_ids=given)[0])
    with pytest.raises(InputError, match=r"read 2 texts or batches, .* seen\.passes"):
        seen["encoder"]


def test_forward_called_directly_is_a_pass(make, ids):
    model = make("albert")
    with torch.no_grad(), regard.watch(model) as seen:
        model.forward(ids[:1])
        model.forward(ids[1:])
    assert [len(each["encoder"]) for each in seen.passes] == [4, 4]


def test_a_model_called_twice_inside_another_reads_two_texts(make, ids, watched):
    class Pairs(nn.Module):
        def __init__(self, encoder):
            super().__init__()
            self.encoder = encoder

        def forward(self, first, second):
            return self.encoder(first)[0].mean(1) @ self.encoder(second)[0].mean(1).T

    encoder = make("bert")
    seen, _ = watched(Pairs(encoder), first=ids[:1], second=ids[1:])
    for each, given in zip(seen.passes, (ids[:1], ids[1:]), strict=True):
        check_same(each, watched(encoder, input_ids=given)[0])


@pytest.mark.parametrize("use_reentrant", [True, False])
def test_checkpointed_layers_are_counted_once(make, ids, use_reentrant, watched):
    model = make("bert", hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0).train()
    # Renamed in newer versions, where the old name warns.
    enable = getattr(model, "activation_checkpointing_enable", None)
    (enable or model.gradient_checkpointing_enable)({"use_reentrant": use_reentrant})
    model.enable_input_require_grads()
    with regard.watch(model) as seen:
        model(ids)[0].sum().backward()
    check_same(seen, watched(model.eval(), input_ids=ids)[0])


def test_interleaved_caches_continue_their_own_text(make, ids, watched):
    model = make("llama")
    with torch.no_grad(), regard.watch(model) as seen:
        first, second = model(ids[:1, :5], use_cache=True), model(ids[1:, :6], use_cache=True)
        model(ids[:1, 5:], past_key_values=first.past_key_values)
        model(ids[1:, 6:], past_key_values=second.past_key_values)
    for each, given in zip(seen.passes, (ids[:1], ids[1:]), strict=True):
        check_same(each, watched(model, input_ids=given)[0])


def test_states_of_an_encoder_lead_to_its_decoder(make, ids, watched):
    model = make("bart")
    start = ids[:1, :3]
    with torch.no_grad(), regard.watch(model) as seen:
        states = [model.get_encoder()(ids[n : n + 1, :length]) for n, length in enumerate((8, 11))]
        for each in states:
            model(encoder_outputs=each, decoder_input_ids=start)
    for each, (n, length) in zip(seen.passes, enumerate((8, 11)), strict=True):
        once, _ = watched(model, input_ids=ids[n : n + 1, :length], decoder_input_ids=start)
        check_same(each, once)


def test_parts_of_one_text_that_a_layer_attends_to_one_by_one_are_joined(ids):
    # Two images of 4 x 4 and 2 x 4 patches in one sequence: a call of the attention function for each.
    config: Any = transformers.Qwen2VLConfig().vision_config
    config.depth, config.embed_dim, config.num_heads, config.hidden_size = 2, 32, 2, 32
    torch.manual_seed(0)
    model = transformers.models.qwen2_vl.modeling_qwen2_vl.Qwen2VisionTransformerPretrainedModel(
        config
    ).eval()
    grid = torch.tensor([[1, 4, 4], [1, 2, 4]])
    width = config.in_channels * config.temporal_patch_size * config.patch_size**2
    patches = torch.randn(24, width)
    with torch.no_grad(), regard.watch(model) as seen:
        model(patches, grid_thw=grid)
    with torch.no_grad(), regard.watch(model) as alone:
        model(patches[:16], grid_thw=grid[:1])
        model(patches[16:], grid_thw=grid[1:])
    (site,) = seen.sites
    assert len(seen[site]) == 2
    first, second = alone.passes
    for layer, a, b in zip(seen[site], first[site], second[site], strict=True):
        expected = np.zeros((1, 2, 24, 24), np.float32)
        expected[:, :, :16, :16], expected[:, :, 16:, 16:] = a.dense, b.dense
        np.testing.assert_allclose(layer.dense, expected, atol=1e-5)
        np.testing.assert_allclose(layer.received, expected.sum(2), atol=1e-5)
        there = np.take_along_axis(expected, layer.topk.positions, -1)
        np.testing.assert_allclose(layer.topk.values, there, atol=1e-5)


def test_clear_forgets_what_was_read(make, ids):
    model = make("bert")
    with torch.no_grad(), regard.watch(model) as seen:
        for length in (5, 9):
            model(ids[:, :length])
            assert seen["encoder"][0].shape == (2, 4, length, length)
            seen.clear()
    assert seen.sites == []


@pytest.mark.parametrize("kind", ["gpt2", "mistral"])
@pytest.mark.parametrize("padded", [False, True])
def test_a_static_cache_changes_neither_text_nor_maps(make, kind, ids, padded):
    model = make(kind)
    mask = torch.ones_like(ids)
    if padded:
        mask[1, :4] = 0
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "pad_token_id": 1}
    with regard.watch(model) as plain:
        expected = model.generate(ids, attention_mask=mask, **options)
    with regard.watch(model) as seen:
        text = model.generate(ids, attention_mask=mask, cache_implementation="static", **options)
    assert torch.equal(text, expected)
    check_same(seen, plain)


def test_generation_without_a_cache_is_the_last_of_its_passes(make, ids, watched):
    model = make("gpt2")
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "do_sample": False, "pad_token_id": 1}
    with regard.watch(model) as seen:
        text = model.generate(ids, use_cache=False, **options)
    check_same(seen, watched(model, input_ids=text[:, :-1])[0])


def test_a_layer_that_is_not_observed_is_named(make, ids, run):
    class Own(nn.Module):
        """Attention that no registry knows."""

        def forward(self, states, *rest, **more):
            return torch.softmax(states @ states.mT, -1) @ states, None

    class OwnSelfAttention(Own):
        pass

    model = make("bert")
    model.encoder.layer[1].attention.self = OwnSelfAttention()
    with (
        pytest.raises(
            InputError, match=r"encoder\.layer\.1\.attention\.self \(OwnSelfAttention\) ran"
        ),
        regard.watch(model, way="interface"),
    ):
        run(model, input_ids=ids)


def test_layers_with_another_config_than_their_model_are_observed(make, ids, tmp_path, watched):
    make("bert").save_pretrained(tmp_path)
    model = transformers.EncoderDecoderModel.from_encoder_decoder_pretrained(
        str(tmp_path), str(tmp_path)
    ).eval()
    seen, _ = watched(model, input_ids=ids, decoder_input_ids=ids[:, :5])
    assert {site: len(seen[site]) for site in seen.sites} == {
        "encoder": 3,
        "decoder": 3,
        "cross": 3,
    }
