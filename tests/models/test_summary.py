"""The table and the JSON of a summary."""

from __future__ import annotations

import json

import pytest

from regard.models.summary import AttentionSummary, LayerSummary, ModelSummary

ATTENTION = AttentionSummary("self", 4, 2, "scaled dot product", "Sparsemax", ("causal",))
SUMMARY = ModelSummary(
    "mine",
    (
        LayerSummary("ids", "Input", (("batch", "length"),)),
        LayerSummary("a.very.long.name.of.a.layer", "Embedding", (("batch", None, 8),), 80, 80, size=320),
        LayerSummary("attention", "Attention", (("batch", "length", 8),), 20, 0, 5, 100,
                     ("a.very.long.name.of.a.layer",), ("ids",), ATTENTION),
        LayerSummary("unused", "Linear", (), 4, 4, size=16),
    ),
)  # fmt: skip


def test_totals() -> None:
    assert (SUMMARY.parameters, SUMMARY.trainable, SUMMARY.buffers, SUMMARY.size) == (
        104,
        84,
        5,
        436,
    )
    lines = SUMMARY.table().splitlines()
    assert lines[0] == "mine"
    assert lines[-6:] == [
        "Total parameters: 104",
        "Trainable parameters: 84",
        "Non-trainable parameters: 20",
        "Values beside them that no gradient changes (buffers): 5",
        "Size: 436 bytes",
        "Shared parameters, counted once: attention (with a.very.long.name.of.a.layer)",
    ]
    assert str(SUMMARY) == repr(SUMMARY) == SUMMARY.table()


@pytest.mark.parametrize("width", [80, 100, 200])
def test_a_table_keeps_to_its_width_and_loses_nothing(width: int) -> None:
    lines = SUMMARY.table(width).splitlines()
    assert max(len(line) for line in lines[:-6]) <= width
    assert all(line == line.rstrip() for line in lines)
    words = " ".join(lines).split()
    assert {"(Embedding)", "None,", "104", "unused", "causal"} <= {*words}
    if width == 200:
        text = "self-attention, 4 heads, 2 of keys, scaled dot product, Sparsemax, mask: causal"
        assert any(text in line for line in lines)


def test_json() -> None:
    found = json.loads(SUMMARY.to_json())
    assert found["parameters"] == 104
    assert found["layers"][1]["shapes"] == [["batch", None, 8]]
    assert found["layers"][2]["attention"]["mask"] == ["causal"]
