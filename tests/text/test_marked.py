"""The tokenizer with BERT's marks: where they stand, and what they are in the text."""

from __future__ import annotations

from pathlib import Path

import pytest

from regard.text import BOS, EOS, Tokenizer
from regard.text.marked import MarkedTokenizer


@pytest.mark.parametrize("kind", ["word", "bpe", "char"])
def test_marks_around_the_same_pieces(kind: str) -> None:
    words = Tokenizer.train(["red blue", "blue fish"], kind=kind, size=60)  # type: ignore[arg-type]
    tokenizer = MarkedTokenizer(words)
    plain, marked = words.encode("blue red"), tokenizer.encode("blue red")
    assert marked.ids == [BOS, *plain.ids, EOS]
    assert marked.surfaces == ["[CLS]", *plain.surfaces, "[SEP]"]
    assert marked.offsets[1:-1] == plain.offsets
    assert marked.special == {0, len(plain) + 1}
    assert marked.first(3).tokens == ["[CLS]", plain.tokens[0], "[SEP]"]
    assert len(tokenizer) == len(tokenizer.vocabulary) == len(words) + 1
    assert tokenizer.vocabulary[tokenizer.mask_id] == "[MASK]"
    assert len(tokenizer.spelling) == len(tokenizer)


def test_a_masked_text_keeps_its_positions(tmp_path: Path) -> None:
    words = Tokenizer.train(["red blue fish"], kind="word")
    tokenizer = MarkedTokenizer(words)
    encoding = tokenizer.encode_masked("red [MASK] [MASK] fish")
    assert encoding.surfaces == ["[CLS]", "red", "[MASK]", "[MASK]", "fish", "[SEP]"]
    assert encoding.ids[2:4] == [tokenizer.mask_id] * 2
    assert tokenizer.mask_id not in tokenizer.encode("red [MASK] fish").ids
    tokenizer.save(tmp_path / "words.json")
    assert Tokenizer.load(tmp_path / "words.json").vocabulary == words.vocabulary
