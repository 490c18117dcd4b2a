"""The way that `watch` chooses, and both ways against each other."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
import transformers
from torch import nn

import regard
from regard.errors import SettingsError
from regard.integrations.watching import _takes_interface


@pytest.mark.parametrize(
    "kind", ["bert", "gpt2", "llama", "mistral", "bart", "t5", "gemma2", "gpt_oss"]
)
def test_the_interface_is_chosen_where_a_model_fits_it(make, kind):
    assert _takes_interface(make(kind), None)
    assert not _takes_interface(make(kind), "dispatcher")


def test_the_dispatcher_is_chosen_for_all_others(make):
    config = transformers.XLNetConfig(vocab_size=50, d_model=32, n_layer=1, n_head=4, d_inner=64)
    xlnet = transformers.XLNetModel(config)
    for model in (xlnet, nn.MultiheadAttention(8, 2)):
        assert not _takes_interface(model, None)


@pytest.mark.parametrize(
    ("kind", "implementation"),
    [
        *itertools.product(["bert", "albert", "gpt2", "llama", "mistral"], ["sdpa", "eager"]),
        *(("gemma2", "eager"), ("gpt_oss", "eager")),
    ],
)
def test_both_ways_show_the_same(make, ids, kind, implementation):
    model = make(kind)
    model.set_attn_implementation(implementation)
    with torch.no_grad():
        with regard.watch(model, way="interface") as interface:
            model(ids)
        with regard.watch(model, way="dispatcher") as dispatcher:
            model(ids)
    assert interface.sites == dispatcher.sites
    for one, other in zip(
        interface[interface.sites[0]], dispatcher[interface.sites[0]], strict=True
    ):
        assert (one.module, one.causal) == (other.module, other.causal)
        np.testing.assert_allclose(one.dense, other.dense, atol=1e-6)


@pytest.mark.parametrize("kind", ["gpt2", "mistral", "bart"])
@pytest.mark.parametrize("beams", [1, 2])
def test_both_ways_follow_generation(make, ids, kind, beams):
    model = make(kind)
    options = {"max_new_tokens": 4, "min_new_tokens": 4, "num_beams": beams, "do_sample": False}
    seen = {}
    for way in ("interface", "dispatcher"):
        with regard.watch(model, way=way) as seen[way]:
            model.generate(ids, pad_token_id=1, **options)
    interface, dispatcher = seen["interface"], seen["dispatcher"]
    assert interface.sites == dispatcher.sites
    for site in interface.sites:
        for one, other in zip(interface[site], dispatcher[site], strict=True):
            assert one.shape == other.shape
            np.testing.assert_allclose(one.dense, other.dense, atol=1e-5)


def test_an_unknown_way_is_refused(make):
    with (
        pytest.raises(SettingsError, match="did you mean 'dispatcher'"),
        regard.watch(make("bert"), way="dispatch"),  # type: ignore[arg-type]
    ):
        pass


OLD = tuple(map(int, transformers.__version__.split(".")[:2])) < (5, 23)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"num_beams": 2},
        pytest.param(
            {"cache_implementation": "static"},
            marks=pytest.mark.skipif(OLD, reason="BLOOM itself fails there with a static cache"),
        ),
    ],
)
def test_generation_at_the_dispatcher_equals_one_pass(ids, run, options):
    torch.manual_seed(0)
    config = transformers.BloomConfig(
        vocab_size=50, hidden_size=32, n_layer=2, n_head=4, bos_token_id=0, eos_token_id=None
    )
    model = transformers.BloomForCausalLM(config).eval()
    with regard.watch(model) as seen:
        text = model.generate(
            ids, max_new_tokens=4, min_new_tokens=4, do_sample=False, pad_token_id=1, **options
        )
    with regard.watch(model) as once:
        run(model, input_ids=text[:, :-1])
    for one, other in zip(seen["decoder"], once["decoder"], strict=True):
        np.testing.assert_allclose(one.dense, other.dense, atol=1e-5)
