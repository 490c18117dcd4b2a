"""Several processes, here threads, compute what one computes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import regard
from regard import scores
from regard.attention.normalizers import Softmax, Sparsemax
from regard.distributed import Shards
from regard.distributed.attend import attend_over
from regard.distributed.problem import make_sharded_problem
from regard.distributed.ring import Ring
from regard.errors import InputError, ProcessGroupError, ShapeError

Threads = Callable[[int, Callable[[Ring], Any]], list[Any]]
LENGTH = 37
DOCUMENTS = torch.arange(LENGTH) // 11
RANGES = {
    "none": None,
    "causal": regard.causal(),
    "upper left": regard.causal(align="upper left"),
    "window": regard.window(4),
    "padding": regard.padding(torch.tensor([LENGTH, 13])),
    "documents": regard.causal() & regard.documents(DOCUMENTS),
    "no range": regard.masks.where(lambda b, h, i, j: (i - j) % 3 != 1),
}
SHARDS = {
    "even": lambda n: Shards.even(LENGTH, n),
    "zigzag": lambda n: Shards.zigzag(LENGTH, n),
    "unequal": lambda n: Shards.contiguous([0, *[2] * (n - 2), LENGTH - 2 * (n - 2)]),
}


def inputs(heads: tuple[int, int] = (4, 2), keys: int = LENGTH, **kind: Any) -> list[Tensor]:
    generator = torch.Generator().manual_seed(3)
    shapes = (heads[0], LENGTH, 8), (heads[1], keys, 8), (heads[1], keys, 5)
    return [torch.randn(2, *shape, generator=generator).to(**kind) for shape in shapes]


def problem_of(ring: Ring, arrays: list[Tensor], shards: Shards, **given: Any) -> Any:
    key_shards = given.pop("key_shards", shards)
    own = [
        each.take(x, ring.rank).detach().requires_grad_()
        for each, x in zip((shards, key_shards, key_shards), arrays, strict=True)
    ]
    settings = {
        "score": scores.ScaledDot(),
        "normalizer": Softmax(),
        "mask": None,
        "bias": None,
        **given,
    }
    made = make_sharded_problem(ring, *own, shards=shards, key_shards=key_shards, **settings)
    return own, made


def loss_of(output: Tensor, entropy: Tensor, lse: Tensor, place: Tensor) -> Tensor:
    """Of all that has a gradient, other for each position."""
    rows = (place + 1).to(entropy.dtype).cos()
    seen = torch.where(lse == -math.inf, 0.0, lse)
    return (output * rows[:, None]).sum() + (entropy * rows).sum() + (seen * rows).sum()


def alone(arrays: list[Tensor], **given: Any) -> list[Tensor]:
    """Output, entropy and gradients of one process, by the dense matrix in float64."""
    own = [x.double().requires_grad_() for x in arrays]
    output, weights = regard.attend(*own, **given)
    problem = weights._source
    lse = problem.scores(slice(0, LENGTH)).logsumexp(-1)  # type: ignore[attr-defined]
    loss_of(output, weights.entropy(), lse, torch.arange(LENGTH)).backward()
    grads = [x.grad for x in own if x.grad is not None]
    return [output.detach(), weights.entropy().detach(), *grads]


def together(
    threads: Threads, n: int, arrays: list[Tensor], shards: Shards, **given: Any
) -> list[Tensor]:
    """The same of `n` processes."""

    def work(ring: Ring) -> list[Tensor]:
        own, problem = problem_of(ring, arrays, shards, **given)
        output, weights = attend_over(problem, [])
        loss_of(output, weights.entropy(), weights.lse(), shards.positions(ring.rank)).backward()
        return [output.detach(), weights.entropy().detach()[..., None], *(x.grad for x in own)]

    parts = zip(*threads(n, work), strict=True)
    keys = given.get("key_shards", shards)
    places = (shards, shards, shards, keys, keys)
    found = [each.join(part) for each, part in zip(places, parts, strict=True)]
    return [found[0], found[1][..., 0], *found[2:]]


def assert_equal(found: list[Tensor], right: list[Tensor], tolerance: float = 2e-6) -> None:
    for ours, theirs in zip(found, right, strict=True):
        scale = max(1.0, float(theirs.abs().max()))  # gradients are sums of many rows
        assert float((ours.double() - theirs).abs().max()) <= tolerance * scale


@pytest.mark.parametrize("shards", SHARDS)
@pytest.mark.parametrize("mask", RANGES)
def test_against_one_process(threads: Threads, mask: str, shards: str) -> None:
    arrays, right = inputs(), alone(inputs(), mask=RANGES[mask])
    for n in (2, 3, 4):
        assert_equal(together(threads, n, arrays, SHARDS[shards](n), mask=RANGES[mask]), right)


def test_one_process_is_a_ring(threads: Threads) -> None:
    right = alone(inputs(), mask=regard.causal())
    shards = Shards.even(LENGTH, 1)
    assert_equal(together(threads, 1, inputs(), shards, mask=regard.causal()), right)


@pytest.mark.parametrize("bias", [regard.positions.ALiBi(), torch.eye(LENGTH) * math.log(3)])
def test_a_bias(threads: Threads, bias: Any) -> None:
    right = alone(inputs(), mask=regard.causal(), bias=bias)
    shards = Shards.zigzag(LENGTH, 3)
    assert_equal(together(threads, 3, inputs(), shards, mask=regard.causal(), bias=bias), right)


def test_keys_that_take_all_weight_share_it_wherever_they_are(threads: Threads) -> None:
    bias = torch.zeros(LENGTH, LENGTH)
    bias[5, [3, 30]] = math.inf
    shards = Shards.zigzag(LENGTH, 3)
    values = inputs()[2]
    output, entropy = together(threads, 3, inputs(), shards, bias=bias)[:2]
    assert float(entropy[0, 0, 5]) == pytest.approx(math.log(2))
    torch.testing.assert_close(output[0, 0, 5], values[0, 0, [3, 30]].mean(0))


@pytest.mark.parametrize("score", [scores.Cosine(3.0), scores.Additive(torch.linspace(-1, 1, 8))])
def test_scores(threads: Threads, score: scores.Score) -> None:
    right = alone(inputs(), mask=regard.causal(), score=score)
    shards = Shards.zigzag(LENGTH, 2)
    assert_equal(together(threads, 2, inputs(), shards, mask=regard.causal(), score=score), right)


def test_other_numbers_of_queries_and_keys(threads: Threads) -> None:
    arrays = inputs(keys=50)
    right = alone(arrays, mask=regard.causal())
    place = {"key_shards": Shards.contiguous([11, 0, 39])}
    found = together(threads, 3, arrays, Shards.zigzag(LENGTH, 3), mask=regard.causal(), **place)
    assert_equal(found, right)


def test_bfloat16_is_rounded_once(threads: Threads) -> None:
    arrays = inputs(dtype=torch.bfloat16)
    right = alone(arrays, mask=regard.causal())
    found = together(threads, 3, arrays, Shards.zigzag(LENGTH, 3), mask=regard.causal())
    assert found[0].dtype == torch.bfloat16
    # bfloat16 has 8 bits: half a unit in the last place is at most 2**-8 of a number.
    assert bool(((found[0].double() - right[0]).abs() <= 2**-8 * right[0].abs() + 1e-6).all())
    assert_equal(found[1:2], right[1:2])
    assert_equal(found[2:], right[2:], 2**-7)


def test_float16_comes_back_as_float16(threads: Threads) -> None:
    arrays = inputs(dtype=torch.float16)
    right = alone(arrays, mask=regard.causal())
    found = together(threads, 2, arrays, Shards.zigzag(LENGTH, 2), mask=regard.causal())
    assert found[0].dtype == torch.float16
    assert_equal(found[:1], right[:1], 2**-10)


def test_the_fused_kernel(threads: Threads) -> None:
    generator = torch.Generator().manual_seed(0)
    arrays = [torch.randn(1, 2, 1100, 8, generator=generator) for _ in range(3)]
    shards = Shards.zigzag(1100, 2)
    own = [x.clone().requires_grad_() for x in arrays]
    output, weights = regard.attend(*own, mask=regard.causal(), watch=("entropy", "topk"))
    (output.sum() + weights.entropy().sum()).backward()

    def work(ring: Ring) -> list[Tensor]:
        mine, problem = problem_of(ring, arrays, shards, mask=regard.causal())
        output, found = attend_over(problem, [("topk", 8)])
        (output.sum() + found.entropy().sum()).backward()
        return [output.detach(), found.topk().values, *(x.grad for x in mine)]

    found = [shards.join(parts) for parts in zip(*threads(2, work), strict=True)]
    right = [output.detach(), weights.topk().values, *(x.grad for x in own if x.grad is not None)]
    assert_equal(found, [x.double() for x in right])


def test_float64_agrees_to_its_last_bits(threads: Threads) -> None:
    arrays = inputs(dtype=torch.float64)
    right = alone(arrays, mask=regard.causal())
    found = together(threads, 3, arrays, Shards.zigzag(LENGTH, 3), mask=regard.causal())
    assert_equal(found, right, 1e-13)


def test_nan_is_where_it_is_in_one_process(threads: Threads) -> None:
    arrays = inputs()
    arrays[1][0, 0, 20], arrays[2][0, 1, 25] = math.nan, math.inf
    arrays[0][1, 0, 7] = math.nan
    for mask in (regard.causal(), regard.padding(torch.tensor([18, LENGTH]))):
        own = [x.clone().requires_grad_() for x in arrays]
        output, weights = regard.attend(*own, mask=mask)
        output.nan_to_num().sum().backward()
        right = [output, weights.entropy()[..., None], weights.received()[..., None]]
        # Not of values: in one process a row of NaN reaches keys that it may not see, here only some of them.
        right += [x.grad for x in own[:2] if x.grad is not None]
        shards = Shards.zigzag(LENGTH, 3)

        def work(ring: Ring, mask: Any = mask, shards: Shards = shards) -> list[Tensor]:
            mine, problem = problem_of(ring, arrays, shards, mask=mask)
            output, found = attend_over(problem, [])
            output.nan_to_num().sum().backward()
            rows = [output.detach(), found.entropy()[..., None], found.received()[..., None]]
            return [*rows, *(x.grad for x in mine[:2])]

        found = [shards.join(parts) for parts in zip(*threads(3, work), strict=True)]
        for ours, theirs in zip(found, right, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-5, atol=3e-6, equal_nan=True)


def test_a_learned_projection_gets_its_gradient_and_a_learned_vector_is_refused(
    threads: Threads,
) -> None:
    generator = torch.Generator().manual_seed(0)
    weight = (torch.randn(8, 8, generator=generator) / 8).requires_grad_()
    arrays, shards = inputs(heads=(2, 2)), Shards.even(LENGTH, 2)
    regard.attend(*arrays, score=scores.General(weight))[0].sum().backward()
    assert weight.grad is not None
    right, parts = weight.grad, []

    def work(ring: Ring) -> None:
        own = weight.detach().requires_grad_()
        _, problem = problem_of(ring, arrays, shards, score=scores.General(own))
        attend_over(problem, [])[0].sum().backward()
        parts.append(own.grad)

    threads(2, work)
    torch.testing.assert_close(sum(parts), right, rtol=1e-5, atol=1e-5)

    def refused(ring: Ring) -> None:
        vector = torch.ones(8, requires_grad=True)
        _, problem = problem_of(ring, arrays, shards, score=scores.Additive(vector))
        attend_over(problem, [])

    with pytest.raises(InputError, match="Additive has a learned parameter"):
        threads(2, refused)

    def refused_bias(ring: Ring) -> None:
        bias = torch.zeros(LENGTH, LENGTH, requires_grad=True)
        attend_over(problem_of(ring, arrays, shards, bias=bias)[1], [])

    with pytest.raises(InputError, match="needs a gradient"):
        threads(2, refused_bias)


@pytest.mark.parametrize("mask", ["causal", "no range", "padding"])
def test_a_sink(threads: Threads, mask: str) -> None:
    """Output, all answers and all gradients, the sink's included, which each process has for its queries."""
    own, sink = [x.double().requires_grad_() for x in inputs()], torch.linspace(-2, 3, 4)
    wide = sink.double().requires_grad_()
    given: dict[str, Any] = {"mask": RANGES[mask], "normalizer": Softmax(wide)}
    output, weights = regard.attend(*own, **given)
    loss_of(output, weights.entropy(), weights.lse(), torch.arange(LENGTH)).backward()
    top, pool, received = weights.topk(40), weights.pool(5, 7), weights.received()
    shards = Shards.zigzag(LENGTH, 3)

    def work(ring: Ring) -> tuple[list[Tensor], Any, Any]:
        learned = sink.clone().requires_grad_()
        mine, problem = problem_of(
            ring, inputs(), shards, mask=RANGES[mask], normalizer=Softmax(learned)
        )
        output, found = attend_over(problem, [])
        lse, entropy = found.lse(), found.entropy()
        loss_of(output, entropy, lse, shards.positions(ring.rank)).backward()
        answers = [entropy, lse, found.max_score(), found.received()]
        by_row = [
            output,
            *(x[..., None] for x in answers),
            found.topk(40).values,
            *(x.grad for x in mine),
        ]
        return [x.detach() for x in by_row], learned.grad, found.pool(5, 7)

    parts, of_sink, pools = zip(*threads(3, work), strict=True)
    whole = [shards.join(part) for part in zip(*parts, strict=True)]
    answers = [weights.entropy(), weights.lse(), weights.max_score(), received]
    grads = [x.grad for x in own]
    right = [output, *(x[..., None] for x in answers), top.values, *grads]
    for ours, theirs in zip(whole, right, strict=True):
        torch.testing.assert_close(ours.double(), theirs.detach(), rtol=5e-6, atol=5e-6)
    torch.testing.assert_close(sum(of_sink).double(), wide.grad, rtol=5e-6, atol=5e-6)
    torch.testing.assert_close(pools[1].mean.double(), pool.mean.detach(), rtol=5e-6, atol=5e-6)


