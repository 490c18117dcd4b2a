"""Leading models elsewhere: beginnings, hidden words, other attention, and hearing drafts."""

from __future__ import annotations

import numpy as np
import pytest

from regard.api import AbstractiveSummarizer, Classifier, Translator
from regard.decoding import DecodingSettings
from regard.errors import InputError

TEXTS = ["3 May 2001", "", "12 june 1999"]


def test_drafts_are_heard_for_the_text_they_belong_to(translator: Translator) -> None:
    heard: dict[int, list[str]] = {}
    settings = DecodingSettings(method="greedy", max_length=6, min_length=3)
    found = translator.translate(
        TEXTS, settings=settings, on_draft=lambda i, text: heard.setdefault(i, []).append(text)
    )
    assert set(heard) == {0, 2}
    for index, drafts in heard.items():
        assert drafts[-1] == found[index].text
        assert len(drafts) >= 3


def test_hidden_tokens_are_not_looked_at(translator: Translator) -> None:
    plain = translator.translate(TEXTS)
    found = translator.translate(TEXTS, masked_out=[[], [], [0, 2]])
    assert found[0].text == plain[0].text
    assert not found[2].alignment[:, [0, 2]].any()
    record = found[2].aligned()
    assert record.keys(record.tracks[0]).pieces == found[2].source_tokens
    np.testing.assert_array_equal(record.tracks[0].dense(), found[2].alignment)
    assert translator.input_tokens(TEXTS[2]).pieces == found[2].source_tokens


def test_what_cannot_be_hidden(translator: Translator) -> None:
    with pytest.raises(InputError, match="2 of masked_out for 3 texts; give one each"):
        translator.translate(TEXTS, masked_out=[[], []])
    with pytest.raises(InputError, match="token 11 of a text of 11 cannot be masked out"):
        translator.translate("3 May 2001", masked_out=[[11]])


def test_next_words_go_on_with_the_beginning(translator: Translator) -> None:
    ways = translator.next_words("3 May 2001", "20", count=3)
    assert [text[:2] for text, _ in ways] == ["20"] * 3
    assert all(len(text) == 3 for text, _ in ways)
    probabilities = [probability for _, probability in ways]
    assert probabilities == sorted(probabilities, reverse=True)
    assert 0 < sum(probabilities) <= 1


def test_a_writer_is_led_like_a_translator(abstractive: AbstractiveSummarizer) -> None:
    text = "The red zyx sings. Nobody knows."
    found = abstractive.summarize(text, prefix=["zyx"], masked_out=[[1]])[0]
    assert found.text.startswith("zyx")  # a word of the text's own
    weights = found.aligned().tracks[0].dense()
    assert not weights[:, 1].any()


def test_attention_of_a_classifier_reweighed(classifier: Classifier) -> None:
    text = "red green is good"
    plain = classifier.classify(text)[0]
    count = len(classifier.input_tokens(text))
    assert classifier.pools_by_attention
    for same in (np.ones(count), np.full(count, 3.0)):
        found = classifier.reweigh(text, same.tolist())
        assert dict(found.probabilities) == pytest.approx(dict(plain.probabilities), abs=1e-6)
    strengths = np.ones(count)
    strengths[0] = 0
    before = np.asarray(plain.aligned().tracks[0].weights)[:, 0]
    after = np.asarray(classifier.reweigh(text, strengths.tolist()).aligned().tracks[0].weights)[
        :, 0
    ]
    assert not after[:, 0].any()
    expected = before[:, 1:] / before[:, 1:].sum(1, keepdims=True)
    np.testing.assert_allclose(after[:, 1:], expected, atol=1e-6)


@pytest.mark.parametrize("strengths", [[1.0], [0.0] * 4, [-1.0, 1, 1, 1], [np.nan, 1, 1, 1]])
def test_impossible_strengths(classifier: Classifier, strengths: list[float]) -> None:
    with pytest.raises(InputError, match="strengths"):
        classifier.reweigh("red green is good", strengths)
