"""Counter-based random numbers: known hashes, independence of tiling and library, rates."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from regard.attention.random import (
    column_keys,
    drop_threshold,
    dropout_mask,
    gumbel_noise,
    lowbias32,
    row_keys,
)

KNOWN = {0: 0x0, 1: 0x688990C0, 2: 0xD1132181}


def test_known_hashes_in_both_kinds_of_integers() -> None:
    words = lowbias32(np.array(list(KNOWN), np.uint32))
    assert [int(word) for word in words] == list(KNOWN.values())
    tensor = lowbias32(torch.tensor(list(KNOWN)), int)
    assert tensor.tolist() == list(KNOWN.values())
    assert [lowbias32(word, int) for word in KNOWN] == list(KNOWN.values())


def test_the_hash_is_a_bijection_that_mixes_all_bits() -> None:
    x = np.arange(2**16, dtype=np.uint32)
    assert len(np.unique(lowbias32(x))) == len(x)
    for bit in range(32):
        changed = lowbias32(x) ^ lowbias32(x ^ np.uint32(1 << bit))
        share = np.unpackbits(changed.view(np.uint8)).mean()
        assert abs(share - 0.5) < 0.02


def test_a_mask_against_its_formula() -> None:
    seed, rate = 2**40 + 7, 0.3
    rows, columns = row_keys(seed, [2, 5], [3, 4, 9]), column_keys(seed, range(11))
    expected = lowbias32(rows[:, :, None] ^ columns) >= drop_threshold(rate)
    found = dropout_mask(seed, [2, 5], [3, 4, 9], range(11), rate=rate, like=np.zeros(1))
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("seed", [0, -9, 2**63])
def test_libraries_and_tiles_agree(seed, library) -> None:
    like = library(np.zeros(1, np.float32))
    whole = dropout_mask(seed, range(3), range(13), range(17), rate=0.4, like=np.zeros(1))
    part = dropout_mask(seed, range(1, 3), range(5, 9), range(17), rate=0.4, like=like)
    np.testing.assert_array_equal(np.asarray(part), whole[1:, 5:9])
    noise = gumbel_noise(seed, range(2), range(13), range(17), like=np.zeros(1, np.float32))
    found = gumbel_noise(seed, range(2), range(4, 6), range(17), like=like)
    np.testing.assert_allclose(np.asarray(found), noise[:, 4:6], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rate", [0.01, 0.5, 0.9])
def test_the_rate_and_the_independence_of_seeds(rate) -> None:
    first, second = (
        dropout_mask(seed, range(4), range(97), range(1013), rate=rate, like=np.zeros(1))
        for seed in (1, 2)
    )
    deviation = (rate * (1 - rate) / first.size) ** 0.5
    assert abs((~first).mean() - rate) < 4 * deviation
    assert abs((first & second).mean() - (1 - rate) ** 2) < 0.01


def test_gumbel_noise_has_the_moments_of_the_distribution() -> None:
    noise = gumbel_noise(3, range(2), range(500), range(500), like=np.zeros(1))
    assert np.isfinite(noise).all()
    assert abs(noise.mean() - np.euler_gamma) < 0.01
    assert abs(noise.var() - np.pi**2 / 6) < 0.02
