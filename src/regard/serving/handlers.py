"""The models of a server, and what each verb makes of a batch of questions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path
from typing import Any, TypeAlias

from regard.api import Classifier, Model, Summarizer, Summary, Translation
from regard.api.load import load
from regard.api.tasks.text_to_text import Steering, TextToText
from regard.api.views import chosen, chosen_head
from regard.decoding import Reading
from regard.errors import InputError, nearest
from regard.serving import schemas as m
from regard.serving.errors import Refusal, too_many_tokens
from regard.viewing import AttentionRecord, Tokens
from regard.viewing.data.tokens import word_units

__all__ = ["Hall", "WriteItem", "classify", "instead", "look", "record", "write"]

Hear: TypeAlias = Callable[[str], None]
AnyWriter: TypeAlias = TextToText[Any]

_TASKS = ("translation", "summarization", "classification")


class Hall:
    """Loaded models by name. Clients say names, never paths.

    Args:
        models: by the name that clients use.

    Attributes:
        facts: what clients may know of each.

    Raises:
        InputError: none, or one for a task that is not served.
    """

    def __init__(self, models: Mapping[str, Model]) -> None:
        if not models:
            raise InputError("no model to serve; give the folder of at least one")
        for name, model in models.items():
            if model.task not in _TASKS:
                raise InputError(
                    f"{name} is a model for {model.task}; served are {', '.join(_TASKS)}; "
                    f"try: regard {model.verb} {model.folder or name}"
                )
        self.models = dict(models)
        self.facts = [_facts(name, model) for name, model in models.items()]

    @classmethod
    def of(cls, folders: Sequence[str | PathLike[str]]) -> Hall:
        """Load model folders; each is called by its last name.

        Raises:
            InputError: two of the same name.
            ModelFolderError: a folder without a model.
        """
        paths = [Path(folder).resolve() for folder in folders]
        names = [path.name for path in paths]
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise InputError(f"two folders are called {min(twice)!r}; rename one")
        return cls({path.name: load(path) for path in paths})

    def find(self, name: str | None, task: str | None) -> tuple[str, Model]:
        """The model a request means.

        Args:
            name: that the client gave.
            task: that the model must be for.

        Raises:
            Refusal: 404 for an unknown name, 422 if the model is for another task or not named.
        """
        fitting = [n for n, model in self.models.items() if task in (None, model.task)]
        if name is None:
            if len(fitting) == 1:
                return fitting[0], self.models[fitting[0]]
            have = ", ".join(fitting) or "none"
            raise Refusal(422, f"say which model: 'model' is one of {have}, see /health")
        if name not in self.models:
            raise Refusal(404, f"no model {name[:80]!r} here; {nearest(name[:80], self.models)}")
        if name not in fitting:
            model = self.models[name]
            raise Refusal(422, f"{name!r} is for {model.task}; try /{model.verb}")
        return name, self.models[name]


@dataclass(frozen=True)
class WriteItem:
    """One question to a model that writes, and who hears the answer grow."""

    question: m.Write
    hear: Hear | None = None


# Verbs: each answers a batch, in the desk's thread.


def write(name: str, model: Model, items: Sequence[WriteItem]) -> list[m.Written]:
    """Translate or summarise; all of a batch with the same beam."""
    texts = [_line(item.question.text) for item in items]
    if not model.writes:
        assert isinstance(model, Summarizer)
        if any(item.question.hide or item.question.begin for item in items):
            raise InputError(
                f"{name} picks sentences: it has no beginning to force and no words to hide; "
                "leave out 'begin' and 'hide'"
            )
        return [_picked(name, summary) for summary in model.summarize(texts)]
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
        prefix=[_line(item.question.begin) for item in items],
        hidden=[_pieces(model, item.question) for item in items],
        on_draft=lambda index, text: _tell(items[index].hear, text),
    )
    answers = model.answer(texts, settings=settings, steering=steering)
    return [
        _written(name, model, answer, item.question.reading)
        for answer, item in zip(answers, items, strict=True)
    ]


def instead(name: str, model: Model, items: Sequence[m.Instead]) -> list[m.NextWords]:
    """What else could be said after a beginning, and where that leads."""
    assert isinstance(model, TextToText)
    return [_instead(model, question) for question in items]


def classify(name: str, model: Model, items: Sequence[m.Classify]) -> list[m.Classified]:
    """Label; a text whose attention is edited goes alone."""
    assert isinstance(model, Classifier)
    plain = [item for item in items if not item.strength or not item.text.strip()]
    answers = iter(model.classify([_line(item.text) for item in plain], attention=True))
    found = []
    for item in items:
        text = _line(item.text)
        if item.strength and text.strip():
            answer = model.reweigh(text, _strengths(model.input_tokens(text), item.strength))
        else:
            answer = next(answers)
        record = answer.aligned().words() if text.strip() else None
        found.append(
            m.Classified(
                model=name,
                source=_side(record.tokens["text"] if record else None, text),
                label=answer.label,
                labels=list(answer.labels),
                probabilities=[
                    m.Probability(label=label, probability=p)
                    for label, p in answer.probabilities.items()
                ],
                attention=_rounded(record.tracks[0].dense()[0]) if record else [],
                editable=model.pools_by_attention,
            )
        )
    return found


def look(name: str, model: Model, items: Sequence[m.Look]) -> list[m.Looked]:
    """One map of each text."""
    return [_look(name, model, item) for item in items]


def record(name: str, model: Model, items: Sequence[m.Look]) -> list[AttentionRecord]:
    """Everything a model attends to, for each text."""
    return [_seen(model, item) for item in items]


# Their parts


def _facts(name: str, model: Model) -> m.ModelFacts:
    decoding = model.settings.decoding
    return m.ModelFacts(
        name=name,
        task=model.task,
        kind=model.settings.kind,
        parameters=model.num_parameters,
        writes=model.writes,
        labels=list(model.labels),
        beam=decoding.beam if decoding.method == "beam" else 1,
        verdict=model.verdict,
    )


def _line(text: str) -> str:
    return " ".join(text.split())


def _tell(hear: Hear | None, text: str) -> None:
    if hear is not None:
        hear(text)


def _fitting(model: AnyWriter, text: str, written: str, field: str) -> Tokens:
    """The tokens of a text; neither it nor what is to be written may be longer than what was learnt."""
    tokens, limit = model.input_tokens(text), model.settings.text.max_tokens
    given = len(model.target_tokenizer.encode(written)) + 1  # and the end mark, as `tokens` has it
    for what, count in (("the text", len(tokens)), (f"'{field}'", given)):
        if count > limit:
            raise too_many_tokens(what, count, limit)
    return tokens


def _pieces(model: AnyWriter, question: m.Write | m.Instead) -> list[int]:
    """Tokens of the source words that a question hides."""
    tokens = _fitting(model, _line(question.text), _line(question.begin), "begin")
    words = set(question.hide)
    if not words:
        return []
    return [place for place, word in enumerate(_word_of(tokens, max(words))) if word in words]


def _seen(model: Model, question: m.Look) -> AttentionRecord:
    text = _line(question.text)
    if model.writes:
        assert isinstance(model, TextToText)
        _fitting(model, text, question.target or "", "target")
    return model.look(text, question.target)


def _strengths(tokens: Tokens, given: Mapping[str, float]) -> list[float]:
    factors = {int(word): factor for word, factor in given.items()}
    return [factors.get(word, 1.0) for word in _word_of(tokens, max(factors))]


def _word_of(tokens: Tokens, largest: int) -> list[int]:
    """For each token the number of its word."""
    starts = set(tokens.word_starts())
    if largest >= len(starts):
        raise InputError(
            f"word {largest} of a text of {len(starts)} words; they are counted from 0, "
            "as 'source.words' of the answer lists them"
        )
    numbers, word = [], -1
    for place in range(len(tokens)):
        word += place in starts
        numbers.append(word)
    return numbers


def _written(
    name: str, model: AnyWriter, answer: Translation | Summary, reading: Reading | None
) -> m.Written:
    if not answer.source.strip():
        return _silent(name, answer, None)
    if not answer.tokens:
        return _silent(name, answer, model.input_tokens(answer.source).words())
    record = answer.aligned(reading).words()
    return m.Written(
        model=name,
        source=_side(record.tokens["source"], answer.source),
        answer=_side(record.tokens["target"], answer.text),
        score=answer.score,
        attention=[_rounded(row) for row in record.tracks[0].dense()],
        reading=record.reading,
        alternatives=_others(answer),
    )


def _silent(name: str, answer: Translation | Summary, read: Tokens | None) -> m.Written:
    """Nothing was said: there was nothing to read, or the model ended at once."""
    return m.Written(
        model=name,
        source=_side(read, answer.source),
        answer=m.Side(text="", words=[]),
        score=answer.score,
        attention=[],
        reading="",
        alternatives=_others(answer),
    )


def _others(answer: Translation | Summary) -> list[m.Other]:
    return [m.Other(text=other.text, score=other.score) for other in answer.alternatives]


def _picked(name: str, answer: Summary) -> m.Written:
    """Sentences for words; the one reader of the text looked the same for all that it picked."""
    if not answer.source.strip():
        return _silent(name, answer, None)
    record = answer.look().select("sentences")
    sentences = record.tokens["text"]
    row = _rounded(record.tracks[0].dense()[0])
    return m.Written(
        model=name,
        source=_side(sentences, answer.source),
        answer=_side(Tokens.of(list(answer.tokens), answer.text), answer.text),
        score=answer.score,
        attention=[row for _ in answer.sentences],
        reading="how much the reader of the whole text attended to each sentence",
        alternatives=[],
    )


def _instead(model: AnyWriter, question: m.Instead) -> m.NextWords:
    text, begin = _line(question.text), _line(question.begin)
    if not text:
        return m.NextWords(begin=begin, choices=[])
    hidden = _pieces(model, question)
    # More than asked for: several pieces may begin the same word.
    ways = model.next_words(text, begin, hidden=hidden, count=question.count + 3)
    settings = model.decoding_settings({"method": "greedy", "n_best": 1})
    steering = Steering(prefix=[way for way, _ in ways], hidden=[hidden] * len(ways))
    answers = model.answer([text] * len(ways), settings=settings, steering=steering)
    choices: dict[str, m.NextWord] = {}
    for answer, (_, probability) in zip(answers, ways, strict=True):
        word = _word_after(answer.text, begin)
        if word:
            choices.setdefault(
                word, m.NextWord(word=word, probability=probability, text=answer.text)
            )
    return m.NextWords(begin=begin, choices=list(choices.values())[: question.count])


def _word_after(text: str, begin: str) -> str:
    """The word of `text` that follows `begin`; none where the text does not go on like that."""
    rest = text[len(begin) :].lstrip() if text.startswith(begin) else ""
    units = word_units(rest)
    return "".join(sign for sign, unit in zip(rest, units, strict=True) if unit == units[0])


def _look(name: str, model: Model, item: m.Look) -> m.Looked:
    found = chosen(_seen(model, item), name=item.map, layer=item.layer, words=item.words)
    track = found.tracks[-1]
    weights = track.dense("mean" if item.head is None else chosen_head(found, item.head))
    queries, keys = found.queries(track), found.keys(track)
    return m.Looked(
        model=name,
        title=found.title,
        reading=found.reading,
        notes=list(found.notes),
        verdict=found.verdict,
        map=m.Map(
            name=track.name,
            layer=track.layer + 1,
            heads=track.heads,
            queries=_side(queries, queries.text),
            keys=_side(keys, keys.text),
            weights=[_rounded(row) for row in weights],
        ),
    )


def _side(tokens: Tokens | None, text: str) -> m.Side:
    if tokens is None:
        return m.Side(text=text, words=[])
    words = [
        m.Word(text=piece, start=start, end=end, special=special)
        for piece, (start, end), special in zip(
            tokens.pieces, tokens.offsets, tokens.special, strict=True
        )
    ]
    return m.Side(text=tokens.text, words=words)


def _rounded(row: Any) -> list[float]:
    return [round(float(weight), 5) for weight in row]
