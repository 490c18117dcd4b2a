"""The faults that the pages of docs/examples show are faults, and what stands beside them is right."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

PAGES = Path(__file__).resolve().parents[2] / "docs" / "examples"


def names_of(page: str) -> dict[str, Any]:
    """The names that a page's Python leaves behind; its own assertions hold, too."""
    text = (PAGES / page).read_text(encoding="utf-8")
    names: dict[str, Any] = {"__name__": "page"}
    for block in re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        exec(compile(block, page, "exec"), names)
    return names


def test_scores_without_a_mask_reach_padding_in_the_decoder():
    pytest.importorskip("keras")
    names = names_of("encoder_decoder.md")
    assert names["on_padding"] > 0.1
    assert names["on_padding_masked"] == 0


def test_pooling_without_a_mask_depends_on_the_batch():
    pytest.importorskip("keras")
    names = names_of("text_classifier.md")
    assert names["weight_on_padding"] > 0.5
    assert names["change"] > 0.01
    assert names["right_on_padding"] == 0
    assert names["right_change"] < 1e-6


def test_a_module_that_ignores_its_query():
    names = names_of("attention_from_scratch.md")
    assert names["change"] == 0
    assert names["right_change"] > 0.01


def test_quotes_merge_rows_and_a_convolution_forgets_the_mask():
    pytest.importorskip("keras")
    names = names_of("review_classifier.md")
    assert [row[-1] for row in names["merged"]] == ["1", "0", "1"]  # of labels 1, 0, 0, 0, 1
    assert [label for _, label in names["right"]] == ["1", "0", "0", "0", "1"]
    assert names["weight_on_padding"] > 0.3
    assert names["right_on_padding"] == 0


def test_quotes_merge_rows_of_the_real_file(shared_data: Path):
    import csv

    path = shared_data / "sentiment-sentences" / "imdb_labelled.txt"
    with path.open(encoding="utf-8", newline="") as file:
        assert len(list(csv.reader(file, delimiter="\t"))) == 748  # the page says so


def test_self_attention_without_a_mask_sees_the_answer():
    names = names_of("character_translator.md")
    assert names["leak"] > 1e-3
    assert names["causal_leak"] == 0
    assert math.isclose(names["accuracy_of_nothing"], 1 - (5 + 6 + 8) / 48)


def test_a_decoder_that_reads_its_targets_depends_on_them():
    keras = pytest.importorskip("keras")
    from examples.encoder_decoder import build

    keras.utils.set_random_seed(0)
    model, _ = build(source_words=9, target_words=9)
    source, wanted = np.array([[3, 4, 5]]), np.array([[6, 7, 8]])
    other = np.array([[6, 7, 2]])  # another last word

    def last(begun: np.ndarray) -> np.ndarray:
        return keras.ops.convert_to_numpy(model([source, begun]))[0, -1]

    def shifted(targets: np.ndarray) -> np.ndarray:
        return np.concatenate([[[1]], targets[:, :-1]], axis=1)

    assert np.abs(last(wanted) - last(other)).max() > 1e-4  # it reads the word that it is to write
    np.testing.assert_array_equal(last(shifted(wanted)), last(shifted(other)))
