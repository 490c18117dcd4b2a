"""Rollout against the product of the layers' matrices."""

import numpy as np
import pytest
import torch

import regard
from regard.errors import InputError, ShapeError


def stack(rng, library, heads=(2, 4), length=11):
    maps, product = [], np.eye(length)[None]
    for h in heads:
        q, k = rng.normal(size=(2, h, length, 4)), rng.normal(size=(2, max(1, h // 2), length, 4))
        _, weights = regard.attend(library(q), library(k), library(k), mask=regard.causal())
        maps.append(weights)
        dense = np.asarray(weights.dense(), np.float64).mean(1)
        product = (0.3 * np.eye(length) + 0.7 * dense) @ product
    return maps, product


def test_against_the_product_of_matrices(library, rng):
    maps, expected = stack(rng, library)
    found = np.asarray(regard.rollout(maps, residual=0.3))
    np.testing.assert_allclose(found, expected, atol=2e-6)
    np.testing.assert_allclose(found.sum(-1), 1, atol=2e-6)
    chosen = np.asarray(regard.rollout(maps, targets=[3, -1], residual=0.3))
    np.testing.assert_allclose(chosen, expected[:, [3, -1]], atol=2e-6)


def test_by_hand():
    first = regard.AttentionMap.from_dense(np.array([[1.0, 0.0], [0.5, 0.5]]))
    second = regard.AttentionMap.from_dense(np.array([[0.0, 1.0], [1.0, 0.0]]))
    # A1 = [[1, 0], [.25, .75]], A2 = [[.5, .5], [.5, .5]]
    np.testing.assert_allclose(regard.rollout([first, second]), [[0.625, 0.375]] * 2)


def test_wrong_arguments_are_refused(rng):
    maps, _ = stack(rng, torch.from_numpy)
    with pytest.raises(InputError, match="rollout got no maps"):
        regard.rollout([])
    with pytest.raises(InputError, match=r"residual of 1.5"):
        regard.rollout(maps, residual=1.5)
    with pytest.raises(InputError, match=r"targets \[11\]; there are 11 positions"):
        regard.rollout(maps, targets=[11])
    q, k = torch.randn(2, 2, 11, 4), torch.randn(2, 2, 7, 4)
    with pytest.raises(ShapeError, match="expected square ones of one size"):
        regard.rollout([*maps, regard.attend(q, k, k)[1]])


def test_members_of_an_ensemble_are_not_layers(rng):
    maps, expected = stack(rng, torch.from_numpy)
    beside = [weights.of_member(member) for member, weights in enumerate(maps)]
    with pytest.raises(InputError, match=r"2 members of an ensemble.*side by side"):
        regard.rollout(beside)
    own = [weights.of_member(1) for weights in maps]
    np.testing.assert_allclose(regard.rollout(own, residual=0.3), expected, atol=2e-6)
