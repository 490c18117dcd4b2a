"""Lazy masks against the masks of `transformers`, row by row and as full arrays."""

from __future__ import annotations

from functools import partial
from typing import Any

import pytest
import torch
from transformers import masking_utils as hf

import regard
from regard.integrations.lazy_mask import LazyMask, lazy_mask

PADDING = torch.tensor([[True] * 7, [False] * 3 + [True] * 4])
CASES: dict[str, dict[str, Any]] = {
    "causal": {"mask_function": hf.causal_mask_function},
    "window": {"mask_function": hf.sliding_window_causal_mask_function(3), "local_size": 3},
    "bidirectional": {
        "mask_function": hf.bidirectional_mask_function,
        "allow_is_causal_skip": False,
    },
    "chunks": {
        "mask_function": hf.chunked_causal_mask_function(3, torch.zeros(2, dtype=torch.int64))
    },
    "vmap": {"mask_function": lambda b, h, q, k: (k <= q) | (k == 5), "use_vmap": True},
}


def both(q=7, k=7, **options):
    sizes = {"batch_size": 2, "q_length": q, "kv_length": k, "q_offset": k - q, **options}
    sizes.setdefault("attention_mask", PADDING)
    return lazy_mask(hf.sdpa_mask, **sizes), hf.sdpa_mask(**sizes)


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("queries", [7, 3, 1])
def test_rows_against_sdpa(name, queries):
    lazy, dense = both(q=queries, **CASES[name])
    assert isinstance(lazy, LazyMask)
    assert (lazy.shape, lazy.dtype, lazy.device) == (dense.shape, dense.dtype, dense.device)
    rows = [lazy.row_mask.build_rows(slice(n, n + 1)) for n in range(queries)]
    assert torch.equal(torch.cat(rows, 2), dense)


@pytest.mark.parametrize("name", [name for name in CASES if name not in ("vmap", "chunks")])
@pytest.mark.parametrize("padding", [None, torch.ones(2, 7, dtype=torch.bool), PADDING])
@pytest.mark.parametrize("queries", [7, 3, 1])
@pytest.mark.parametrize("local", [None, 3, 9])
def test_none_against_sdpa(name, padding, queries, local):
    options = {**CASES[name], "local_size": local, "attention_mask": padding}
    options["allow_is_bidirectional_skip"] = name == "bidirectional"
    lazy, dense = both(q=queries, **options)
    assert (lazy is None) == (dense is None)


@pytest.mark.parametrize(
    "do",
    [
        lambda mask: mask[:, :, :, :4],
        lambda mask: ~mask,
        lambda mask: torch.where(mask, 0.0, -1.0),
        lambda mask: mask.expand(2, 4, 7, 7),
        lambda mask: torch.cat([mask, mask], -1),
        lambda mask: mask.to(torch.float32),
        lambda mask: mask & mask,
    ],
)
def test_any_operation_takes_the_full_mask(do):
    lazy, dense = both(**CASES["window"])
    result = do(lazy)
    assert type(result) is torch.Tensor
    assert torch.equal(result, do(dense))


def test_a_pattern_that_is_mapped_over_positions_is_built_in_full():
    lazy, dense = both(**CASES["vmap"])
    assert torch.equal(torch.all(~lazy, dim=-1), torch.all(~dense, dim=-1))


@pytest.mark.parametrize("write", ["item", "view", "in place"])
def test_what_is_written_to_the_mask_counts(write):
    lazy, dense = both(**CASES["causal"])
    for mask in (lazy, dense):
        if write == "item":
            mask[:, :, 3] = True
        elif write == "view":
            mask[:, :, 2:4].fill_(False)
        else:
            mask.logical_not_()
    rows = [lazy.row_mask.build_rows(slice(n, n + 1)) for n in range(7)]
    assert torch.equal(torch.cat(rows, 2), dense)


def test_intervals_follow_what_was_written():
    lazy, _ = both(**CASES["causal"])
    layout = layout_of(lazy)
    lazy.row_mask.intervals(layout)
    lazy[:, :, 0] = True
    _, high = lazy.row_mask.intervals(layout)
    assert high[0, 0].tolist() == [7, 2, 3, 4, 5, 6, 7]


def test_keys_that_a_cache_dropped_are_counted():
    lazy, dense = both(q=1, k=3, **{**CASES["window"], "kv_offset": 4, "q_offset": 6})
    assert lazy.first_key == 4
    assert torch.equal(lazy.row_mask.build_rows(slice(0, 1)), dense)


def layout_of(mask):
    x = torch.zeros(mask.shape[0], 1, mask.shape[2], 4)
    keys = torch.zeros(mask.shape[0], 1, mask.shape[3], 4)
    return regard.attend(x, keys, keys)[1]._source.layout


def test_intervals_describe_the_rows():
    for name in ("causal", "window", "bidirectional"):
        lazy, dense = both(**CASES[name])
        low, high = lazy.row_mask.intervals(layout_of(lazy))
        position = torch.arange(7)
        assert torch.equal((position >= low[..., None]) & (position < high[..., None]), dense)


def test_rows_with_gaps_have_no_intervals():
    lazy, _ = both(**CASES["vmap"])
    assert lazy.row_mask.intervals(layout_of(lazy)) is None


def test_rows_are_scanned_once():
    scanned = []

    def dense(**options):
        scanned.append(options["q_length"])
        return hf.sdpa_mask(**options)

    lazy = partial(lazy_mask, dense)(
        batch_size=1, q_length=600, kv_length=600, attention_mask=torch.arange(600)[None] > 20
    )
    assert lazy is not None
    layout = layout_of(lazy)
    lazy.row_mask.intervals(layout)
    lazy.row_mask.intervals(layout)
    assert scanned == [256, 256, 88]


def test_keys_beyond_the_padding_mask_do_not_exist_yet():
    # A static cache: a buffer for nine keys, seven of which were seen.
    seen = torch.ones(2, 7, dtype=torch.bool)
    lazy, dense = both(q=1, k=9, **{**CASES["causal"], "attention_mask": seen, "q_offset": 8})
    assert torch.equal(lazy.row_mask.build_rows(slice(0, 1)), dense)
    assert not dense[..., 7:].any()
