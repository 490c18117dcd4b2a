"""Handlers: each answers a batch of requests to one model, in the queue's thread."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isnan
from typing import Any, TypeAlias

from regard.api import (
    Classification,
    Classifier,
    Generator,
    Model,
    Summarizer,
    Summary,
    Translation,
)
from regard.api.knockouts import steerable_heads, steered, with_steering_note
from regard.api.tasks.steering import Steering
from regard.api.tasks.text_to_text import TextToText
from regard.api.views import head_index, select_map
from regard.decoding import Reading
from regard.errors import InputError
from regard.serving import language
from regard.serving import schemas as m
from regard.serving.errors import too_many_tokens
from regard.serving.parts import (
    WriteItem,
    next_words_of,
    on_draft_of,
    one_line,
    read_text,
    rounded,
    side_of,
    word_numbers,
)
from regard.viewing import AttentionRecord, Tokens, Track, page
from regard.viewing.data.explanation import Explanation

__all__ = ["alternatives", "classify", "look", "view", "write"]

AnyWriter: TypeAlias = TextToText[Any]


def write(name: str, model: Model, items: Sequence[WriteItem]) -> list[m.WriteAnswer]:
    """Translate or summarise; all requests of a batch have one beam width."""
    texts = [one_line(item.question.text) for item in items]
    if not model.writes:
        assert isinstance(model, Summarizer)
        if any(item.question.hide or item.question.begin for item in items):
            raise InputError(
                f"{name} picks sentences: it has no beginning to force and no words to hide; "
                "leave out 'begin' and 'hide'"
            )
        return [_extracted(name, summary) for summary in model.summarize(texts)]
    assert isinstance(model, TextToText)
    beam = items[0].question.beam
    values: dict[str, Any] = {"rows": 128}
    if beam is not None:
        values |= {"method": "beam" if beam > 1 else "greedy", "beam": beam}
    settings = model.decoding_settings(values)
    settings = model.decoding_settings(
        {**values, "n_best": settings.beam if settings.method == "beam" else 1}
    )
    steering = Steering(
        prefix=[one_line(item.question.begin) for item in items],
        masked_out=[_hidden_tokens(model, item.question) for item in items],
        on_draft=on_draft_of(items),
    )
    with steered(model, silence=items[0].question.silence):
        answers = model.answer(texts, settings=settings, steering=steering)
    return [
        _written(name, model, answer, item.question.reading)
        for answer, item in zip(answers, items, strict=True)
    ]


def alternatives(
    name: str, model: Model, items: Sequence[m.AlternativesRequest]
) -> list[m.NextWords]:
    """Alternative next words after a beginning, each with the answer that follows."""
    found = []
    for question in items:
        with steered(model, silence=question.silence):
            if isinstance(model, Generator):
                found.append(language.alternatives(model, question))
            else:
                assert isinstance(model, TextToText)
                found.append(_alternatives(model, question))
    return found


def classify(name: str, model: Model, items: Sequence[m.ClassifyRequest]) -> list[m.ClassifyAnswer]:
    """Classify a batch; a text with edited attention is classified alone."""
    assert isinstance(model, Classifier)
    texts = [read_text(model, item) for item in items]
    plain = [t for t, item in zip(texts, items, strict=True) if not (_edited(item) and t.strip())]
    answers = iter(model.classify(plain, attention=True))
    editable = _editable(model)
    return [
        _classify_edited(name, model, text, item)
        if _edited(item) and text.strip()
        else _classified(name, model, text, next(answers), editable=editable, explain=item.explain)
        for text, item in zip(texts, items, strict=True)
    ]


def _edited(item: m.ClassifyRequest) -> bool:
    return bool(item.strength or item.silence)


def _classify_edited(
    name: str, model: Classifier, text: str, item: m.ClassifyRequest
) -> m.ClassifyAnswer:
    """Classify a text with other weights: those of the pooling, or of every layer of a pretrained model."""
    if model.pools_by_attention:
        with steered(model, silence=item.silence):  # which only pretrained models allow
            strengths = _strengths(model.input_tokens(text), item.strength)
            return _classified(name, model, text, model.reweigh(text, strengths), editable=True)
    factors: dict[int, float] = {}
    if item.strength:
        if not steerable_heads(model):
            raise InputError(
                f"{name} does not pool by attention, and is no pretrained model whose layers can be steered; "
                "leave 'strength' out"
            )
        factors = dict(enumerate(_strengths(model.input_tokens(text), item.strength)))
        factors = {position: factor for position, factor in factors.items() if factor != 1}
    with steered(model, silence=item.silence, factors=factors):
        (answer,) = model.classify([text], attention=True)
        return _classified(name, model, text, answer, editable=_editable(model))


def _editable(model: Classifier) -> bool:
    """Whether the attention of its answers can be changed. To find out takes longer than to show an answer."""
    return model.pools_by_attention or bool(steerable_heads(model))


def _classified(
    name: str,
    model: Classifier,
    text: str,
    answer: Classification,
    *,
    editable: bool,
    explain: bool = False,
) -> m.ClassifyAnswer:
    record = answer.aligned().words() if text.strip() else None
    return m.ClassifyAnswer(
        model=name,
        source=side_of(record.tokens["text"] if record else None, text),
        label=answer.label,
        labels=list(answer.labels),
        probabilities=[
            m.Probability(label=label, probability=p) for label, p in answer.probabilities.items()
        ],
        attention=rounded(record.tracks[0].dense()[0]) if record else [],
        heads=_by_head(record.tracks[0]) if record else [],
        explanation=_explanation(model.explain(text)) if explain and record else None,
        note=answer.note,
        editable=editable,
    )


def look(name: str, model: Model, items: Sequence[m.LookRequest]) -> list[m.LookAnswer]:
    """One attention map for each text."""
    return [_look(name, model, item) for item in items]


def view(name: str, model: Model, items: Sequence[m.LookRequest]) -> list[str]:
    """All attention maps for each text, as a page."""
    return [page.html(_record(model, item)) for item in items]


# Parts of the handlers


def _checked_tokens(model: AnyWriter, text: str, written: str, field: str) -> Tokens:
    """The tokens of a text; raises if it or the forced text exceeds the model's `max_tokens`."""
    tokens, limit = model.input_tokens(text), model.settings.text.max_tokens
    # A summariser cuts long texts in training, too; a translator would leave out what it was asked for.
    read = 0 if model.truncates_sources else len(model.source_tokenizer.encode(text)) + 1
    given = len(model.target_tokenizer.encode(written)) + 1  # and EOS
    for what, count in (("the text", read), (f"'{field}'", given)):
        if count > limit:
            raise too_many_tokens(what, count, limit)
    return tokens


