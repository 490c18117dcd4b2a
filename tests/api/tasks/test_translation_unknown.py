"""Words that are not known, replaced by what was looked at: with a model whose attention is known."""

from __future__ import annotations

from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from regard.api import Translator
from regard.api.config.settings import resolve
from regard.decoding import DecodingSettings, Reading
from regard.models import AlignmentSettings, EncoderDecoder, Output
from regard.models.contracts import Memory, State, Step
from regard.text import EOS, Tokenizer


@dataclass(frozen=True)
class Sources(Memory):
    ids: Tensor


@dataclass(frozen=True)
class Place(State):
    at: Tensor


class Backwards(EncoderDecoder):
    """Says the source's words from the last to the first, and looks at each as it should."""

    def __init__(self, size: int, reading: Reading) -> None:
        super().__init__()
        self.size, self.alignment = size, AlignmentSettings(reading=reading)
        self.weight = torch.nn.Parameter(torch.zeros(1))

    def forward(self, source, source_lengths, target):
        return Output(torch.zeros(*target.shape, self.size), {})

    def encode(self, source, source_lengths):
        return Sources(torch.arange(source.shape[1]) < source_lengths[:, None], source)

    def start(self, memory):
        return Place(torch.zeros(memory.batch, dtype=torch.int64))

    def step(self, token, state, memory, **_):
        beam = len(token) // memory.batch
        ids, words = (x.repeat_interleave(beam, 0) for x in (memory.ids, memory.mask.sum(1) - 1))
        said = words - 1 - state.at  # the place of the word to say now; -1 when all are said
        rows = torch.arange(len(token))
        wanted = torch.where(said < 0, EOS, ids[rows, said.clamp_min(0)])
        looked = said if self.alignment.reading == "output" else (said + 1).clamp_max(words)
        weights = torch.nn.functional.one_hot(looked.clamp(0), ids.shape[1]).float()
        # A second choice keeps a beam busy.
        logits = 9.0 * torch.nn.functional.one_hot(wanted, self.size)
        logits = logits + 3.0 * torch.nn.functional.one_hot(torch.tensor(5), self.size)
        return Step(logits.float(), Place(state.at + 1), weights)


def translator(reading: Reading = "output", **values) -> Translator:
    settings = resolve("translation", kind="rnn", values={"tokenizer": "word", **values})
    words = Tokenizer.train(["the cat sees a dog ."], kind=settings.text.tokenizer, size=40)
    return Translator(settings, Backwards(len(words), reading), words, words)


BEAM, GREEDY = DecodingSettings(beam=4, n_best=2), DecodingSettings(method="greedy")


@pytest.mark.parametrize("settings", [BEAM, GREEDY], ids=["beam", "greedy"])
@pytest.mark.parametrize("reading", ["input", "output"])
def test_each_unknown_word_is_the_source_word_it_came_from(reading, settings):
    texts = ["Zyx sees a Quux cat", "the dog", "", "Zyx"]
    found = translator(reading).translate(texts, settings=settings)
    assert [answer.text for answer in found] == ["cat Quux a sees Zyx", "dog the", "", "Zyx"]
    assert found[0].tokens == ("cat", "Quux", "a", "sees", "Zyx")
    written = translator(reading).write(texts, settings=settings)
    assert written == [answer.text for answer in found]
    record = found[0].aligned()
    assert record.tokens["target"].text == found[0].text


def test_it_can_be_told_not_to():
    off = GREEDY.replace(replace_unknown=False)
    trained_so = translator(replace_unknown=False, method="greedy")
    for found in (
        translator().translate("Zyx sees", settings=off),
        trained_so.translate("Zyx sees"),
    ):
        assert found[0].text == "sees <unk>"
    assert translator().write(["Zyx sees"], settings=off) == ["sees <unk>"]
    on = trained_so.decoding_settings({"replace_unknown": True})
    assert trained_so.translate("Zyx sees", settings=on)[0].text == "sees Zyx"
    assert trained_so.write(["Zyx sees"], settings=on) == ["sees Zyx"]


def test_pieces_are_not_replaced_unless_told():
    model = translator()
    model.settings = resolve("translation", kind="rnn")  # of pieces
    assert model.translate("Zyx sees", settings=GREEDY)[0].text == "sees <unk>"
    on = GREEDY.replace(replace_unknown=True)
    assert model.translate("Zyx sees", settings=on)[0].text == "sees Zyx"


def test_a_given_word_that_is_not_known_stays_as_it_was_given():
    found = translator().translate("a Zyx cat", prefix=["Vroom"], settings=GREEDY)[0]
    assert found.tokens[0] == "Vroom"
    assert found.tokens[1] == "Zyx"


def test_links_count_the_words_between_spaces():
    """Tokens split at every sign; links count words as they stand in the two lines (Pharaoh)."""
    texts = ["it's 3.14 € e.g. the U.S. cat", "  the\u00a0cat   sees.", "Zyx!", ""]
    for text, answer in zip(texts, translator().translate(texts, settings=GREEDY), strict=True):
        source, target = text.split(), answer.text.split()
        links = answer.word_alignment()
        assert [j for _, j in links] == list(range(len(target)))
        for i, j in links:
            assert 0 <= i < len(source)
            # Backwards says the signs of a word apart: the first of them is in the word it came from.
            assert target[j][-1] in source[i]


def test_a_case_that_the_tokenizer_drops_is_kept():
    found = translator(lowercase=True).translate("cat McZyx", settings=GREEDY)[0]
    assert found.text == "McZyx cat"
