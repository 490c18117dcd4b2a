"""Results of several blocks of keys are those of all keys."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor

from regard.distributed.rows import PartialRows, RowTotals


def rows_of(scores: Tensor, values: Tensor, first: int, top: int) -> PartialRows:
    """The results of a block, written out: one example, one head."""
    lse = scores.logsumexp(-1)
    weights = (scores - lse[:, None]).exp().nan_to_num(nan=0.0)
    entropy = -(weights * weights.where(weights > 0, 1.0).log()).sum(-1)
    largest = weights.topk(min(top, scores.shape[1]), -1)
    rows = weights @ values, lse, entropy, scores.amax(-1)
    parts = *rows, largest.values, largest.indices + first
    return PartialRows(*(x[None, None] for x in parts))


def totals_of(parts: list[PartialRows], top: int) -> RowTotals:
    queries, values = parts[0].output.shape[2:]
    totals = RowTotals((1, 1, queries), values, top, torch.zeros(0, dtype=torch.float64))
    for part in parts:
        totals.add(part)
    return totals


def test_two_blocks_by_hand() -> None:
    # exp of the scores are 1, 3 and 4: weights of 1/8, 3/8 and 1/2.
    scores = torch.tensor([[1.0, 3.0, 4.0]], dtype=torch.float64).log()
    values = torch.tensor([[8.0], [16.0], [2.0]], dtype=torch.float64)
    parts = [rows_of(scores[:, :2], values[:2], 0, 2), rows_of(scores[:, 2:], values[2:], 2, 2)]
    totals = totals_of(parts, 2)
    assert float(totals.output) == pytest.approx(8 / 8 + 16 * 3 / 8 + 2 / 2)
    assert float(totals.lse) == pytest.approx(math.log(8))
    entropy = math.log(8) / 8 + 3 / 8 * math.log(8 / 3) + math.log(2) / 2
    assert float(totals.entropy) == pytest.approx(entropy)
    weights, keys = totals.topk()
    assert weights.flatten().tolist() == pytest.approx([1 / 2, 3 / 8])
    assert keys.flatten().tolist() == [2, 1]


def test_no_order_of_blocks_changes_anything() -> None:
    torch.manual_seed(0)
    scores = 20 * torch.randn(4, 9, dtype=torch.float64)
    scores[1, :3] = -math.inf  # nothing seen of one block
    scores[2] = -math.inf  # nothing seen at all
    values = torch.randn(9, 2, dtype=torch.float64)
    parts = [rows_of(scores[:, i : i + 3], values[i : i + 3], i, 4) for i in (0, 3, 6)]
    right = rows_of(scores, values, 0, 4)
    for order in itertools.permutations(parts):
        totals = totals_of(list(order), 4)
        torch.testing.assert_close(totals.output, right.output, rtol=0, atol=1e-14)
        torch.testing.assert_close(totals.lse, right.lse, rtol=0, atol=1e-13)
        torch.testing.assert_close(totals.entropy, right.entropy, rtol=0, atol=1e-14)
        assert totals.max_score.equal(right.max_score)
        torch.testing.assert_close(totals.topk()[0], right.top_weights, rtol=0, atol=1e-14)
        assert totals.topk()[1][:, :, [0, 1, 3]].equal(right.top_keys[:, :, [0, 1, 3]])


def test_a_list_longer_than_what_is_seen_ends_in_the_first_other_keys() -> None:
    scores = torch.full((2, 6), -math.inf, dtype=torch.float64)
    scores[0, 1], scores[0, 4] = 0.0, 1.0
    parts = [rows_of(scores[:, i : i + 3], torch.zeros(3, 1).double(), i, 3) for i in (3, 0)]
    weights, keys = totals_of(parts, 5).topk()
    assert keys[0, 0].tolist() == [[4, 1, 0, 2, 3], [0, 1, 2, 3, 4]]
    assert weights[0, 0, :, 2:].eq(0).all()


def test_of_two_equal_weights_the_first_key_comes_first() -> None:
    scores, values = torch.zeros(1, 1, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)
    totals = totals_of([rows_of(scores, values, first, 1) for first in (4, 0)], 2)
    assert totals.topk()[1].flatten().tolist() == [0, 4]


def test_a_row_of_nan_stays_nan() -> None:
    scores = torch.zeros(2, 4, dtype=torch.float64)
    scores[0, 3] = math.nan
    values = torch.ones(4, 1).double()
    parts = [rows_of(scores[:, i : i + 2], values[i : i + 2], i, 1) for i in (0, 2)]
    parts[1] = parts[1]._replace(lse=torch.tensor([[[math.nan, math.log(2)]]]).double())
    totals = totals_of(parts, 1)
    for found in (totals.output[..., 0], totals.lse, totals.entropy, totals.topk()[0][..., 0]):
        assert found.isnan().flatten().tolist() == [True, False]
