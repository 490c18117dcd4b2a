"""`join_words.py` of an export joins words as we do, and imports nothing."""

from __future__ import annotations

import runpy
from pathlib import Path

import pytest

from regard.api.exporting.joining import save_join_words
from regard.text.words import detokenize

WORDS = [
    ['"', "Hello", ",", '"', "said", "she", "(", "a", "cook", ")", "."],
    ["„", "Ja", "“", "—", "it's", "12:30", "!", "<unk>"],
    [],
]


@pytest.mark.parametrize("words", WORDS, ids=len)
def test_against_ours(words: list[str], tmp_path: Path) -> None:
    save_join_words(tmp_path)
    found = runpy.run_path(str(tmp_path / "join_words.py"))
    assert found["join_words"](words) == detokenize(words)
    assert "import" not in (tmp_path / "join_words.py").read_text(encoding="utf-8")
