"""Bahdanau, Luong and pointer attention: by hand, against a dense reference, by finite differences."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from regard.attention import padding
from regard.errors import InputError, ShapeError
from regard.layers import (
    BahdanauAttention,
    LocalM,
    LocalP,
    LuongAttention,
    LuongScore,
    PointerAttention,
    SingleHeadAttention,
    copy_distribution,
)

LENGTHS = torch.tensor([5, 2, 1])
MASK = torch.arange(5) < LENGTHS[:, None]


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(3)


def made(name: str) -> SingleHeadAttention:
    if name == "additive":
        return BahdanauAttention(4, 4, hidden=3)
    return LuongScore(4, 4, kind=name)  # type: ignore[arg-type]


def reference(name: str, layer: SingleHeadAttention, query: Tensor, key: Tensor) -> Tensor:
    """Scores written out, one pair at a time."""
    rows = []
    for s in query:
        row = []
        for h in key:
            if name == "dot":
                row.append(s @ h)
            elif name == "general":
                row.append(s @ layer.key.weight @ h)
            else:
                row.append(layer.vector @ torch.tanh(layer.query.weight @ s + layer.key.weight @ h))
        rows.append(torch.stack(row))
    return torch.stack(rows)


def test_additive_by_hand() -> None:
    layer = BahdanauAttention(1, 1, hidden=1)
    with torch.no_grad():
        layer.query.weight.fill_(1.0)
        layer.key.weight.fill_(2.0)
        layer.vector.fill_(3.0)
    context, weights = layer(torch.tensor([[[0.5]]]), torch.tensor([[[0.0], [1.0]]]))
    e = [3 * math.tanh(0.5), 3 * math.tanh(2.5)]
    first = 1 / (1 + math.exp(e[1] - e[0]))
    assert weights.dense()[0, 0].tolist() == pytest.approx([first, 1 - first], abs=1e-6)
    assert context.item() == pytest.approx(1 - first, abs=1e-6)


@pytest.mark.parametrize("name", ["additive", "dot", "general", "concat"])
def test_scores_are_the_papers(name: str) -> None:
    layer = made(name).double()
    query, key = torch.randn(3, 2, 4).double(), torch.randn(3, 5, 4).double()
    context, weights = layer.attend(query, key, mask=padding(LENGTHS))
    for row, length in enumerate(LENGTHS):
        scores = reference(name, layer, query[row], key[row, :length])
        torch.testing.assert_close(weights.dense()[row, :, :length], scores.softmax(-1))
        torch.testing.assert_close(context[row], scores.softmax(-1) @ key[row, :length])
        assert not weights.dense()[row, :, length:].any()


@pytest.mark.parametrize("name", ["additive", "dot", "general", "concat"])
def test_looking_step_by_step_is_attending(name: str) -> None:
    layer = made(name).double()
    query, key = torch.randn(3, 2, 4).double(), torch.randn(3, 5, 4).double()
    value = torch.randn(3, 5, 7).double()
    context, weights = layer.attend(query, key, value, mask=padding(LENGTHS))
    seen, rows = layer.attend_step(query, layer.project_keys(key), value, MASK)
    torch.testing.assert_close(seen, context)
    torch.testing.assert_close(rows, weights.dense())


@pytest.mark.parametrize("way", ["attend", "attend_step"])
@pytest.mark.parametrize("name", ["additive", "dot", "general", "concat"])
def test_gradients(name: str, way: str) -> None:
    layer = made(name).double()
    query = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    key = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    class Run(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = layer

        def forward(self, query: Tensor, key: Tensor) -> Tensor:
            if way == "attend":
                return layer.attend(query, key, mask=padding(LENGTHS))[0]
            return layer.attend_step(query, layer.project_keys(key), key, MASK)[0]

    module = Run()

    def run(query: Tensor, key: Tensor, *parameters: Tensor) -> Tensor:
        values = {f"layer.{n}": p for n, p in zip(names, parameters, strict=True)}
        return torch.func.functional_call(module, values, (query, key))

    assert torch.autograd.gradcheck(run, (query, key, *layer.parameters()), fast_mode=True)


@pytest.mark.parametrize("where", [None, LocalM(1), LocalP(2)])
@pytest.mark.parametrize("score", ["dot", "general", "concat"])
def test_luong_gradients(score: str, where: LocalM | LocalP | None) -> None:
    layer = LuongAttention(4, 4, score=score, where=where).double()  # type: ignore[arg-type]
    query = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    key = torch.randn(3, 5, 4, dtype=torch.float64, requires_grad=True)
    names = [name for name, _ in layer.named_parameters()]

    def run(query: Tensor, key: Tensor, *parameters: Tensor) -> Tensor:
        values = dict(zip(names, parameters, strict=True))
        return torch.func.functional_call(layer, values, (query, key), {"lengths": LENGTHS})[0]

    assert torch.autograd.gradcheck(run, (query, key, *layer.parameters()), fast_mode=True)


def test_the_attentional_vector_is_the_papers() -> None:
    layer = LuongAttention(3, 5)
    query, key = torch.randn(2, 4, 3), torch.randn(2, 6, 5)
    vector, weights = layer(query, key)
    context = weights.dense() @ key
    combine = torch.cat([layer.combine.context.weight, layer.combine.query.weight], 1)
    torch.testing.assert_close(vector, torch.tanh(torch.cat([context, query], -1) @ combine.T))


def test_local_m_sees_a_window_around_its_own_place() -> None:
    layer = LuongAttention(3, 3, where=LocalM(1))
    query, key = torch.randn(1, 4, 3), torch.randn(1, 6, 3)
    seen = layer(query, key)[1].dense()[0] > 0
    expected = (torch.arange(4)[:, None] - torch.arange(6)).abs() <= 1
    assert torch.equal(seen, expected)
    one, whole = layer(query[:, 2:3], key, first=2)[1], layer(query, key)[1]
    torch.testing.assert_close(one.dense(), whole.dense()[:, 2:3])


def test_local_p_looks_where_it_predicts() -> None:
    layer = LuongAttention(3, 3, where=LocalP(2))
    query, key = torch.randn(2, 4, 3), torch.zeros(2, 9, 3)
    lengths = torch.tensor([9, 6])
    centres = layer.place(query, lengths)
    assert ((centres >= 0) & (centres <= lengths[:, None])).all()
    weights = layer(query, key, lengths=lengths)[1].dense()
    distance = torch.arange(9) - centres[..., None]
    inside = (distance.abs() <= 2) & (torch.arange(9) < lengths[:, None, None])
    gauss = torch.exp(-(distance**2) / 2) * inside
    torch.testing.assert_close(weights, (gauss / gauss.sum(-1, keepdim=True)).nan_to_num())


@pytest.mark.parametrize("where", [LocalM(1), LocalP(2)])
def test_places_that_bfloat16_does_not_hold(where: LocalM | LocalP) -> None:
    layer = LuongAttention(3, 3, where=where).to(torch.bfloat16)
    query, key = torch.randn(1, 4, 3).bfloat16(), torch.randn(1, 900, 3).bfloat16()
    if layer.place is None:
        seen = layer(query, key, first=601)[1].dense()[0] > 0
        assert torch.equal(seen, (torch.arange(601, 605)[:, None] - torch.arange(900)).abs() <= 1)
    else:
        share = layer.place(query, torch.tensor([1]))
        torch.testing.assert_close(layer.place(query, torch.tensor([900])), 900 * share)
        assert share.dtype == torch.float32


def test_wrong_scores_and_widths_are_told() -> None:
    with pytest.raises(InputError, match="did you mean 'general'"):
        LuongScore(3, 3, kind="generall")  # type: ignore[arg-type]
    with pytest.raises(ShapeError, match="queries have 3 features, keys 5"):
        LuongScore(3, 5, kind="dot")


@pytest.mark.parametrize("coverage", [True, False])
def test_pointer_weights_are_those_of_the_paper(coverage: bool) -> None:
    r"""`softmax(v . tanh(W_h h + W_s s + w_c c + b))`, term by term (See et al. 2017, equations 1 and 11)."""
    layer = PointerAttention(4, 6, hidden=3, coverage=coverage)
    key, query, before = torch.randn(3, 5, 6), torch.randn(3, 2, 4), torch.rand(3, 2, 5)
    weights = layer(query, layer.project_keys(key), key, coverage=before, mask=MASK)[1]
    projected_key, asked = layer.project_keys(key), layer.query(query)
    for b, q in ((b, q) for b in range(3) for q in range(2)):
        inner = [asked[b, q] + projected_key[b, k] for k in range(5)]
        if coverage:
            inner = [x + before[b, q, k] * layer.covered for k, x in enumerate(inner)]
        scores = torch.stack([x.tanh() @ layer.vector for x in inner])
        expected = scores.masked_fill(~MASK[b], -torch.inf).softmax(0)
        torch.testing.assert_close(weights[b, q], expected)


def test_coverage_is_the_sum_of_all_weights_before() -> None:
    layer = PointerAttention(4, 6)
    with torch.no_grad():
        layer.covered.fill_(-2.0)
    key = torch.randn(3, 5, 6)
    projected_key, coverage = layer.project_keys(key), torch.zeros(3, 1, 5)
    seen = []
    for _ in range(3):
        context, weights, after = layer(
            torch.randn(3, 1, 4), projected_key, key, coverage=coverage, mask=MASK
        )
        torch.testing.assert_close(context, weights @ key)
        seen.append(weights)
        torch.testing.assert_close(after, torch.stack(seen).sum(0))
        coverage = after
    torch.testing.assert_close(coverage.sum(-1), torch.full((3, 1), 3.0))


def test_coverage_changes_where_it_looks() -> None:
    layer = PointerAttention(4, 6)
    with torch.no_grad():
        layer.covered.copy_(-3.0 * layer.vector.sign())
    key = torch.randn(1, 5, 6)
    mask, query = torch.ones(1, 5, dtype=torch.bool), torch.randn(1, 1, 4)
    covered = torch.tensor([[[2.0, 0, 0, 0, 0]]])
    fresh = layer(query, layer.project_keys(key), key, coverage=covered * 0, mask=mask)[1]
    later = layer(query, layer.project_keys(key), key, coverage=covered, mask=mask)[1]
    assert later[0, 0, 0] < fresh[0, 0, 0]


@pytest.mark.parametrize("coverage", [True, False])
def test_pointer_gradients(coverage: bool) -> None:
    layer = PointerAttention(4, 3, hidden=2, coverage=coverage).double()
    query = torch.randn(3, 2, 4, dtype=torch.float64, requires_grad=True)
    key = torch.randn(3, 5, 3, dtype=torch.float64, requires_grad=True)
    before = torch.rand(3, 2, 5, dtype=torch.float64, requires_grad=True)

    def run(query: Tensor, key: Tensor, before: Tensor) -> tuple[Tensor, ...]:
        return layer(query, layer.project_keys(key), key, coverage=before, mask=MASK)

    assert torch.autograd.gradcheck(run, (query, key, before))


def test_a_word_that_stands_twice_is_copied_with_both_weights() -> None:
    weights = torch.tensor([[[0.5, 0.25, 0.25]]])
    copied = copy_distribution(weights, torch.tensor([[4, 6, 4]]), 7)
    assert copied.tolist() == [[[0, 0, 0, 0, 0.75, 0, 0.25]]]
