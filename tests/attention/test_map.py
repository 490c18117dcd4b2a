"""Every answer of an `AttentionMap` against the float64 matrix; dense maps; watching."""

import copy
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard import AttentionMap, normalizers
from regard.attention import kernels
from regard.attention.kernels import limits
from regard.errors import InputError, ShapeError


def problem(rng, queries=13, keys=17):
    q, k = rng.normal(size=(2, 6, queries, 5)), rng.normal(size=(2, 3, keys, 5))
    v = rng.normal(size=(2, 3, keys, 7))
    mask = rng.random((2, 1, queries, keys)) < 0.7
    mask[1, 0, 4] = False
    return [x.astype(np.float32) for x in (q, k, v)], mask


@pytest.fixture(params=["numpy", "torch", "jax", "tiles", "dense"])
def make_map(request, libraries, monkeypatch):
    """Makes a map of one matrix: by each library, by torch without its kernels, and dense."""
    if request.param == "tiles":
        for name in ("matmul", "rmatmul", "statistics"):
            monkeypatch.setattr(kernels, name, lambda *_: None)
        # And with several tiles.
        monkeypatch.setattr(
            "regard.attention.problem.split_rows",
            lambda n, _: [slice(i, min(n, i + 5)) for i in range(0, n, 5)],
        )
    make = libraries[request.param if request.param in libraries else "torch"]

    def of(arrays, mask):
        weights = regard.attend(*(make(x) for x in arrays), mask=make(mask))[1]
        return (
            AttentionMap.from_dense(weights.dense()) if request.param == "dense" else weights
        ), make

    return of


def close(found, expected, atol=2e-6):
    found = np.asarray(found)
    assert found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=atol, rtol=0)


def test_statistics(make_map, reference, rng):
    arrays, mask = problem(rng)
    weights, _ = make_map(arrays, mask)
    expected = reference(*arrays, allowed=mask)
    assert weights.shape == (2, 6, 13, 17)
    close(weights.dense(), expected.weights)
    close(weights.entropy(), expected.entropy())
    close(weights.received(), expected.received())
    close(weights.distance(), expected.distance(), 1e-5)
    found = weights.topk(5)
    close(found.values, expected.topk(5))
    close(np.take_along_axis(expected.weights, np.asarray(found.positions), -1), expected.topk(5))
    assert weights.topk(100).values.shape[-1] == 17
    for blocks in ((4, 4), (64, 3)):
        for ours, theirs in zip(weights.pool(*blocks), expected.pool(*blocks), strict=True):
            close(ours, theirs)


def test_the_operator(make_map, reference, rng):
    arrays, mask = problem(rng)
    weights, make = make_map(arrays, mask)
    expected = reference(*arrays, allowed=mask)
    close(weights @ make(arrays[2]), expected.output, 4e-6)
    wide = rng.normal(size=(17, 300)).astype(np.float32)
    close(weights @ make(wide), expected.weights @ wide, 5e-6)
    g = rng.normal(size=(2, 6, 13, 3)).astype(np.float32)
    close(weights.T @ make(g), expected.weights.swapaxes(-1, -2) @ g, 5e-6)
    close(weights.T @ make(g[0, 0]), expected.weights.swapaxes(-1, -2) @ g[0, 0], 5e-6)
    assert weights.T.shape == (2, 6, 17, 13)
    assert weights.T.T is weights