def _hidden_tokens(model: AnyWriter, question: m.WriteRequest | m.AlternativesRequest) -> list[int]:
    """Positions of the source tokens whose words a request hides."""
    tokens = _checked_tokens(model, one_line(question.text), one_line(question.begin), "begin")
    words = set(question.hide)
    if not words:
        return []
    return [
        position for position, word in enumerate(word_numbers(tokens, max(words))) if word in words
    ]


def _record(model: Model, question: m.LookRequest) -> AttentionRecord:
    text = read_text(model, question)
    if isinstance(model, TextToText):
        _checked_tokens(model, text, question.target or "", "target")
    factors: dict[int, float] = {}
    names: dict[str, float] = {}
    if question.hide:
        tokens = _read_tokens(model, text)
        numbers = word_numbers(tokens, max(question.hide))
        hidden = [at for at, word in enumerate(numbers) if word in question.hide]
        if isinstance(model, Generator):
            hidden = model.read_positions(hidden)
        factors = dict.fromkeys(hidden, 0.0)
        words = tokens.words().pieces
        names = {words[word]: 0.0 for word in question.hide}
    with steered(model, silence=question.silence, factors=factors):
        record = model.look(text, question.target, reading=question.reading)
    return with_steering_note(record, question.silence, names)


def _read_tokens(model: Model, text: str) -> Tokens:
    """Tokens of the text that a model reads."""
    if not isinstance(model, Classifier | Generator | TextToText):
        raise InputError("this model has no words to hide; leave 'hide' out")
    return model.input_tokens(text)


def _strengths(tokens: Tokens, given: Mapping[str, float]) -> list[float]:
    factors = {int(word): factor for word, factor in given.items()}
    return [factors.get(word, 1.0) for word in word_numbers(tokens, max(factors))]


