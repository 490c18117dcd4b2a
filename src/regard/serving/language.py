"""Handlers of language models: each answers a batch of requests to one model, in the queue's thread."""

from __future__ import annotations

from collections.abc import Sequence

from regard.api import Continuation, Generator, Model
from regard.api.knockouts import steered
from regard.api.tasks.masked import MaskedLanguage
from regard.api.views import select_map
from regard.serving import schemas as m
from regard.serving.parts import (
    WriteItem,
    next_words_of,
    on_draft_of,
    one_line,
    rounded,
    side_of,
    word_numbers,
)
from regard.text.marked import MASK_NAME

__all__ = ["alternatives", "continued", "filled"]


def continued(name: str, model: Model, items: Sequence[WriteItem]) -> list[m.WriteAnswer]:
    """Continue texts; all requests of a batch have one beam width."""
    assert isinstance(model, Generator)
    beam = items[0].question.beam
    method = {} if beam is None else {"method": "beam" if beam > 1 else "greedy", "beam": beam}
    settings = model.decoding_settings({**method, "n_best": 1 if beam is None else beam})
    texts = [one_line(item.question.text) for item in items]
    prefix = [one_line(item.question.begin) for item in items]
    hidden = [hidden_tokens(model, item.question) for item in items]
    with steered(model, silence=items[0].question.silence):
        answers = model.generate(
            texts,
            settings=settings,
            prefix=prefix,
            masked_out=hidden if any(hidden) else None,
            on_draft=on_draft_of(items),
        )
        return [answer_of(name, model, answer) for answer in answers]  # its map is made here


def hidden_tokens(model: Generator, question: m.WriteRequest | m.AlternativesRequest) -> list[int]:
    """Positions of a prompt's tokens whose words a request hides."""
    words = set(question.hide)
    if not words:
        return []
    numbers = word_numbers(model.input_tokens(one_line(question.text)), max(words))
    return [position for position, word in enumerate(numbers) if word in words]


def answer_of(name: str, model: Generator, answer: Continuation) -> m.WriteAnswer:
    if not answer.tokens or not answer.prompt.strip():
        read = model.input_tokens(answer.prompt).words() if answer.prompt.strip() else None
        return m.WriteAnswer(
            model=name,
            source=side_of(read, answer.prompt),
            answer=side_of(None, answer.text),
            score=answer.score,
            attention=[],
            reading="",
            alternatives=[],
            note=answer.note,
        )
    record = answer.aligned().words()
    return m.WriteAnswer(
        model=name,
        source=side_of(record.tokens["source"], answer.prompt),
        answer=side_of(record.tokens["target"], answer.text),
        score=answer.score,
        attention=[rounded(row) for row in record.tracks[0].dense()],
        reading=record.reading,
        alternatives=[m.Alternative(text=o.text, score=o.score) for o in answer.alternatives],
        note=answer.note,
    )


def alternatives(model: Generator, question: m.AlternativesRequest) -> m.NextWords:
    """Alternative next words of a continuation, each with the continuation that follows."""
    text, begin = one_line(question.text), one_line(question.begin)
    hidden = hidden_tokens(model, question)
    ways = model.next_words(text, begin, masked_out=hidden, count=question.count + 3)
    settings = model.decoding_settings({"method": "greedy", "n_best": 1})
    answers = model.generate(
        [text] * len(ways),
        settings=settings,
        prefix=[way for way, _ in ways],
        masked_out=[hidden] * len(ways) if hidden else None,
    )
    return next_words_of(answers, ways, begin, question.count)


def filled(name: str, model: Model, items: Sequence[m.FillRequest]) -> list[m.FillAnswer]:
    """Words for every `[MASK]` of each text, and what its place attended to in the last layer."""
    assert isinstance(model, MaskedLanguage)
    return [_filled(name, model, item) for item in items]


def _filled(name: str, model: MaskedLanguage, item: m.FillRequest) -> m.FillAnswer:
    text = one_line(item.text)
    choices = model.fill(text, count=item.count)
    record = model.look(text)
    tokens = record.tokens["text"]
    numbers = word_numbers(tokens, 0)
    places = [numbers[at] for at, piece in enumerate(tokens.pieces) if piece == MASK_NAME]
    found = select_map(record, name=None, layer=None, words=True, alignment=None)
    track = found.tracks[-1]
    weights = track.dense("mean")
    masks = [
        m.FilledMask(
            word=word,
            choices=[m.FilledWord(word=w, probability=round(p, 5)) for w, p in likely],
            attention=rounded(weights[word]),
        )
        for word, likely in zip(places, choices, strict=True)
    ]
    where = "in the last layer, the mean over heads"
    return m.FillAnswer(
        model=name, source=side_of(found.keys(track), text), masks=masks, reading=where
    )
