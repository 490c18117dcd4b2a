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


def test_a_very_long_text_is_cut_with_a_note(translator: Translator) -> None:
    limit = translator.settings.text.max_tokens
    long = "3 July 2001 " * 20_000
    settings = DecodingSettings(method="greedy", max_length=6)
    short, cut, other = translator.translate([TEXTS[0], long, TEXTS[2]], settings=settings)
    assert cut.note == (
        f"only the first {limit - 1} of its 239,999 tokens were read, as many as the model was made for "
        "(max_tokens)"
    )
    assert (short.note, other.note) == ("", "")
    assert len(cut.source_tokens) == cut.alignment.shape[1] == limit
    assert translator.input_tokens(long).pieces == cut.source_tokens
    exact = long[: cut.axes[1].offsets[-2][1]] if cut.axes else ""
    assert translator.translate(exact, settings=settings)[0].text == cut.text
    assert cut.word_alignment()[-1][0] < len(exact.split())
    cross = translator.look(long, "2001").select("cross", layer=0)
    assert cross.tracks[0].shape == (5, limit)
    assert translator.next_words(long) == translator.next_words(exact)


def test_a_text_of_exactly_the_longest_length_is_whole(translator: Translator) -> None:
    limit = translator.settings.text.max_tokens
    settings = DecodingSettings(method="greedy", max_length=3)
    whole, cut = translator.translate(["1" * (limit - 1), "1" * limit], settings=settings)
    assert whole.note == ""
    assert cut.note.startswith(f"only the first {limit - 1} of its {limit} tokens")


def test_an_answer_that_a_dead_end_cut_short_says_so(translator: Translator) -> None:
    settings = DecodingSettings(block_ngrams=1, min_length=400, max_length=500, beam=2)
    (answer,) = translator.translate("3 May 2001", settings=settings)
    assert "fewer than min_length=400: block_ngrams" in answer.note
    assert answer.score > -100
    assert len(set(answer.tokens)) == len(answer.tokens)


def test_a_prefix_beyond_what_the_model_was_made_for_is_an_error(translator: Translator) -> None:
    with pytest.raises(InputError, match="a prefix of 600 tokens"):
        translator.translate("3 May 2001", prefix=["1" * 600])