def _by_head(track: Track) -> list[m.HeadAttention]:
    return [
        m.HeadAttention(name=track.head_name(head), attention=rounded(track.dense(head)[0]))
        for head in range(track.heads)
    ]


def _explanation(explanation: Explanation) -> m.Explanation:
    return m.Explanation(
        label=explanation.label,
        probability=explanation.probability,
        reason=explanation.reason,
        attributions=[
            m.Attribution(
                name=scores.name,
                about=scores.about,
                signed=scores.signed,
                full=scores.full,
                scale=scores.scale,
                values=[None if isnan(x) else round(float(x), 5) for x in scores.values],
            )
            for scores in explanation.attributions
        ],
    )


def _written(
    name: str, model: AnyWriter, answer: Translation | Summary, reading: Reading | None
) -> m.WriteAnswer:
    if not answer.source.strip():
        return _empty_answer(name, answer, None)
    if not answer.tokens:
        return _empty_answer(name, answer, model.input_tokens(answer.source).words())
    record = answer.aligned(reading).words()
    return m.WriteAnswer(
        model=name,
        source=side_of(record.tokens["source"], answer.source),
        answer=side_of(record.tokens["target"], answer.text),
        score=answer.score,
        attention=[rounded(row) for row in record.tracks[0].dense()],
        reading=record.reading,
        alternatives=_alternative_answers(answer),
        note=answer.note,
    )


def _empty_answer(name: str, answer: Translation | Summary, read: Tokens | None) -> m.WriteAnswer:
    """The answer for an empty source, or from a model that wrote nothing."""
    return m.WriteAnswer(
        model=name,
        source=side_of(read, answer.source),
        answer=m.Side(text="", words=[]),
        score=answer.score,
        attention=[],
        reading="",
        alternatives=_alternative_answers(answer),
        note=answer.note,
    )


def _alternative_answers(answer: Translation | Summary) -> list[m.Alternative]:
    return [m.Alternative(text=other.text, score=other.score) for other in answer.alternatives]


def _extracted(name: str, answer: Summary) -> m.WriteAnswer:
    """Sentences in place of words; every extracted sentence has the one row of the document."""
    if not answer.source.strip():
        return _empty_answer(name, answer, None)
    record = answer.look().select("sentences")
    sentences = record.tokens["text"]
    row = rounded(record.tracks[0].dense()[0])
    return m.WriteAnswer(
        model=name,
        source=side_of(sentences, answer.source),
        answer=side_of(Tokens.of(list(answer.tokens), answer.text), answer.text),
        score=answer.score,
        attention=[row for _ in answer.sentences],
        reading="how much the reader of the whole text attended to each sentence",
        alternatives=[],
    )


def _alternatives(model: AnyWriter, question: m.AlternativesRequest) -> m.NextWords:
    text, begin = one_line(question.text), one_line(question.begin)
    if not text:
        return m.NextWords(begin=begin, choices=[])
    hidden = _hidden_tokens(model, question)
    # More than requested, since several pieces may begin one word.
    continuations = model.next_words(text, begin, masked_out=hidden, count=question.count + 3)
    settings = model.decoding_settings({"method": "greedy", "n_best": 1})
    steering = Steering(
        prefix=[text for text, _ in continuations], masked_out=[hidden] * len(continuations)
    )
    answers = model.answer([text] * len(continuations), settings=settings, steering=steering)
    return next_words_of(answers, continuations, begin, question.count)


def _look(name: str, model: Model, item: m.LookRequest) -> m.LookAnswer:
    found = select_map(
        _record(model, item),
        name=item.map,
        layer=item.layer,
        words=item.words,
        alignment=model.alignment_at(item.reading, head=item.head),
    )
    track = found.tracks[-1]
    weights = track.dense("mean" if item.head is None else head_index(found, item.head))
    queries, keys = found.queries(track), found.keys(track)
    return m.LookAnswer(
        model=name,
        title=found.title,
        reading=found.reading,
        notes=list(found.notes),
        verdict=found.verdict,
        map=m.Map(
            name=track.name,
            layer=None if track.layer is None else track.layer + 1,
            heads=track.heads,
            members=track.members,
            queries=side_of(queries, queries.text),
            keys=side_of(keys, keys.text),
            weights=[rounded(row) for row in weights],
        ),
    )
