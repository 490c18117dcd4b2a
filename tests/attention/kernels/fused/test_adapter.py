"""Output and every statistic of the kernel, against float64."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import regard
from regard.attention import scores
from regard.attention.kernels import limits
from regard.attention.kernels.fused import adapter
from regard.attention.masks import as_mask

MASKS = {
    "none": None,
    "causal": regard.causal(),
    "window": regard.window(7),
    "ahead": regard.window(0, 3),
    "lengths": regard.padding(torch.tensor([0, 61])),
    "both": regard.causal() & regard.padding(torch.tensor([53, 5])),
    "queries": regard.padding(torch.tensor([61, 61]), queries=torch.tensor([3, 41])),
    "documents": regard.documents(torch.arange(43) // 9, torch.arange(61) // 7),
    "array": torch.rand(2, 6, 43, 61, generator=torch.Generator().manual_seed(0)) > 0.6,
    "keys": regard.padding(torch.arange(122).reshape(2, 61) % 3 > 0),
    "either": regard.window(2) | regard.padding(torch.tensor([4, 0])),
}


def arrays(seed=0, batch=2, heads=6, key_heads=3, queries=43, keys=61, features=32, values=20):
    generator = torch.Generator().manual_seed(seed)
    shapes = (
        (batch, heads, queries, features),
        (batch, key_heads, keys, features),
        (batch, key_heads, keys, values),
    )
    return [torch.randn(shape, generator=generator) for shape in shapes]


def allowed(mask, helpers, q, k, v):
    if mask is None:
        return None
    everything = slice(0, q.shape[2]), slice(0, k.shape[2])
    return as_mask(mask).tile(helpers.problem(q, k, v).layout, *everything)


@pytest.mark.parametrize("name", MASKS)
@pytest.mark.parametrize("small", [True, False])
def test_every_mask(helpers, device, name, small, request):
    if small:
        if device == "gpu":
            pytest.skip("tiles on a GPU have sizes of their own, which small ones do not change")
        request.getfixturevalue("small_tiles")
    mask, heads = MASKS[name], 6
    if device == "gpu":  # interpreted a row at a time; every head of the others is in `test_biases`
        mask, heads = mask[:, :2] if isinstance(mask, torch.Tensor) else mask, 2
    q, k, v = arrays(heads=heads, key_heads=heads // 2)
    output, found = helpers.run(q, k, v, mask=mask)
    helpers.check(output, found, helpers.dense(q, k, allowed(mask, helpers, q, k, v)), v)


@pytest.mark.parametrize("features", [1, 32, 53, 256])
@pytest.mark.parametrize("lengths", [(1, 1), (1, 67), (67, 1), (131, 67), (67, 131)])
def test_sizes_that_fill_no_tile(helpers, device, features, lengths):
    queries, keys = lengths
    q, k, v = arrays(1, 1, 2, 1, queries, keys, features, 7)
    output, found = helpers.run(q, k, v)
    helpers.check(output, found, helpers.dense(q, k), v)


@pytest.mark.parametrize("features", [1, 32, 53, 256])
def test_several_tiles_of_full_size(helpers, features):
    q, k, v = arrays(1, 1, 3, 1, 300, 700, features, 7)
    output, found = helpers.run(q, k, v)
    helpers.check(output, found, helpers.dense(q, k), v)


def test_two_thousand_positions(helpers):
    q, k, v = arrays(2, 1, 2, 2, 2039, 2039, 64, 64)
    output, found = helpers.run(q, k, v, mask=regard.causal())
    helpers.check(output, found, helpers.dense(q, k, torch.ones(2039, 2039).tril().bool()), v)


def test_numpy_gives_the_same_bits_as_torch(helpers):
    q, k, v = arrays()
    ours, found = helpers.run(q, k, v, mask=regard.causal())
    output, also = helpers.run(*(x.numpy() for x in (q, k, v)), mask=regard.causal())
    assert isinstance(output, np.ndarray)
    assert (output == ours.numpy()).all()
    assert (also["entropy",] == found["entropy",].numpy()).all()


def test_strided_and_broadcast_arrays(helpers, device, small_tiles):
    q, k, v = arrays(3, 2, 4, 2, 37, 41, 16, 16)
    turned = [x.transpose(1, 2).contiguous().transpose(1, 2) for x in (q, k, v)]
    turned[0] = torch.stack((turned[0], turned[0]), -1)[..., 0]  # features that lie apart
    turned[1] = turned[1][:1].expand(2, -1, -1, -1)
    output, found = helpers.run(*turned)
    helpers.check(output, found, helpers.dense(q, k[:1].expand(2, -1, -1, -1)), v)


def test_arrays_whose_features_lie_apart(monkeypatch):
    """Also in what is requested of the map later, without the values."""
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)
    plain = arrays(3, 2, 4, 2, 37, 41, 16, 16)
    apart = [x.mT.contiguous().mT for x in plain]
    (output, weights), (expected, others) = (regard.attend(*x, dropout=0.1) for x in (apart, plain))
    assert torch.equal(output, expected)
    assert torch.equal(weights.topk().values, others.topk().values)


@pytest.mark.parametrize("small", [True, False])
def test_biases(helpers, device, small, monkeypatch, request):
    if small:
        if device == "gpu":
            pytest.skip("tiles on a GPU have sizes of their own, which small ones do not change")
        request.getfixturevalue("small_tiles")
        monkeypatch.setattr(limits, "FUSED_MASK_BYTES", 2**16)  # several pieces
    q, k, v = arrays()
    bias = torch.randn(1, 6, 43, 61)
    bias[..., 5] = -math.inf
    output, found = helpers.run(q, k, v, bias=bias)
    helpers.check(output, found, helpers.dense(q, k, bias=bias), v)
    alibi = regard.positions.ALiBi()
    output, found = helpers.run(q, k, v, bias=alibi, mask=MASKS["array"])
    layout = helpers.problem(q, k, v).layout
    tile = alibi.tile(layout, slice(0, 43), slice(0, 61))
    helpers.check(output, found, helpers.dense(q, k, MASKS["array"], tile), v)


def test_infinite_bias_takes_all(helpers, device):
    q, k, v = arrays(batch=1, heads=2, key_heads=1)
    bias = torch.zeros(43, 61)
    bias[:, 3] = bias[:20, 7] = math.inf
    output, found = helpers.run(q, k, v, bias=bias)
    weights = torch.zeros(1, 2, 43, 61, dtype=torch.float64)
    weights[..., :20, 3] = weights[..., :20, 7] = 0.5
    weights[..., 20:, 3] = 1
    helpers.check(output, found, weights, v)


def test_rows_whose_every_bias_is_a_huge_negative_number(helpers, device, small_tiles):
    """Only -inf masks: such a row is the softmax of what float32 leaves of its scores, here of equal ones."""
    torch.manual_seed(5)
    q, k, v = arrays(batch=1, heads=2, key_heads=1)
    lowest = torch.tensor([-1e10, -1e30, torch.finfo(torch.float32).min])[:, None]
    bias = torch.zeros(43, 61)
    bias[:, 20:40] = lowest[1]
    bias[7:10], q[:, :, 7:10] = lowest, 0
    bias[7, 3] = -math.inf
    inputs = [x.requires_grad_(device == "processor") for x in (q, k, v)]
    output, found = helpers.run(*inputs, bias=bias)
    found = {which: x.detach() if isinstance(x, torch.Tensor) else x for which, x in found.items()}
    exact = [x.detach().double().requires_grad_() for x in (q, k, v)]
    weights = helpers.dense(*exact[:2], bias=bias)
    helpers.check(output.detach(), found, weights.detach(), v.detach())
    if device == "processor":
        expected = (weights @ exact[2].repeat_interleave(2, 1)).square().sum()
        slopes = torch.autograd.grad(output.square().sum(), inputs)
        for one, other in zip(slopes, torch.autograd.grad(expected, exact), strict=True):
            assert helpers.difference(one, other) < 1e-5 * other.abs().max()


def test_scores_whose_logarithm_has_no_room_for_a_sum(monkeypatch):
    """At 1e20 all weight is on one key, and sums, gradients and `received` stay numbers."""
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)
    q, k, v = arrays()
    q, k, v = ((x * size).requires_grad_() for x, size in ((q, 1e10), (k, 1e10), (v, 1)))
    output, weights = regard.attend(q, k, v, watch=("entropy", "received"))
    best = (q @ k.repeat_interleave(2, 1).mT).argmax(-1)
    one_hot = torch.nn.functional.one_hot(best, 61).double()
    torch.testing.assert_close(weights.received().double(), one_hot.sum(2))
    assert not weights.entropy().any()
    (slope,) = torch.autograd.grad(output.sum(), v)
    expected = one_hot.sum(2).unflatten(1, (-1, 2)).sum(2)[..., None].expand(v.shape)
    torch.testing.assert_close(slope.double(), expected)


@pytest.mark.parametrize("size", [30.0, 1e4])
def test_extreme_scores(helpers, device, size, small_tiles):
    q, k, v = arrays(4, batch=1, heads=2, key_heads=1)
    output, found = helpers.run(q * size, k, v)
    weights = helpers.dense(q * size, k)
    # What float32 can hold of scores this large, times what a sum of 43 weights adds to that.
    spacing = size * float((q @ k.repeat_interleave(2, 1).mT).abs().max()) * 2**-23
    helpers.check(output, found, weights, v, 4 * spacing)
    total = torch.as_tensor(found["received",]).sum(-1)
    assert (total - 43).abs().max() < 43 * spacing


def test_a_row_that_sees_nothing_is_zero(helpers, device, small_tiles):
    q, k, v = arrays()
    seen = torch.rand(2, 6, 43, 61) > 0.3
    seen[0, :, 11] = seen[1, 2] = False
    output, found = helpers.run(q, k, v, mask=seen)
    assert (output[0, :, 11] == 0).all()
    assert (output[1, 2] == 0).all()
    assert (found["entropy",][1, 2] == 0).all()
    assert (found["topk", 5][0][1, 2] == 0).all()
    helpers.check(output, found, helpers.dense(q, k, seen), v)


def test_bfloat16(helpers):
    q, k, v = (x.bfloat16() for x in arrays(5, queries=301, keys=599))
    output, found = helpers.run(q, k, v, mask=regard.causal())
    seen = torch.ones(301, 599).tril(599 - 301).bool()
    weights = helpers.dense(q, k, seen)
    wide = weights @ v.double().repeat_interleave(2, 1)
    assert output.dtype == torch.bfloat16
    assert ((output.double() - wide).abs() <= wide.abs() * 2**-8 + 1e-6).all()  # rounded once
    del found["topk", 5]  # ties
    assert helpers.difference(found["received",], weights.sum(2)) < 2e-6
    assert helpers.difference(found["entropy",], torch.special.entr(weights).sum(-1)) < 2e-6


@pytest.mark.parametrize("score", ["additive", "cosine", "location"])
def test_other_scores(helpers, score, small_tiles):
    q, k, v = arrays(6)
    vector, indices = torch.randn(32) / 4, torch.randn(61, 32) / 6
    unit = torch.nn.functional.normalize
    score, weights = {
        "additive": (scores.Additive(vector), helpers.dense(q, k, vector=vector)),
        "cosine": (scores.Cosine(3.0), helpers.dense(unit(q, dim=-1), unit(k, dim=-1), scale=3.0)),
        "location": (
            scores.Location(indices),
            helpers.dense(q, indices.expand(2, 1, -1, -1), scale=1.0),
        ),
    }[score]
    output, found = helpers.run(q, k, v, score=score)
    helpers.check(output, found, weights, v)


@settings(max_examples=60)
@given(data=st.data())
def test_any_shape(helpers, data):
    whole = st.integers
    key_heads, group = data.draw(whole(1, 3)), data.draw(whole(1, 3))
    queries, keys = data.draw(whole(1, 90)), data.draw(whole(1, 90))
    features, values = data.draw(whole(1, 40)), data.draw(whole(1, 40))
    q, k, v = arrays(
        data.draw(whole(0, 99)), data.draw(whole(1, 2)), key_heads * group, key_heads,
        queries, keys, features, values,
    )  # fmt: skip
    before, after = data.draw(whole(0, 90)), data.draw(whole(0, 90))
    mask = data.draw(st.sampled_from([None, regard.causal(), regard.window(before, after)]))
    output, found = helpers.run(q, k, v, mask=mask)
    helpers.check(output, found, helpers.dense(q, k, allowed(mask, helpers, q, k, v)), v)


def test_tiles_outside_a_window_are_never_read(helpers, small_tiles):
    """What lies there may be NaN: only skipping keeps it out of the products."""
    q, k, v = arrays(7, 1, 1, 1, 24, 200, 16, 16)
    given = helpers.problem(q, k, v, mask=regard.window(3, 0))
    k[:, :, :150] = v[:, :, :150] = math.nan
    together = adapter.one_pass(given, (("received",),))
    assert together is not None
    output, found = together
    assert output.isfinite().all()
    assert (found["received",][..., :150] == 0).all()


@pytest.mark.parametrize("where", [0, 1, 2])
@pytest.mark.parametrize("score", [scores.ScaledDot(), scores.Additive(torch.ones(32) / 4)])
def test_what_is_not_a_number_is_not_hidden(helpers, monkeypatch, where, score):
    """Without a mask, too: as in the definition, not as if there were nothing to see."""
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)
    given = arrays(batch=1, heads=2, key_heads=2)
    given[where][0, 1, 7, 3] = math.nan
    rows = [7] if where == 0 else range(43)
    watch = ("entropy", "topk", "pool", "received")
    for output, weights in (
        regard.attend(*given, score=score, watch=watch),
        regard.attend(*given, score=score),
        regard.attend(*given, score=score, dropout=0.1),
    ):
        bad = output.isnan().any(-1)
        assert not bad[0, 0].any()
        assert bad[0, 1].nonzero()[:, 0].tolist() == list(rows)
        nan_weights = where < 2
        assert weights.entropy()[0, 1][rows].isnan().all() == nan_weights
        assert weights.pool().max[0, 1].isnan().any() == nan_weights
        assert weights.received()[0, 1].isnan().any() == nan_weights


def not_a_number(helpers, *given, **settings):
    """The rows whose weights are NaN, the same in every statistic; and where the output is."""
    output, found = helpers.run(*given, **settings)
    bad = torch.as_tensor(found["entropy",]).isnan()
    assert (torch.as_tensor(found["topk", 5][0]).isnan() == bad[..., None]).all()
    assert (torch.as_tensor(found["received",]).isnan() == bad.any(-1, keepdim=True)).all()
    rows = math.ceil(bad.shape[2] / 7)
    blocks = torch.stack([part.any(-1) for part in bad.split(rows, 2)], -1)
    for pooled in found["pool", 7, 3]:
        assert (torch.as_tensor(pooled).isnan() == blocks[..., None]).all()
    return bad, torch.as_tensor(output).isnan()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")  # NumPy's, in Triton's interpreter
@pytest.mark.parametrize("where", ["query", "key", "value", "every key"])
def test_a_nan_makes_its_rows_nan(helpers, device, where, small_tiles):
    """Rows with one such score, and rows without another."""
    q, k, v = given = arrays(batch=1)
    array = {"query": q, "value": v}.get(where, k)
    array[0, 1, slice(None) if where == "every key" else 7, 3] = math.nan
    weights = helpers.dense(q, k)
    bad, output = not_a_number(helpers, *given)
    assert (bad == weights.isnan().any(-1)).all()
    assert (output == (weights @ v.double().repeat_interleave(2, 1)).isnan()).all()


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("mask", [None, regard.causal(), regard.window(3, 0)])
def test_scores_that_overflow_are_no_numbers(helpers, device, mask, small_tiles):
    q, k, v = arrays(batch=1)
    q, k[:, 1, 30] = q.abs() * 1e15, 1e25
    bad, output = not_a_number(helpers, q, k, v, mask=mask)
    seen = allowed(mask, helpers, q, k, v)
    sees = torch.ones(43).bool() if seen is None else seen[0, 0, :, 30]
    assert (bad[0, 2:4] == sees).all()
    assert (output[0, 2:4] == sees[:, None]).all()
    assert not bad[0, [0, 1, 4, 5]].any()


def test_attend_and_its_map_use_the_kernel(monkeypatch):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)
    used = []
    one_pass = adapter.one_pass

    def recorded(problem, statistics, **settings):
        used.append(statistics)
        return one_pass(problem, statistics, **settings)

    monkeypatch.setattr(adapter, "one_pass", recorded)
    q, k, v = arrays()
    v[0, :, 60] = math.nan  # masked below: not for the kernel
    watch = ("entropy", "topk", "pool", "received")
    regard.attend(q, k, v, mask=regard.padding(torch.tensor([60, 61])), watch=watch)
    assert used == []
    q, k, v = arrays()
    output, weights = regard.attend(q, k, v, watch=watch)
    assert [len(requested) for requested in used] == [5]  # and the log-sum-exp
    plain, lazy = regard.attend(q, k, v)
    assert torch.allclose(output, plain, atol=1e-6)
    for ask in ("entropy", "received"):
        assert torch.allclose(getattr(weights, ask)(), getattr(lazy, ask)(), atol=1e-6)
    assert (weights.topk().positions == lazy.topk().positions).all()
    assert torch.allclose(weights.pool().mean, lazy.pool().mean)


@pytest.mark.parametrize(
    "change",
    [
        {"normalizer": regard.normalizers.Sparsemax()},
        {"dtype": torch.float64},
        {"bias": torch.zeros(43, 61, requires_grad=True)},
        {"statistics": (("topk", 65),)},
        {"statistics": (("pool", 8, 1000),), "keys": 4000},
    ],
)
def test_what_does_not_fit_is_left_to_the_twin(change):
    from regard.attention.problem import make_problem

    q, k, v = (
        x.to(change.get("dtype", torch.float32)) for x in arrays(keys=change.get("keys", 61))
    )
    given = make_problem(
        q, k, v, score=scores.ScaledDot(), mask=None, bias=change.get("bias"),
        normalizer=change.get("normalizer", regard.normalizers.Softmax()),
    )  # fmt: skip
    if "bias" in change:  # whose tile alone says that it needs a gradient
        assert adapter.one_pass(given, ()) is None
    else:
        assert not adapter.fits(given, change.get("statistics", ()))


@pytest.mark.parametrize("k", [1, 8, 16, 17, 33, 64])
@pytest.mark.parametrize("kind", ["random", "rising", "tied"])
def test_lists_of_every_length(helpers, small_tiles, k, kind):
    """Rising scores enter one after the other; of tied ones those that come first stay."""
    scores = {
        "random": torch.randn(1, 1, 9, 111, generator=torch.Generator().manual_seed(8)),
        "rising": torch.arange(9 * 111).reshape(1, 1, 9, 111) / 100,
        "tied": torch.randint(0, 4, (1, 1, 9, 111), generator=torch.Generator().manual_seed(9)) / 2,
    }[kind]
    _, found = helpers.run(torch.eye(9)[None, None] * 3, scores.mT.float(), torch.zeros(1, 1, 111, 2),
                       statistics=(("topk", k),))  # fmt: skip
    weights = scores.double().softmax(-1)
    values, indices = found["topk", k]
    order = torch.sort(weights, stable=True, dim=-1, descending=True)
    assert helpers.difference(values, order.values[..., :k]) < 2e-6
    if kind != "random":
        assert torch.equal(indices, order.indices[..., :k])
