"""Exported tokenizers read a text as the model does, long ones and unknown words among them."""

from __future__ import annotations

from pathlib import Path

import pytest
from tokenizers import Tokenizer as Backend

from regard.api import Model
from regard.api.exporting.tokenizers import save_tokenizers, tokens_equal

TEXTS = ["red </s> blue", "", "Zyx! é [MASK]", "\u2581\t\u00a0red"]


@pytest.mark.parametrize(
    "name", ["translator", "classifier", "extractive", "abstractive", "generator"]
)
def test_a_long_text_is_cut_as_ours(
    name: str, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    model: Model = request.getfixturevalue(name)
    reading = save_tokenizers(model, tmp_path)
    assert tokens_equal(reading, tmp_path, TEXTS) == 1.0
    long = " ".join(f"{word} green" for word in ["red"] * reading.longest)
    theirs = Backend.from_file(str(tmp_path / reading.file)).encode(long).ids
    assert theirs == reading.ids([long])[0]
    assert len(theirs) == reading.longest


def test_a_tokenizer_that_differs_is_seen(generator: Model, tmp_path: Path) -> None:
    reading = save_tokenizers(generator, tmp_path)
    assert tokens_equal(reading._replace(kept="first"), tmp_path, TEXTS) < 1.0