def test_a_normalizer_of_whole_rows_and_another_sink_are_refused(threads: Threads) -> None:
    shards = Shards.even(LENGTH, 2)
    with pytest.raises(
        (InputError, ProcessGroupError), match=r"Sparsemax, which needs whole rows|refused"
    ):
        threads(2, lambda ring: problem_of(ring, inputs(), shards, normalizer=Sparsemax()))
    with pytest.raises(ProcessGroupError, match="the sink"):
        threads(2, lambda ring: problem_of(
            ring, inputs(), shards, normalizer=Softmax(sink=float(ring.rank))
        ))  # fmt: skip


def test_second_derivatives_are_refused(threads: Threads) -> None:
    def work(ring: Ring) -> None:
        own, problem = problem_of(ring, inputs(), Shards.even(LENGTH, 2))
        torch.autograd.grad(attend_over(problem, [])[0].sum(), own, create_graph=True)

    with pytest.raises(InputError, match="first derivatives only"):
        threads(2, work)


def test_a_location_score_is_refused(threads: Threads) -> None:
    with pytest.raises(InputError, match="shard the rows"):
        threads(2, lambda ring: problem_of(
            ring, inputs(), Shards.even(LENGTH, 2), score=scores.Location(torch.ones(LENGTH, 8))
        ))  # fmt: skip


