"""Text to text: steering by prefixes and masks, drafts, next words."""

from __future__ import annotations

import numpy as np
import pytest

from regard.api import (
    Translator,
)
from regard.decoding import DecodingSettings
from regard.errors import InputError

TEXTS = ["3 May 2001", "", "12 june 1999"]


def test_drafts_belong_to_their_text(translator: Translator) -> None:
    heard: dict[int, list[str]] = {}
    settings = DecodingSettings(method="greedy", max_length=6, min_length=3)
    found = translator.translate(
        TEXTS, settings=settings, on_draft=lambda i, text: heard.setdefault(i, []).append(text)
    )
    assert set(heard) == {0, 2}
    for index, drafts in heard.items():
        assert drafts[-1] == found[index].text
        assert len(drafts) >= 3


def test_masked_out_tokens_get_no_attention(translator: Translator) -> None:
    plain = translator.translate(TEXTS)
    found = translator.translate(TEXTS, masked_out=[[], [], [0, 2]])
    assert found[0].text == plain[0].text
    assert not found[2].alignment[:, [0, 2]].any()
    record = found[2].aligned()
    assert record.keys(record.tracks[0]).pieces == found[2].source_tokens
    np.testing.assert_array_equal(record.tracks[0].dense(), found[2].alignment)
    assert translator.input_tokens(TEXTS[2]).pieces == found[2].source_tokens


def test_positions_that_cannot_be_masked_out(translator: Translator) -> None:
    with pytest.raises(InputError, match="2 of masked_out for 3 texts; give one each"):
        translator.translate(TEXTS, masked_out=[[], []])
    with pytest.raises(InputError, match="token 11 of a text of 11 cannot be masked out"):
        translator.translate("3 May 2001", masked_out=[[11]])


def test_next_words_continue_the_beginning(translator: Translator) -> None:
    ways = translator.next_words("3 May 2001", "20", count=3)
    assert [text[:2] for text, _ in ways] == ["20"] * 3
    assert all(len(text) == 3 for text, _ in ways)
    probabilities = [probability for _, probability in ways]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 < sum(probabilities) <= 1