@pytest.mark.parametrize("kernel", [True, False])
@pytest.mark.parametrize("heads", [1, 2, 3, 6])
def test_the_operator_takes_as_many_heads_as_divide_the_maps(
    make_map, kernel, heads, reference, rng, monkeypatch
):
    if kernel:
        monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", 0)
    arrays, mask = problem(rng)
    weights, make = make_map(arrays, mask)
    x = rng.normal(size=(2, heads, 17, 3)).astype(np.float32)
    exact = reference(*arrays, allowed=mask).weights
    close(weights @ make(x), exact @ np.repeat(x, 6 // heads, 1), 5e-6)
    g = rng.normal(size=(2, heads, 13, 3)).astype(np.float32)
    close(weights.T @ make(g), exact.swapaxes(2, 3) @ np.repeat(g, 6 // heads, 1), 5e-6)
    with pytest.raises(ShapeError, match="a batch of 1 or 2 and as many heads as the map, 6"):
        weights @ make(rng.normal(size=(2, 4, 17, 3)).astype(np.float32))


@pytest.mark.parametrize(
    "index",
    [
        np.s_[..., 3:9, :],
        np.s_[..., 2, :],
        np.s_[..., -1, :],
        np.s_[1, 4, 3],
        np.s_[1, 4, 3:11, 2:6],
        np.s_[0],
        np.s_[:, 2:4, ::3],
        np.s_[:, :, [1, 12, 4], 5],
        np.s_[..., 9:3, :],
        np.s_[..., np.arange(13) % 5 == 1, :],
        np.s_[1, ..., np.int64(6), :],
        np.s_[..., 4, 5],
        np.s_[-1, ..., 0],
        np.s_[1, 4, [1, 12, 4], np.int64(5)],
        np.s_[0, 3, np.array([1, 12, 1]), np.array([3, 0, 16])],
        np.s_[:, np.array([0, 5]), np.array([-1, 2])],
        np.s_[..., np.array([[7], [2]]), np.array([4, 4, -3])],
        np.s_[1, 2, np.array([[7, 0], [2, 7]])],
        np.s_[...],
    ],
)
def test_indexing_is_that_of_the_dense_matrix(index, make_map, reference, rng):
    arrays, mask = problem(rng)
    weights, _ = make_map(arrays, mask)
    close(weights[index], reference(*arrays, allowed=mask).weights[index])


def test_indexing_computes_only_the_rows_it_names(monkeypatch, rng):
    arrays, mask = problem(rng)
    _, weights = regard.attend(*arrays, mask=mask)
    computed = []
    plain = type(weights._source).weights

    def recorded(self, rows):
        computed.append(rows)
        return plain(self, rows)

    monkeypatch.setattr(type(weights._source), "weights", recorded)
    weights[..., 3:5, :]
    weights[0, 0, 7]
    assert computed == [slice(3, 5), slice(7, 8)]


def test_too_many_or_impossible_indices(rng):
    arrays, _ = problem(rng)
    _, weights = regard.attend(*arrays)
    with pytest.raises(IndexError):
        weights[0, 0, 0, 0, 0]
    with pytest.raises(IndexError):
        weights[..., 13, :]


def test_a_map_without_calls_computes_nothing(monkeypatch, rng):
    (q, k, v), mask = problem(rng)
    q, k, v = (torch.from_numpy(x) for x in (q, k, v))
    monkeypatch.setattr(
        "regard.attention.problem.Problem.weights", lambda *_: pytest.fail("computed")
    )
    _, weights = regard.attend(q, k, v, mask=torch.from_numpy(mask))
    assert "AttentionMap(shape=(2, 6, 13, 17)" in repr(weights)
    assert len(weights) == 2


def test_tiles_cover_the_matrix(make_map, rng):
    arrays, mask = problem(rng)
    weights, _ = make_map(arrays, mask)
    parts = list(weights.tiles())
    assert [rows.start for rows, _ in parts] == [0, *(rows.stop for rows, _ in parts[:-1])]
    np.testing.assert_array_equal(
        np.concatenate([np.asarray(tile) for _, tile in parts], -2), np.asarray(weights.dense())
    )


def test_norms_against_the_moved_vectors(make_map, reference, rng):
    arrays, mask = problem(rng)
    weights, make = make_map(arrays, mask)
    expected = reference(*arrays, allowed=mask)
    projection = rng.normal(size=(6, 7, 4)).astype(np.float32)
    moved = np.einsum("bhls,bhsv,hvd->bhlsd", expected.weights, expected.value, projection)
    size = np.linalg.norm(moved, axis=-1)
    found = weights.norms(make(arrays[2]), make(projection))
    close(found.dense(), size, 2e-5)
    close(found.received(), size.sum(-2), 2e-4)
    flat = weights.norms(make(arrays[2]), make(projection.reshape(42, 4)))
    close(flat.dense(), size, 2e-5)
    with pytest.raises(
        ShapeError, match=r"output projection has shape \(5, 4\); expected \(6, 7, d\)"
    ):
        weights.norms(make(arrays[2]), make(projection[0, :5]))


def test_norms_of_tiny_and_masked_vectors():
    """A value that W_O projects to almost zero, and a masked one that is NaN."""
    rng = np.random.default_rng(4)
    x = rng.normal(size=(5, 6)).astype(np.float32)
    away = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    projection = (away * np.logspace(0, -4, 6)) @ rng.normal(size=(6, 300))
    value = (rng.normal(size=(5, 1)) * away[:, -1]).astype(np.float32)
    value[4] = np.nan
    _, weights = regard.attend(x, x, x, mask=regard.padding([4]))
    size = np.linalg.norm(value.astype(float) @ projection, axis=-1)
    expected = np.where(weights.dense() == 0, 0, weights.dense() * size)
    np.testing.assert_allclose(weights.norms(value, projection).dense(), expected, rtol=0.01)
    y = torch.tensor(x)
    _, weights = regard.attend(y, y, y, mask=regard.padding([4]))
    with torch.autocast("cpu", torch.bfloat16):  # and a projection of another library
        found = weights.norms(torch.tensor(value), projection).dense()
    np.testing.assert_allclose(found, expected, rtol=0.01)


def test_norms_of_a_layer():
    from regard.layers import MultiHeadAttention

    layer = MultiHeadAttention(8, 2)
    x = torch.randn(3, 5, 8)
    _, weights = layer(x)
    value = layer.project_memory(x).value
    for head in range(2):
        alone = torch.cat([value[:, head] if h == head else 0 * value[:, h] for h in range(2)], -1)
        size = (layer.output(alone) - layer.output.bias).norm(dim=-1)
        found = weights.norms(value, layer.output.weight.T).dense()[:, head]
        torch.testing.assert_close(found, weights.dense()[:, head] * size[:, None])


@pytest.mark.parametrize("rank", [2, 3])
def test_answers_have_as_many_axes_as_the_arguments(rank, library, rng):
    lead = (2,) * (rank - 2)
    q, k = (library(rng.normal(size=(*lead, n, 5))) for n in (4, 6))
    _, w = regard.attend(q, k, k)
    assert w.shape == (*lead, 4, 6)
    assert w.entropy().shape == (*lead, 4)
    assert w.received().shape == (*lead, 6)
    assert w.topk(2).positions.shape == (*lead, 4, 2)
    assert w.pool(2, 3).max.shape == (*lead, 2, 3)
    assert w.dense().shape == w[...].shape == (*lead, 4, 6)
    assert (w @ k).shape == (*lead, 4, 5)
    assert (w.T @ q).shape == (*lead, 6, 5)


@pytest.mark.parametrize("lengths", [(0, 5), (5, 0), (1, 1), (0, 0)])
def test_empty_and_single(lengths, library, rng):
    q, k = (library(rng.normal(size=(2, 3, n, 4))) for n in lengths)
    output, w = regard.attend(q, k, k, mask=regard.causal())
    assert output.shape == (2, 3, lengths[0], 4)
    assert not np.asarray(output).any() or lengths == (1, 1)
    assert w.dense().shape == (2, 3, *lengths)
    assert w.entropy().shape == (2, 3, lengths[0])
    assert w.received().shape == (2, 3, lengths[1])
    assert w.pool(2, 2).mean.shape == (2, 3, *(min(2, n) for n in lengths))
    assert (w @ k).shape == output.shape
    dropped, _ = regard.attend(q, k, k, dropout=0.5)
    assert dropped.shape == output.shape


@pytest.mark.parametrize("normalizer", [normalizers.Softmax(), normalizers.Sparsemax()])
def test_autocast_does_not_round_statistics(normalizer):
    torch.manual_seed(1)
    q, k, v = (torch.randn(2, 3, n, 8) for n in (13, 17, 17))
    _, weights = regard.attend(q, k, v, normalizer=normalizer, bias=regard.positions.ALiBi())
    x, g = torch.randn(17, 2), torch.randn(13, 2)

    def statistics():
        return (
            weights.dense(), weights.entropy(), weights.received(), weights.topk().values,
            weights.distance(), weights.pool(3, 3).mean, weights @ x, weights.T @ g,
            weights.lse(), weights.max_score(),
        )  # fmt: skip

    plain = statistics()
    weights._answers.named.clear()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        cast = statistics()
    for one, other in zip(plain, cast, strict=True):
        assert torch.equal(one, other)


@pytest.mark.parametrize("score", [regard.scores.ScaledDot(), regard.scores.Cosine()])
@pytest.mark.parametrize("dropout", [0.0, 0.3])
def test_autocast_does_not_round_the_output_of_tiles(score, dropout):
    torch.manual_seed(2)
    x, entmax = torch.randn(2, 3, 17, 8), normalizers.Entmax15()
    plain, _ = regard.attend(x, x, x, score=score, normalizer=entmax, dropout=dropout)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        output, _ = regard.attend(x, x, x, score=score, normalizer=entmax, dropout=dropout)
    assert torch.equal(output, plain)


def test_lse_and_the_largest_score(libraries, rng, monkeypatch):
    """By the kernel, along with the output and later, by tiles, and in every library."""
    arrays, mask = problem(rng, 70, 90)
    bias = rng.normal(size=(6, 70, 90)).astype(np.float32)[None]
    query, key = (x.astype(np.float64) for x in arrays[:2])
    scores = query @ key.repeat(2, 1).swapaxes(-1, -2) / math.sqrt(5) + bias
    scores = np.where(mask, scores, -np.inf)
    largest = scores.max(-1)
    sums = np.exp(scores - np.maximum(largest, -1e9)[..., None]).sum(-1)
    lse = largest + np.log(np.where(sums, sums, 1))
    for least in (1, 2**30):
        monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
        for name, make in libraries.items():
            given = [make(x) for x in arrays]
            for watch in ((), ("lse", "max_score")):
                _, weights = regard.attend(*given, mask=make(mask), bias=make(bias), watch=watch)
                close(weights.lse(), lse)
                close(weights.max_score(), largest)
                assert weights.lse().dtype == weights.dtype, name
    assert (np.isneginf(lse) == np.isneginf(largest)).all()
    assert np.isneginf(lse).any()


@pytest.mark.parametrize("least", [1, 2**30])
def test_the_gradient_of_lse(monkeypatch, least):
    """Also beside a row that sees nothing, whose lse is -inf."""
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    torch.manual_seed(0)
    query, key = (torch.randn(1, 2, 20, 4, requires_grad=True) for _ in range(2))
    mask = torch.ones(20, 20, dtype=torch.bool).tril(-1)  # of query 0 nothing
    _, weights = regard.attend(query, key, key, mask=mask, watch=("lse",))
    scores = (query.double() @ key.double().mT / 2).masked_fill(~mask, -math.inf)
    expected = torch.autograd.grad(scores[:, :, 1:].logsumexp(-1).square().sum(), (query, key))
    for one in (weights, regard.attend(query, key, key, mask=mask)[1]):
        found = torch.autograd.grad(one.lse()[:, :, 1:].square().sum(), (query, key))
        torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_matrix_holds_no_scores():
    weights = AttentionMap.from_dense(np.eye(3))
    for ask in (weights.lse, weights.max_score):
        with pytest.raises(InputError, match="holds weights alone"):
            ask()


def test_received_of_some_queries(make_map, reference, rng):
    arrays, mask = problem(rng)
    weights, _ = make_map(arrays, mask)
    dense = reference(*arrays, allowed=mask).weights
    for queries in (slice(-4, None), slice(2, 9), slice(None, -20), slice(-99, 99)):
        close(weights.received(queries=queries), dense[:, :, queries].sum(2))
    with pytest.raises(InputError, match="without steps"):
        weights.received(queries=slice(None, None, 2))


def test_the_other_queries_are_not_computed(rng, monkeypatch):
    arrays, _ = problem(rng, 4000, 1000)
    _, weights = regard.attend(*arrays)
    rows: list[slice] = []
    source = type(weights._source)
    plain = source.weights

    def noted(self: Any, some: slice) -> Any:
        rows.append(some)
        return plain(self, some)

    monkeypatch.setattr(source, "weights", noted)
    weights.received(queries=slice(-32, None))
    assert rows[0].start == 4000 - 32
    assert rows[-1].stop == 4000


def test_watched_statistics_against_later_ones(libraries, rng):
    for make in libraries.values():
        (q, k, v), _ = problem(rng, 70, 90)
        arrays = [make(x) for x in (q, k, v)]
        watch = ("entropy", "topk", "pool", "received")
        output, watched = regard.attend(*arrays, mask=regard.window(20), watch=watch)
        plain, later = regard.attend(*arrays, mask=regard.window(20))
        close(output, np.asarray(plain))
        close(watched.entropy(), np.asarray(later.entropy()))
        close(watched.received(), np.asarray(later.received()), 1e-5)
        close(watched.topk().values, np.asarray(later.topk().values))
        close(watched.pool().mean, np.asarray(later.pool().mean))


def test_a_dense_map_of_a_recurrent_decoder():
    rows = torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.25, 0.75]], requires_grad=True)
    weights = AttentionMap.from_dense(rows)
    np.testing.assert_allclose(
        weights.entropy().detach(),
        [math.log(2), -0.25 * math.log(0.25) - 0.75 * math.log(0.75)],
        rtol=1e-6,
    )
    weights.entropy().sum().backward()
    assert rows.grad is not None


@pytest.mark.unchecked
def test_arrays_that_are_no_map_are_refused():
    rows = torch.ones(2, 3)
    with pytest.raises(ShapeError, match=r"weights have shape \(3,\)"):
        AttentionMap.from_dense(rows[0])
    with pytest.raises(InputError, match=r"weights hold torch\.int64"):
        AttentionMap.from_dense(rows.long())


def test_impossible_arguments_are_refused(rng):
    arrays, _ = problem(rng)
    _, weights = regard.attend(*arrays)
    with pytest.raises(InputError, match="topk got 0; expected at least 1 key"):
        weights.topk(0)
    with pytest.raises(InputError, match="pool got 0 blocks"):
        weights.pool(4, 0)
    with pytest.raises(
        ShapeError, match=r"x has shape \(13, 2\); expected \(\.\.\., 17, columns\)"
    ):
        weights @ np.zeros((13, 2))


def test_statistics_of_other_normalisers(library, rng, reference, rows):
    arrays, mask = problem(rng)
    _, weights = regard.attend(
        *(library(x) for x in arrays), mask=library(mask), normalizer=normalizers.Sparsemax()
    )
    expected = reference(*arrays, allowed=mask, row=rows["Sparsemax"])
    close(weights.entropy(), expected.entropy())
    close(weights.received(), expected.received())


@pytest.mark.parametrize("least", [0, 2**60])
@pytest.mark.parametrize("keys", [1, 3, 7, 50, 257, 1000])
@pytest.mark.parametrize("watch", [(), ("entropy",)])
def test_entropy_is_at_most_the_logarithm_of_the_keys(monkeypatch, library, keys, watch, least):
    monkeypatch.setattr(limits, "FUSED_MIN_WEIGHTS", least)
    query = library(np.zeros((5, 4), np.float32))
    key = library(np.ones((keys, 4), np.float32))
    _, weights = regard.attend(query, key, key, watch=watch)
    entropy = np.asarray(weights.entropy(), np.float64)
    assert (entropy <= math.log(keys)).all()
    np.testing.assert_allclose(entropy, math.log(keys), rtol=1e-6)
    stored = AttentionMap.from_dense(library(np.full((2, keys), 1 / keys, np.float32)))
    assert (np.asarray(stored.entropy(), np.float64) <= math.log(keys)).all()


def test_entropy_of_rows_that_do_not_sum_to_1_has_no_such_limit():
    query, key = np.zeros((2, 4)), np.ones((3, 4))
    _, weights = regard.attend(query, key, key, normalizer=normalizers.Sigmoid())
    np.testing.assert_allclose(weights.entropy(), -3 * 0.5 * math.log(0.5))
    assert math.copysign(1, AttentionMap.from_dense(np.eye(2)).entropy()[0]) == 1


def test_the_limit_of_entropy_leaves_its_gradient():
    generator = torch.Generator().manual_seed(0)
    query = (torch.randn(3, 4, generator=generator) * 1e-4).requires_grad_()
    key = torch.randn(9, 4, generator=generator)
    (found,) = torch.autograd.grad(regard.attend(query, key, key)[1].entropy().sum(), query)
    wide = query.detach().double().requires_grad_()
    exact = torch.special.entr((wide @ key.double().T / 2).softmax(-1)).sum()
    (expected,) = torch.autograd.grad(exact, wide)
    torch.testing.assert_close(found.double(), expected, rtol=1e-2, atol=1e-7)


@pytest.mark.parametrize("name", ["numpy", "torch", "jax"])
@pytest.mark.parametrize("copied", [copy.deepcopy, lambda x: pickle.loads(pickle.dumps(x))])
def test_a_map_survives_pickle_and_deepcopy(libraries: Any, name: str, copied: Any) -> None:
    library = libraries[name]
    rng = np.random.default_rng(0)
    query, key, value = (library(rng.standard_normal((2, 3, 6, 4))) for _ in range(3))
    mask = regard.causal() & regard.padding(library(np.array([6, 4])))
    _, weights = regard.attend(query, key, value, mask=mask, watch=("entropy",))
    again = copied(weights)
    np.testing.assert_array_equal(np.asarray(again.dense()), np.asarray(weights.dense()))
    np.testing.assert_array_equal(np.asarray(again.entropy()), np.asarray(weights.entropy()))
    assert again.dtype == weights.dtype
    norms = copied(weights.norms(value, library(np.eye(4))).of_member(2))
    assert norms.member == 2
    assert norms.dense().shape == (2, 3, 6, 6)
    dense = copied(regard.AttentionMap.from_dense(weights.dense()))
    np.testing.assert_array_equal(np.asarray(dense.dense()), np.asarray(weights.dense()))


def test_a_copy_of_a_map_has_memory_of_its_own_and_no_graph() -> None:
    packed = torch.randn(6, 3 * 4, requires_grad=True)
    query, key, value = (packed * 1).chunk(3, -1)  # views of one tensor that is no leaf
    _, weights = regard.attend(query, key, value, watch=("entropy",))
    assert len(pickle.dumps(weights)) < 10_000
    for again in (copy.deepcopy(weights), pickle.loads(pickle.dumps(weights))):
        assert not again.dense().requires_grad
        assert not again.entropy().requires_grad
    expected = weights.dense().detach().clone()
    with torch.no_grad():
        key += 1
    torch.testing.assert_close(again.dense(), expected)
