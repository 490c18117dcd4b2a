"""Indexing of a map against NumPy's indexing of its dense matrix, shape and values, in every library."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import regard
from regard.attention import AttentionMap
from regard.attention.indexing import parse_index
from regard.attention.problem import DenseMatrix, RowSource

ALL = slice(None)


@dataclass(frozen=True)
class InTiles:
    """Another source, in tiles of few rows."""

    source: RowSource
    rows: int

    @property
    def layout(self) -> Any:
        return self.source.layout

    def weights(self, rows: slice) -> Any:
        return self.source.weights(rows)

    def tiles(self) -> list[slice]:
        queries, size = self.layout.queries, self.rows
        return [slice(i, min(queries, i + size)) for i in range(0, max(queries, 1), size)]


def map_of(dense: np.ndarray, make: Callable[[Any], Any], rows: int = 2) -> AttentionMap:
    source = AttentionMap.from_dense(make(dense))._source
    assert isinstance(source, DenseMatrix)
    return AttentionMap(InTiles(source, rows))


def check(dense: np.ndarray, make: Callable[[Any], Any], index: Any, rows: int = 2) -> None:
    expected = dense[index]
    found = np.asarray(map_of(dense, make, rows)[index])
    assert found.shape == expected.shape, index
    np.testing.assert_array_equal(found, expected, err_msg=str(index))


@st.composite
def entries(draw: st.DrawFn, size: int, shape: tuple[int, ...]) -> Any:
    """A number, slice, list or array for an axis of a size; arrays broadcast to a shape."""
    position = st.integers(-size, size - 1) if size else st.nothing()
    ends = st.none() | st.integers(-size - 2, size + 2)
    kinds: list[st.SearchStrategy[Any]] = [
        st.builds(slice, ends, ends, st.sampled_from([None, 1, 2, 3, -1, -2, -5]))
    ]
    if size:
        kinds.append(position)
        own = tuple(
            draw(st.sampled_from([n, 1])) for n in shape[draw(st.integers(0, len(shape))) :]
        )
        count = int(np.prod(own))
        numbers = st.lists(position, min_size=count, max_size=count)
        kinds.append(numbers.map(lambda x: np.array(x, int).reshape(own)))
        kinds.append(numbers.map(lambda x: np.array(x, int).reshape(own).tolist()))
    return draw(st.one_of(kinds))


@st.composite
def problems(draw: st.DrawFn) -> tuple[tuple[int, ...], Any]:
    """A shape of 2 to 4 axes and an index of it."""
    sizes = st.sampled_from([0, 1, 2, 3, 5])
    matrix = tuple(draw(st.lists(sizes, min_size=2, max_size=4)))
    shape = tuple(draw(st.lists(st.sampled_from([0, 1, 2, 3]), max_size=2)))
    index: list[Any] = []
    axis = 0
    while axis < len(matrix) and draw(st.integers(0, 9)):
        if not draw(st.integers(0, 6)):
            covered = matrix[axis : axis + draw(st.integers(1, len(matrix) - axis))]
            if len(shape) < 2:  # the number of `True` must broadcast with the other arrays
                wanted = draw(st.sampled_from([1, shape[0] if shape else 1]))
                flat = np.zeros(int(np.prod(covered)), bool)
                if wanted <= flat.size:
                    chosen = draw(st.permutations(range(flat.size)))[:wanted]
                    flat[chosen] = True
                    index.append(flat.reshape(covered))
                    axis += len(covered)
                    continue
        index.append(draw(entries(matrix[axis], shape)))
        axis += 1
    if draw(st.booleans()):
        index.insert(draw(st.integers(0, len(index))), ...)
    for _ in range(draw(st.integers(0, 2))):
        index.insert(draw(st.integers(0, len(index))), None)
    if len(index) == 1 and draw(st.booleans()):
        return matrix, index[0]
    return matrix, tuple(index)


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(problem=problems(), rows=st.sampled_from([1, 2, 4]))
def test_any_index_is_numpys(problem: tuple[tuple[int, ...], Any], rows: int) -> None:
    shape, index = problem
    dense = np.random.default_rng(0).random(shape)
    try:
        expected = dense[index]
    except (IndexError, ValueError):
        with pytest.raises(IndexError):
            map_of(dense, np.asarray)[index]
        return
    for make in (np.asarray, torch.tensor):
        found = np.asarray(map_of(dense, make, rows)[index])
        assert found.shape == expected.shape
        np.testing.assert_array_equal(found, expected)


INDICES: list[Any] = [
    1,
    -1,
    (0, 1, 2),
    (0, 1, 2, 3),
    np.s_[..., 3],
    np.s_[..., ::-1, :],
    np.s_[:, :, ::-2, ::-1],
    np.s_[:, :, 4:1, :],
    np.s_[0, :, [4, 0, 4], :],
    np.s_[0, :, :, [1, 2]],
    np.s_[:, 0, [3, 1], 2],
    np.s_[[1, 0], :, [2, 3], 1:4],
    np.s_[:, [[0], [1]], :, [1, 2, 3]],
    np.s_[..., [], :],
    np.s_[..., []],
    np.s_[0, None, [0, 1]],
    np.s_[:, None, :, None, [4, 4]],
    np.s_[:, (0, 1)],
    np.s_[range(2)],
    np.s_[[True, False]],
    np.s_[..., np.arange(6) % 2 == 0, :],
    np.s_[..., np.eye(6, 5, dtype=bool)],
    np.s_[0, 1, np.array([-1, 0]), ::2],
    np.s_[np.int64(1), ..., np.array(2)],
    [0, 1, 1],
    (),
    None,
    ...,
]


@pytest.mark.parametrize("index", INDICES, ids=str)
def test_indices_by_name(index: Any, library: Callable[[Any], Any]) -> None:
    dense = np.random.default_rng(1).random((2, 3, 6, 5)).astype(np.float32)
    check(dense, library, index)


def test_arrays_of_the_maps_own_library(library: Callable[[Any], Any]) -> None:
    dense = np.random.default_rng(1).random((2, 3, 6, 5)).astype(np.float32)
    rows, columns = np.array([4, 0, 1]), np.array([1, 1, 0])
    found = map_of(dense, library)[0, 1, library(rows), library(columns)]
    np.testing.assert_array_equal(np.asarray(found), dense[0, 1, rows, columns])
    real = np.arange(6) % 3 > 0
    found = map_of(dense, library)[..., library(real), :]
    np.testing.assert_array_equal(np.asarray(found), dense[..., real, :])


def test_gradients_flow_through_an_index() -> None:
    dense = torch.rand(6, 5, dtype=torch.float64, requires_grad=True)
    for index in ([3, 0, 3], np.s_[::-1, 1:3], np.s_[[1, 2], [0, 4]]):
        picked = map_of(dense.detach().numpy(), lambda _: dense)[index]
        copy = dense.detach().clone().requires_grad_()
        np_index = tuple(
            torch.tensor(x) if isinstance(x, list) else x
            for x in (index if isinstance(index, tuple) else (index,))
        )
        plain = copy.flip(0)[:, 1:3] if np_index[0] == slice(None, None, -1) else copy[np_index]
        torch.testing.assert_close(
            torch.autograd.grad((picked**2).sum(), dense)[0],
            torch.autograd.grad((plain**2).sum(), copy)[0],
        )


def test_only_the_rows_named_are_computed(monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[int] = []
    weights = DenseMatrix.weights

    def counted(self: DenseMatrix, rows: slice) -> Any:
        computed.extend(range(rows.start, rows.stop))
        return weights(self, rows)

    monkeypatch.setattr(DenseMatrix, "weights", counted)
    attention = map_of(np.random.default_rng(0).random((3, 20, 5)), np.asarray, 4)
    for index, rows in (
        (np.s_[:, [7, 3, 3, 4]], [3, 4, 7]),
        (np.s_[0, 6:9], [6, 7, 8]),
        (np.s_[0, 9:5:-2], [7, 9]),
        (np.s_[0, -1, [1, 2]], [19]),
    ):
        computed.clear()
        attention[index]
        assert computed == rows


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (np.s_[0, 0, 0, 0], "4 indices for an attention map of 3 axes"),
        (np.s_[..., 0, ...], "at most one ellipsis"),
        (np.s_[0, 13], "index 13 is out of bounds for axis 1 of an attention map, which has 4"),
        (np.s_[:, [0, -5]], "index -5 is out of bounds for axis 1"),
        ("a", "'a' cannot index an attention map; expected numbers, slices"),
        ([0.5], r"\[0.5\] cannot index an attention map"),
        ([[0], [1, 2]], "cannot index an attention map"),
        (True, "True cannot index an attention map: a single Boolean is not supported"),
        (np.s_[:, [True, False]], r"Booleans of shape \(2,\) index axes of shape \(4,\)"),
        (np.s_[:, [0, 1], [0, 1, 2]], r"index arrays of shapes \(2,\) \(3,\) do not broadcast"),
    ],
)
def test_what_is_refused_and_how(index: Any, message: str) -> None:
    with pytest.raises(IndexError, match=message):
        parse_index(index, (2, 4, 5))


def test_rows_one_by_one_end() -> None:
    x = np.eye(3)
    _, weights = regard.attend(x, x, x)
    assert len([weights[n] for n in range(len(weights))]) == 3
    with pytest.raises(IndexError):
        weights[3]
