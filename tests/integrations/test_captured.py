"""Statistics of watched layers against eager mode, and what is joined over steps of generation."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import regard
from regard.errors import InputError
from regard.integrations import Keep

EVERYTHING = Keep(pool=5, topk=3, rows=(0, -1), rollout=(0, -1), maps=True)


@pytest.fixture
def captured(make, ids, eager, watched):
    model = make("llama")
    (matrices,) = eager(model, input_ids=ids).values()
    return watched(model, EVERYTHING, input_ids=ids)[0], [m.double().numpy() for m in matrices]


def test_entropy_received_rows_and_map_against_eager(captured):
    seen, matrices = captured
    for layer, matrix in zip(seen["decoder"], matrices, strict=True):
        logs = np.log(matrix, where=matrix > 0, out=np.zeros_like(matrix))
        np.testing.assert_allclose(layer.entropy, -(matrix * logs).sum(-1), atol=1e-5)
        np.testing.assert_allclose(layer.received, matrix.sum(2), atol=1e-5)
        np.testing.assert_allclose(layer.rows, matrix[:, :, [0, -1]], atol=1e-5)
        np.testing.assert_allclose(layer.map.dense().numpy(), matrix, atol=1e-5)


def test_topk_against_eager(captured):
    seen, matrices = captured
    for layer, matrix in zip(seen["decoder"], matrices, strict=True):
        values = -np.sort(-matrix)[..., :3]
        np.testing.assert_allclose(layer.topk.values, values, atol=1e-5)
        found = np.take_along_axis(matrix, layer.topk.positions, -1)
        np.testing.assert_allclose(found, values, atol=1e-5)


def test_pool_against_eager(captured):
    seen, matrices = captured
    for layer, matrix in zip(seen["decoder"], matrices, strict=True):
        expected = regard.AttentionMap.from_dense(torch.from_numpy(matrix)).pool(5, 5)
        np.testing.assert_allclose(layer.pool.mean, expected.mean, atol=1e-5)
        np.testing.assert_allclose(layer.pool.max, expected.max, atol=1e-5)


def test_rollout_of_chosen_targets(captured):
    seen, matrices = captured
    flow = np.eye(11)
    for matrix in matrices:
        flow = (0.5 * np.eye(11) + 0.5 * matrix.mean(1)) @ flow
    np.testing.assert_allclose(seen.rollout("decoder"), flow[:, [0, -1]], atol=1e-5)


def test_statistics_that_are_not_kept_are_refused(make, ids, watched):
    nothing = Keep(pool=0, topk=0, entropy=False, received=False, dense_limit=0)
    seen, _ = watched(make("gpt2"), nothing, input_ids=ids)
    layer = seen["decoder"][0]
    for name in ("entropy", "received", "topk", "pool", "rows", "dense", "map"):
        with pytest.raises(InputError, match="was not kept"):
            getattr(layer, name)
    with pytest.raises(InputError, match=r"Keep\(rollout"):
        seen.rollout("decoder")


def test_chosen_layers_and_heads_in_half_precision(make, ids, eager, watched):
    for kind in ("llama", "t5"):  # grouped heads; a bias for each head
        model, inputs = make(kind), {"input_ids": ids}
        if kind == "t5":
            inputs["decoder_input_ids"] = ids[:, :5]
        kept = watched(model, Keep(layers=(1,), heads=(3, 0), dtype="float16"), **inputs)[0]
        for site, matrices in eager(model, **inputs).items():
            (layer,) = kept[site or kept.sites[0]]
            assert (layer.index, layer.shape[1]) == (1, 2)
            for name in ("dense", "entropy", "received"):
                assert getattr(layer, name).dtype == np.float16
            expected = matrices[1][:, [3, 0]].numpy()
            np.testing.assert_allclose(layer.dense, expected, atol=1e-3)
            np.testing.assert_allclose(layer.received, expected.sum(2), rtol=2e-3)
    with pytest.raises(InputError, match="asks for head 4; this layer has 4 heads"):
        watched(make("bert"), Keep(heads=(4,)), input_ids=ids)


def test_rollout_releases_the_maps(make, ids, watched):
    seen, _ = watched(make("gpt2"), Keep(rollout=(3,)), input_ids=ids)
    assert seen.rollout("decoder").shape == (2, 1, 11)
    assert not seen["decoder"][0].has("map")


def test_only_short_maps_are_kept_in_full(make, ids, watched):
    assert watched(make("gpt2"), Keep(dense_limit=11), input_ids=ids)[0]["decoder"][0].has("dense")
    assert not watched(make("gpt2"), Keep(dense_limit=10), input_ids=ids)[0]["decoder"][0].has(
        "dense"
    )


@pytest.mark.parametrize("wrong", [{"pool": -1}, {"topk": -2}, {"dense_limit": -1}])
def test_impossible_settings_are_refused(wrong):
    with pytest.raises(InputError, match="expected at least 0"):
        Keep(**wrong)


@pytest.mark.parametrize("kind", ["gpt2", "llama", "mistral", "bart", "t5"])
def test_generation_with_a_cache_equals_one_pass(make, kind, ids, watched):
    model = make(kind)
    options = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False, "num_beams": 1}
    options["pad_token_id"] = 1
    with regard.watch(model) as seen:
        generated = model.generate(ids, **options)
    torch.testing.assert_close(generated, model.generate(ids, **options))
    if model.config.is_encoder_decoder:
        once, _ = watched(model, input_ids=ids, decoder_input_ids=generated[:, :-1])
    else:
        once, _ = watched(model, input_ids=generated[:, :-1])
    for site in once.sites:
        for steps, one_pass in zip(seen[site], once[site], strict=True):
            assert len(steps.calls) == (1 if site == "encoder" else 6)
            assert steps.shape == one_pass.shape
            np.testing.assert_allclose(steps.dense, one_pass.dense, atol=1e-5)
            np.testing.assert_allclose(steps.entropy, one_pass.entropy, atol=1e-5)
            np.testing.assert_allclose(steps.received, one_pass.received, atol=1e-5)
            top = steps.topk
            there = np.take_along_axis(steps.dense, top.positions, -1)
            np.testing.assert_allclose(there * (top.values > 0), top.values, atol=1e-6)


def test_statistics_that_cannot_be_joined_are_refused(make, ids):
    model = make("gpt2")
    with regard.watch(model, keep=Keep(rollout=(-1,))) as seen:
        model.generate(ids, max_new_tokens=3, min_new_tokens=3, pad_token_id=1)
    with pytest.raises(InputError, match="called 3 times and pool cannot be joined"):
        _ = seen["decoder"][0].pool
    with pytest.raises(InputError, match="not generation step by step"):
        seen.rollout("decoder")
    assert seen["decoder"][0].calls[0].pool is not None


def test_scores_and_statistics_of_ones_own_against_eager(make, ids, eager, watched):
    model = make("llama")
    matrices = [m.double().numpy() for m in next(iter(eager(model, input_ids=ids).values()))]
    own = regard.statistics.RenyiEntropy(2), regard.statistics.WeightHistogram((0.1,))
    keep = Keep(lse=True, max_score=True, statistics=own)
    seen, _ = watched(model, keep, input_ids=ids)
    for layer, matrix in zip(seen["decoder"], matrices, strict=True):
        entropy = layer.statistic(regard.statistics.RenyiEntropy(2))
        np.testing.assert_allclose(entropy, -np.log((matrix**2).sum(-1)), atol=1e-5)
        np.testing.assert_allclose(np.exp(layer.max_score - layer.lse), matrix.max(-1), atol=1e-5)
        large = layer.statistic(own[1])[..., 1]
        assert (large == (matrix >= 0.1).sum((2, 3))).all()
        with pytest.raises(InputError, match=r"RenyiEntropy of decoder layer .* was not kept"):
            layer.statistic(regard.statistics.RenyiEntropy(3))


def test_statistics_of_ones_own_over_steps_of_generation(make, ids):
    model = make("gpt2")
    own = regard.statistics.MassWithinWindow(1, 0), regard.statistics.WeightHistogram()
    with torch.no_grad(), regard.watch(model, keep=Keep(lse=True, statistics=own)) as seen:
        model.generate(ids[:, :3], max_new_tokens=4, do_sample=False, pad_token_id=0)
    layer = seen["decoder"][0]
    near = layer.statistic(own[0])
    assert near.shape == layer.lse.shape == layer.entropy.shape
    # The key of a step's query is the last, wherever the cache begins.
    for query in range(1, near.shape[2]):
        wanted = layer.dense[:, :, query, query - 1 : query + 1].sum(-1)
        np.testing.assert_allclose(near[:, :, query], wanted, atol=1e-6)
    with pytest.raises(InputError, match="cannot be joined"):
        layer.statistic(own[1])