def test_what_one_process_refuses_all_hear_of(threads: Threads) -> None:
    shards, arrays = Shards.even(LENGTH, 2), inputs()
    heard = []

    def work(ring: Ring, change: Callable[[list[Tensor]], list[Tensor]]) -> None:
        own = [shards.take(x, ring.rank) for x in arrays]
        try:
            make_sharded_problem(
                ring, *(change(own) if ring.rank else own), shards=shards, key_shards=None,
                score=scores.ScaledDot(), normalizer=Softmax(), mask=None, bias=None,
            )  # fmt: skip
        except Exception as error:
            heard.append(error)

    threads(2, lambda ring: work(ring, lambda own: [own[0][..., :5], *own[1:]]))
    kinds = sorted(type(error).__name__ for error in heard)
    assert kinds == ["ProcessGroupError", "ShapeError"]
    assert any("process 1 of 2 refused" in str(error) for error in heard)
    heard.clear()
    threads(2, lambda ring: work(ring, lambda own: [x[:, :, 1:] for x in own]))
    assert any("process 1 holds 17 positions; its shards say 18" in str(e) for e in heard)
    heard.clear()
    threads(2, lambda ring: work(ring, lambda own: [own[0], own[1], own[2][..., :3]]))
    assert all(isinstance(error, ProcessGroupError) for error in heard)
    assert any("values of 5, process 1 of 3" in str(error) for error in heard)
    heard.clear()
    threads(2, lambda ring: work(ring, lambda own: [x.double() for x in own]))
    assert len(heard) == 2
    assert "differ in the type of their arrays" in str(heard[0])


def test_shards_of_another_group(threads: Threads) -> None:
    with pytest.raises(InputError, match="of 3 processes, the group has 2"):
        threads(2, lambda ring: problem_of(ring, inputs(), Shards.even(LENGTH, 3)))


def test_no_group_was_started() -> None:
    x = torch.zeros(1, 2, 4)
    with pytest.raises(InputError, match="init_process_group"):
        regard.distributed.attend(x, x, x)


def test_an_impossible_problem_is_a_shape_error(threads: Threads) -> None:
    x = torch.zeros(2, 4, 3, 8)
    key = torch.zeros(2, 3, 3, 8)
    with pytest.raises((ShapeError, ProcessGroupError)):
        threads(2, lambda ring: make_sharded_problem(
            ring, x, key, key, shards=None, key_shards=None, score=scores.ScaledDot(),
            normalizer=Softmax(), mask=None, bias=None,
        ))  # fmt: skip
