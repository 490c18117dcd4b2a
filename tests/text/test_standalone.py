"""Our tokenizers as those of the `tokenizers` library: the same ids for every text, and the text back."""

from __future__ import annotations

import json
from typing import Literal

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer as Backend

from regard.text import Tokenizer
from regard.text.marked import MarkedTokenizer
from regard.text.standalone import standalone

TEXTS = ["Don't ride at 12:30!", "Ein Mann fährt Rad.", "ﬁve ① Straßen", "한국어 x\u0301"]
KINDS: list[tuple[Literal["bpe", "word", "char"], bool, Literal["NFC", "NFKC"]]] = [
    ("bpe", False, "NFC"),
    ("bpe", True, "NFKC"),
    ("word", True, "NFC"),
    ("char", False, "NFKC"),
]
OURS = {
    (kind, lower, form): Tokenizer.train(TEXTS, kind=kind, lowercase=lower, form=form, size=120)
    for kind, lower, form in KINDS
}
THEIRS = {key: Backend.from_str(standalone(tokenizer).to_str()) for key, tokenizer in OURS.items()}
CHARACTERS = st.sampled_from(
    "aAbE éÉİΣς.,!'-ßﬁ①한ᄒ\u0301\u1161\t\n\u00a0\x1c\x1f\x85\u2003\u200b▁<s>/"
)


@pytest.mark.parametrize("key", KINDS, ids=lambda key: "-".join(map(str, key)))
@settings(deadline=None, max_examples=40)
@given(text=st.text(CHARACTERS, max_size=20))
@example(text="")
@example(text="</s> is <pad> text ▁▁ \x1c here")
def test_against_ours(key, text):
    assert THEIRS[key].encode(text).ids == OURS[key].encode(text).ids


@pytest.mark.parametrize("key", [key for key in KINDS if key[0] != "word"], ids=str)
def test_decoding_gives_the_text_back(key):
    for text in TEXTS:
        ids = OURS[key].encode(text).ids
        assert THEIRS[key].decode(ids, skip_special_tokens=False) == OURS[key].decode(ids)


def test_marks_stand_around_a_text():
    marked = MarkedTokenizer(OURS["word", True, "NFC"])
    theirs = Backend.from_str(standalone(marked).to_str())
    assert theirs.encode("Ein [MASK] Rad").ids == marked.encode("Ein [MASK] Rad").ids
    assert theirs.encode("").ids == marked.encode("").ids


def test_the_original_is_unchanged():
    tokenizer = OURS["bpe", False, "NFC"]
    standalone(tokenizer)
    content = json.loads(tokenizer.copied_backend().to_str())
    assert content["normalizer"] is None
    assert content["added_tokens"]
