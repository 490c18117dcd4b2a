"""Summaries of models in folders: ours, and those of transformers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import regard
from regard.api import Translator


def test_a_model_of_ours(translator: Translator) -> None:
    summary = translator.summary()
    assert summary.title == repr(translator)
    assert summary.parameters == translator.num_parameters


@pytest.mark.parametrize(
    ("kind", "attention"),
    [
        ("bert", {"self-attention, 4 heads, scaled dot product, mask: padding": 3}),
        ("gpt2", {"self-attention, 4 heads, scaled dot product, mask: padding and causal": 2}),
        (
            "t5",
            {
                "self-attention, 4 heads, dot product, mask: padding": 2,
                "self-attention, 4 heads, dot product, mask: causal": 2,
                "cross-attention, 4 heads, dot product, mask: padding": 2,
            },
        ),
        (
            "bart-sentiment",
            {
                "self-attention, 4 heads, scaled dot product, mask: padding": 2,
                "self-attention, 4 heads, scaled dot product, mask: causal": 2,
                "cross-attention, 4 heads, scaled dot product, mask: padding": 2,
            },
        ),
    ],
)
def test_folders_of_transformers(
    pretrained: Callable[[str], Path], kind: str, attention: dict[str, int]
) -> None:
    model = regard.load(pretrained(kind))
    summary = model.summary()
    assert summary.parameters == model.num_parameters
    found = [str(row.attention) for row in summary.layers if row.attention is not None]
    assert {text: found.count(text) for text in found} == attention
