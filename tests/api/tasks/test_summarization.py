"""Abstractive summarisation: unknown words are copied, prefixes and masks respected."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from regard.api import (
    AbstractiveSummarizer,
    Model,
)

Reload = Callable[[Model], Any]


def test_unknown_words_are_copied(abstractive: AbstractiveSummarizer, reloaded: Reload) -> None:
    source = abstractive.encode_sources(["The Qrst99 sings"])[0]
    known = len(abstractive.source_tokenizer)
    assert source.copy_ids == {"qrst99": known}
    assert known in source.ids
    encoding = abstractive.target_tokenizer.encode("qrst99 abc")
    assert abstractive.target_ids(encoding, source.copy_ids)[1] == known
    assert abstractive.to_tokens([known], source.copy_ids) == ["qrst99"]
    again = reloaded(abstractive)
    text = "The qrst99 sings. Nobody knows."
    one, other = abstractive.summarize(text)[0], again.summarize(text)[0]
    assert one.text == other.text
    assert one.maps["cross"][0].shape[-1] == len(source.ids) + 4  # ". Nobody knows ."


def test_a_summary_is_steered_like_a_translation(abstractive: AbstractiveSummarizer) -> None:
    text = "The red zyx sings. Nobody knows."
    found = abstractive.summarize(text, prefix=["zyx"], masked_out=[[1]])[0]
    assert found.text.startswith("zyx")  # a word of the text's own
    weights = found.aligned().tracks[0].dense()
    assert not weights[:, 1].any()
