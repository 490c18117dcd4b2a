"""A map answers later as it would have at first, or raises."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import regard
from regard.attention import AttentionMap
from regard.attention.snapshot import Snapshot
from regard.errors import InputError

LENGTH = 6


def numbers(*shape: int, seed: int = 0) -> Any:
    return np.random.default_rng(seed).standard_normal(shape)


def answers(weights: AttentionMap) -> dict[str, Any]:
    """Answers by every method, none of which was called before."""
    return {
        "dense": weights.dense(),
        "row": weights[2],
        "entropy": weights.entropy(),
        "received": weights.received(),
        "topk": weights.topk(3).values,
        "pool": weights.pool(2, 2).mean,
        "product": weights @ numbers(LENGTH, 2, seed=9),
        "transposed": weights.T @ numbers(LENGTH, 2, seed=9),
    }


Given = tuple[dict[str, Any], dict[str, Any]]


def inputs() -> dict[str, Any]:
    return {name: numbers(LENGTH, 4, seed=i) for i, name in enumerate(("query", "key", "value"))}


def with_mask() -> dict[str, Any]:
    return {"mask": numbers(LENGTH, LENGTH, seed=5) > -0.5}


def with_parts() -> dict[str, Any]:
    lengths = np.array([LENGTH - 1])
    return {
        "mask": regard.causal() & regard.padding(lengths),
        "bias": numbers(LENGTH, LENGTH, seed=6),
    }


@pytest.mark.parametrize("parts", [dict, with_mask, with_parts])
def test_numpy_inputs_that_change_in_place_leave_the_map_as_it_was(
    parts: Callable[[], dict[str, Any]],
) -> None:
    given, options = inputs(), parts()
    expected = answers(regard.attend(*given.values(), **options)[1])
    _, weights = regard.attend(*given.values(), **options)
    for array in (*given.values(), *(x for x in options.values() if isinstance(x, np.ndarray))):
        array[:] = ~array if array.dtype == bool else array + 1
    for name, found in answers(weights).items():
        np.testing.assert_array_equal(found, expected[name], err_msg=name)


def test_a_broadcast_mask_is_copied_as_one() -> None:
    once = np.ones((1, 1, LENGTH, LENGTH), dtype=bool)
    mask = np.broadcast_to(once, (50, 8, LENGTH, LENGTH))  # read-only, but `once` is not
    x = numbers(50, 8, LENGTH, 4)
    _, weights = regard.attend(x, x, x, mask=mask)
    expected = weights.dense()
    once[..., 0] = False
    np.testing.assert_array_equal(weights.dense(), expected)


def test_arrays_that_nobody_can_write_to_are_not_copied() -> None:
    x = numbers(LENGTH, 4)
    x.flags.writeable = False
    _, weights = regard.attend(x, x, x)
    assert np.shares_memory(weights._snapshot.held.query, x)  # type: ignore[attr-defined]


def test_a_dense_matrix_that_changes_leaves_the_map_as_it_was() -> None:
    matrix = np.full((3, 3), 1 / 3)
    weights = AttentionMap.from_dense(matrix)
    matrix[:] = 0
    weights.dense()[:] = 0
    weights[0][:] = 0
    weights[:, 1][:] = 0
    assert weights.dense().tolist() == np.full((3, 3), 1 / 3).tolist()


def torch_inputs() -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(x).clone() for name, x in inputs().items()}


@pytest.mark.parametrize("name", ["query", "key"])
def test_a_torch_input_that_changes_in_place_is_an_error(name: str) -> None:
    given = torch_inputs()
    _, weights = regard.attend(*given.values())
    weights.dense()
    given[name][3] += 1
    questions: list[Callable[[], Any]] = [
        weights.dense,
        weights.entropy,
        weights.topk,
        weights.pool,
        weights.received,
        weights.distance,
        lambda: weights[0],
        lambda: list(weights.tiles()),
        lambda: weights @ given["value"],
        lambda: weights.T @ given["value"],
        lambda: weights.norms(given["value"], torch.eye(4).double()).dense(),
        lambda: weights.of_member(1).dense(),
        lambda: regard.rollout([weights]),
    ]
    for question in questions:
        with pytest.raises(
            InputError, match=f"the {name} that this attention map is made from was"
        ):
            question()
    assert weights.shape == (LENGTH, LENGTH)


def test_norms_are_a_snapshot_too() -> None:
    given = torch_inputs()
    norms = regard.attend(*given.values())[1].norms(given["value"], torch.eye(4).double())
    given["key"].zero_()
    with pytest.raises(InputError, match="changed in place"):
        norms.dense()


def test_values_may_change() -> None:
    given = torch_inputs()
    _, weights = regard.attend(*given.values())
    expected = weights.dense()
    given["value"].zero_()
    torch.testing.assert_close(weights.dense(), expected, rtol=0, atol=0)


def test_an_optimizers_step_on_what_a_map_is_made_from_is_an_error() -> None:
    vector = torch.nn.Parameter(torch.ones(4).double())
    given = torch_inputs()
    output, weights = regard.attend(*given.values(), score=regard.scores.Additive(vector))
    optimizer = torch.optim.SGD([vector], lr=0.1)
    output.sum().backward()
    weights.dense()  # the gradient is no change
    optimizer.step()
    with pytest.raises(InputError, match=r"the score\.vector that this"):
        weights.dense()


def test_an_optimizers_step_on_a_projection_changes_nothing() -> None:
    torch.manual_seed(0)
    layer = regard.layers.MultiHeadAttention(8, 2)
    output, weights = layer(torch.randn(2, 5, 8))
    expected = weights.dense().detach().clone()
    output.sum().backward()
    torch.optim.SGD(layer.parameters(), lr=1.0).step()
    torch.testing.assert_close(weights.dense(), expected, rtol=0, atol=0)


@pytest.mark.parametrize("name", ["mask", "bias"])
def test_a_torch_mask_or_bias_that_changes_is_an_error(name: str) -> None:
    given = torch_inputs()
    array = torch.ones(LENGTH, LENGTH, dtype=torch.bool if name == "mask" else torch.float64)
    options: dict[str, Any] = {name: array}
    if name == "mask":
        options = {"mask": regard.causal() & array}
    _, weights = regard.attend(*given.values(), **options)
    array[0] = 0
    with pytest.raises(InputError, match=rf"the {name}\.[\w.]*array that this"):
        weights.entropy()


def test_a_learned_score_of_the_users_own_is_watched() -> None:
    class Gated(regard.scores.DotScore):
        def __init__(self) -> None:
            self.gate = torch.nn.Linear(1, 1).double()

        def project(self, query: Any, key: Any) -> tuple[Any, Any]:
            return query, key

        def pairwise(self, query: Any, key: Any) -> Any:
            return super().pairwise(query, key) * self.gate.weight

    score = Gated()
    _, weights = regard.attend(*torch_inputs().values(), score=score)
    with torch.no_grad():
        score.gate.weight += 1
    with pytest.raises(InputError, match=r"the score\.gate\._parameters\.weight"):
        weights.dense()


@pytest.mark.parametrize("library", [np.asarray, torch.from_numpy])
@pytest.mark.parametrize("length", [LENGTH, 300])
def test_writing_into_an_answer_changes_no_later_one(
    library: Callable[[Any], Any], length: int
) -> None:
    x = library(numbers(length, 8).astype(np.float32))
    _, weights = regard.attend(x, x, x, watch=("entropy", "topk", "pool", "received"))
    _, later = regard.attend(x, x, x)
    for each in (weights, later):
        questions: list[Callable[[], Any]] = [
            each.entropy,
            each.received,
            lambda each=each: each.topk().values,  # type: ignore[misc]
            lambda each=each: each.topk().positions,  # type: ignore[misc]
            lambda each=each: each.pool().mean,  # type: ignore[misc]
            lambda each=each: each.pool().max,  # type: ignore[misc]
            each.dense,
        ]
        for question in questions:
            found = question()
            before = np.asarray(found).copy()
            found[:] = 7
            np.testing.assert_array_equal(np.asarray(question()), before)


def test_tensors_without_a_count_are_taken_as_they_are() -> None:
    with torch.inference_mode():
        x = torch.randn(4, 4)
        _, weights = regard.attend(x, x, x)
        assert weights.dense().shape == (4, 4)
    assert weights._snapshot.versions == ()


def test_a_snapshot_of_a_snapshot_copies_nothing_again() -> None:
    x = numbers(LENGTH, 4)
    _, weights = regard.attend(x, x, x)
    member = weights.of_member(2)
    assert member._snapshot is weights._snapshot
    assert isinstance(weights._snapshot, Snapshot)
