"""Generation followed: beams by their ancestry, drafts that were rejected."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from transformers.generation.utils import GenerationMixin

import regard
from regard.errors import InputError
from regard.integrations import Keep

BEAMS: dict[str, Any] = {"num_beams": 4, "do_sample": False, "pad_token_id": 1}


def sharpen(model):
    """Make attention depend on the text: with usual random weights beams hardly differ."""
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "ln" not in name:
                weight.mul_(12)
    return model


def check_against_the_finished_text(seen, once, written):
    """Rows of real tokens; those behind the end of a hypothesis are zero."""
    for site in ("decoder", "cross"):
        if site not in once.sites:
            continue
        for steps, one in zip(seen[site], once[site], strict=True):
            real = written[:, None, :, None]
            assert steps.shape == one.shape
            np.testing.assert_allclose(steps.dense * real, one.dense * real, atol=1e-4)
            np.testing.assert_allclose(
                steps.entropy * real[..., 0], one.entropy * real[..., 0], atol=1e-4
            )


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
@pytest.mark.parametrize(
    "more", [{}, {"num_return_sequences": 3}, {"cache_implementation": "static"}]
)
def test_beams_against_one_pass_over_the_answers(make, kind, ids, more, watched):
    model = sharpen(make(kind))
    with regard.watch(model) as seen:
        text = model.generate(ids, max_new_tokens=7, **BEAMS, **more)
    assert torch.equal(text, model.generate(ids, max_new_tokens=7, **BEAMS, **more))
    count = more.get("num_return_sequences", 1)
    read = text[:, :-1]
    inputs = {"input_ids": read}
    written = np.ones(read.shape, bool)
    if kind == "bart":
        inputs = {"input_ids": ids.repeat_interleave(count, 0), "decoder_input_ids": read}
        written = (read != 1).numpy()
    check_against_the_finished_text(seen, watched(model, **inputs)[0], written)


def test_the_answer_is_of_the_kind_that_was_asked_for(make, ids):
    model = make("gpt2")
    before = GenerationMixin._beam_search
    with regard.watch(model):
        assert GenerationMixin._beam_search is not before
        answer = model.generate(ids, max_new_tokens=3, return_dict_in_generate=True, **BEAMS)
        tensor = model.generate(ids, max_new_tokens=3, **BEAMS)
    assert torch.equal(answer.sequences, tensor)
    assert not model.generation_config.return_dict_in_generate
    assert GenerationMixin._beam_search is before


def test_beams_without_a_cache_are_refused(make, ids):
    model = make("gpt2")
    with regard.watch(model) as seen:
        model.generate(ids, max_new_tokens=3, use_cache=False, **BEAMS)
    with pytest.raises(InputError, match="beam search without a cache"):
        seen["decoder"]


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
def test_rejected_drafts_leave_no_row(make, kind, ids, watched):
    model, options = sharpen(make(kind)), {"max_new_tokens": 9, "do_sample": False, "num_beams": 1}
    source = ids[:1]
    with regard.watch(model) as seen:
        text = model.generate(source, prompt_lookup_num_tokens=3, **options)
    inputs = {"input_ids": text[:, :-1]}
    if kind == "bart":
        inputs = {"input_ids": source, "decoder_input_ids": text[:, :-1]}
    once, _ = watched(model, **inputs)
    check_against_the_finished_text(seen, once, np.ones((1, text.shape[1] - 1), bool))
    for steps, one in zip(seen["decoder"], once["decoder"], strict=True):
        np.testing.assert_allclose(steps.received, one.received, atol=1e-4)


def test_what_drafts_have_mixed_is_refused(make, ids):
    model = sharpen(make("gpt2"))
    with regard.watch(model, keep=Keep(dense_limit=0)) as seen:
        model.generate(ids[:1], max_new_tokens=9, do_sample=False, prompt_lookup_num_tokens=3)
    layer = seen["decoder"][0]
    assert any(call.is_cut for call in layer.calls)
    with pytest.raises(InputError, match="cannot be told without the rejected drafts"):
        _ = layer.received


def test_attentions_that_generate_is_asked_for_are_answered(make, ids):
    model = make("bart")
    options = {"max_new_tokens": 3, "num_beams": 1, "do_sample": False, "output_attentions": True}
    with regard.watch(model):
        inside = model.generate(ids, return_dict_in_generate=True, **options)
    model.set_attn_implementation("eager")
    outside = model.generate(ids, return_dict_in_generate=True, **options)
    for name in ("decoder_attentions", "cross_attentions"):
        for a, b in zip(getattr(inside, name), getattr(outside, name), strict=True):
            for x, y in zip(a, b, strict=True):
                torch.testing.assert_close(x, y, atol=1e-5, rtol=0)


@pytest.mark.parametrize("kind", ["gpt2", "bart"])
@pytest.mark.parametrize(
    ("method", "change", "rows"),
    [
        ("reorder_cache", torch.tensor([1, 1]), [1, 1]),
        ("batch_select_indices", torch.tensor([1]), [1]),
        ("batch_repeat_interleave", 2, [0, 0, 1, 1]),
    ],
)
def test_a_loop_of_ones_own_reorders_its_cache(make, kind, ids, method, change, rows, watched):
    model, more = sharpen(make(kind)), ids[:1, :1].expand(len(rows), 1)
    name = "decoder_input_ids" if kind == "bart" else "input_ids"
    source = {"input_ids": ids[:, :9]} if kind == "bart" else {}
    with torch.no_grad(), regard.watch(model) as seen:
        first = model(**source, **{name: ids[:, 2:8]}, use_cache=True)
        getattr(first.past_key_values, method)(change)
        state = {}
        if kind == "bart":
            state = {"encoder_outputs": (first.encoder_last_hidden_state[rows],)}
        model(**state, **{name: more}, past_key_values=first.past_key_values)
    source = {"input_ids": ids[rows][:, :9]} if kind == "bart" else {}
    once, _ = watched(model, **source, **{name: torch.cat([ids[rows][:, 2:8], more], 1)})
    assert seen.sites == once.sites
    for site in once.sites:
        for steps, one in zip(seen[site], once[site], strict=True):
            np.testing.assert_allclose(steps.dense, one.dense, atol=1e-4)
