"""Extractive summarisation: sentences of the text as its summary."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch

from regard.api import (
    ExtractiveSummarizer,
    Model,
)
from regard.api.tasks.extractive import resemblance
from regard.data import Example

Reload = Callable[[Model], Any]


def test_a_summary_is_made_of_sentences_of_the_text(
    extractive: ExtractiveSummarizer, reloaded: Reload
) -> None:
    again = reloaded(extractive)
    document = ["The red zyx sings.", "Nobody knows.", "It is pink."]
    one, other = extractive.summarize([document])[0], again.summarize([" ".join(document)])[0]
    assert one.text == other.text == document[one.sentences[0]]
    record = one.look()
    assert record.tokens["text"].pieces == tuple(document)
    assert float(record.tracks[0].dense().sum()) == pytest.approx(1, abs=1e-5)


def test_a_plain_text_is_split_into_sentences(extractive: ExtractiveSummarizer) -> None:
    sentences = ("The red zyx sings.", "Nobody knows.", "It is pink.")
    cut = [Example(sentences, target) for target in ("zyx sings", "it is pink", "nobody", "red")]
    plain = [replace(example, source=example.text) for example in cut]
    for one, other in zip(plain, cut, strict=True):
        assert resemblance(one) == resemblance(other)
    parts = [extractive.encode_examples(examples, training=True) for examples in (plain, cut)]
    first, second = (part.batch(range(4)).source for part in parts)
    assert first.shape[1] == 3
    assert torch.equal(first, second)
    assert extractive.evaluate(plain) == extractive.evaluate(cut)
