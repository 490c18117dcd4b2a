"""JSON schemas of requests and answers."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from regard.decoding import Reading

__all__ = [
    "Alternative",
    "AlternativesRequest",
    "Attribution",
    "ClassifyAnswer",
    "ClassifyRequest",
    "Explanation",
    "FillAnswer",
    "FillRequest",
    "FilledMask",
    "FilledWord",
    "HeadAttention",
    "Health",
    "LookAnswer",
    "LookRequest",
    "Map",
    "ModelInfo",
    "ModelRequest",
    "NextWord",
    "NextWords",
    "Probability",
    "Problem",
    "Side",
    "Word",
    "WriteAnswer",
    "WriteRequest",
]


def _whole(text: str) -> str:
    """Replace halves of surrogate pairs, which JSON can hold and UTF-8 cannot."""
    return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")


Whole = Annotated[str, AfterValidator(_whole)]
Number = Annotated[int, Field(ge=0, le=100_000)]
Text = Annotated[Whole, Field(description="What the model reads; lines count as spaces.")]
Begin = Annotated[Whole, Field(description="What the answer must begin with, in whole words.")]
Hide = Annotated[
    list[Number],
    Field(
        max_length=5000, description="Numbers of source words that attention is knocked out from."
    ),
]
Pair = Annotated[
    Whole | None,
    Field(description="A second text, for classifiers that read two: hypothesis, answer, ..."),
]
Silence = Annotated[
    list[Annotated[str, Field(pattern=r"^([a-z_]{1,40}\.)?\d{1,4}\.\d{1,4}$")]],
    Field(
        max_length=5000,
        description="Heads of a pretrained model to silence: `LAYER.HEAD` or `MAP.LAYER.HEAD`, from 1.",
    ),
]

ReadingStep = Annotated[
    Reading | None,
    Field(
        description="The decoder step that gives a word its row of cross-attention: the one that "
        "writes it (output) or the one that reads it (input); the model's own if left out."
    ),
]


class _Message(BaseModel):
    model_config: ClassVar[ConfigDict] = ConfigDict(frozen=True, extra="forbid")


class ModelRequest(_Message):
    """Base of all requests to a model."""

    text: Text
    model: Annotated[
        Whole | None,
        Field(description="A name from /health; may be left out where one model fits."),
    ] = None


class WriteRequest(ModelRequest):
    """Translate or summarise a text."""

    beam: Annotated[
        int | None, Field(ge=1, le=10, description="Hypotheses kept; the model's own if left out.")
    ] = None
    begin: Begin = ""
    hide: Hide = []
    silence: Silence = []
    reading: ReadingStep = None
    stream: Annotated[
        bool, Field(description="Answer in server-sent events: `draft`s, then `answer` or `error`.")
    ] = False


class AlternativesRequest(ModelRequest):
    """Ask for alternative next words of an answer."""

    begin: Begin = ""
    hide: Hide = []
    silence: Silence = []
    count: Annotated[int, Field(ge=1, le=10)] = 5


class FillRequest(ModelRequest):
    """Find the words of a text in whose places `[MASK]` stands."""

    count: Annotated[int, Field(ge=1, le=50, description="Words for each `[MASK]`.")] = 5


class ClassifyRequest(ModelRequest):
    """Classify a text, or two that are read together."""

    pair: Pair = None
    strength: Annotated[
        dict[
            Annotated[str, Field(pattern=r"^\d{1,5}$")], Annotated[float, Field(ge=0.0, le=100.0)]
        ],
        Field(
            max_length=5000,
            description="Factors on the attention to words, by their numbers; 0 knocks a word out. Of our "
            "own models they change the pooling, of pretrained ones every layer.",
        ),
    ] = {}
    silence: Silence = []
    explain: Annotated[
        bool,
        Field(
            description="Whether to answer with `explanation`, which classifies the text again without each "
            "word. Not with `strength` or `silence`."
        ),
    ] = False


class LookRequest(ModelRequest):
    """Ask for an attention map of a text."""

    pair: Pair = None
    hide: Hide = []
    silence: Silence = []
    target: Annotated[
        Whole | None, Field(description="What the model should write, instead of its own answer.")
    ] = None
    map: Annotated[
        Whole | None,
        Field(description="`cross`, `encoder`, `pooling`, ...; the usual if left out."),
    ] = None
    layer: Annotated[int | None, Field(description="From 1, -1 is the last.", ge=-1, le=1000)] = (
        None
    )
    head: Annotated[
        int | None, Field(description="From 1; the mean if left out.", ge=1, le=1000)
    ] = None
    reading: ReadingStep = None
    words: Annotated[bool, Field(description="Whether pieces are merged to words.")] = True


class Word(_Message):
    """A word and its characters in the text; a special mark has none."""

    text: str
    start: int
    end: int
    special: bool = False


class Side(_Message):
    """A text and its words."""

    text: str
    words: list[Word]


class Alternative(_Message):
    """Another hypothesis of the beam."""

    text: str
    score: float


class WriteAnswer(_Message):
    """A written answer, with the attention of each of its words."""

    model: str
    source: Side
    answer: Side
    score: Annotated[float, Field(description="Log-probability over the length penalty, in nats.")]
    attention: Annotated[
        list[list[float]],
        Field(description="A row per word of the answer, a column per source word."),
    ]
    reading: Annotated[str, Field(description="At which step attention is read.")]
    alternatives: list[Alternative]
    note: Annotated[str, Field(description="What to know of it: that its text was cut, ...")] = ""


class NextWord(_Message):
    """A possible next word."""

    word: str
    probability: Annotated[float, Field(description="Of the first piece of the word.")]
    text: Annotated[str, Field(description="The whole answer then.")]


class NextWords(_Message):
    """Possible next words, most probable first."""

    begin: str
    choices: list[NextWord]


class Probability(_Message):
    """A label and its probability."""

    label: str
    probability: float


class FilledWord(_Message):
    """A word that may stand in a place, and its probability."""

    word: str
    probability: float


class FilledMask(_Message):
    """A `[MASK]` of a text, and what may stand there."""

    word: Annotated[int, Field(description="Its number in `source.words`.")]
    choices: Annotated[list[FilledWord], Field(description="The most probable first.")]
    attention: Annotated[list[float], Field(description="From its place to each word of the text.")]


class FillAnswer(_Message):
    """Words for every `[MASK]` of a text; each is found apart from the others."""

    model: str
    source: Side
    masks: list[FilledMask]
    reading: Annotated[str, Field(description="Where attention is read.")]


class HeadAttention(_Message):
    """Attention of one head, or of one member of an ensemble."""

    name: Annotated[str, Field(description="`head 1`, or `member 1` of an ensemble.")]
    attention: list[float]


class Attribution(_Message):
    """Scores of the words by one method."""

    name: Annotated[str, Field(description="`attention`, `n-grams` or `leave-one-out`.")]
    about: str
    signed: Annotated[
        bool, Field(description="Whether scores speak for or against the label; else shares of 1.")
    ]
    full: Annotated[float, Field(description="The score that a full bar stands for.")]
    scale: Annotated[str, Field(description="What a full bar means, in words.")]
    values: Annotated[
        list[float | None], Field(description="Of each word; null where it was not measured.")
    ]


class Explanation(_Message):
    """How much each word counts for a label, by several methods; the first is in front."""

    label: str
    probability: float
    reason: Annotated[str, Field(description="Why the first method is in front.")]
    attributions: list[Attribution]


class ClassifyAnswer(_Message):
    """A label, and the attention that each word received."""

    model: str
    source: Side
    label: str
    labels: list[str]
    probabilities: list[Probability]
    attention: Annotated[
        list[float], Field(description="Of each word, the mean over heads, and over members.")
    ]
    heads: Annotated[list[HeadAttention], Field(description="Attention before that mean.")]
    explanation: Annotated[Explanation | None, Field(description="If `explain` asked for it.")]
    editable: Annotated[bool, Field(description="Whether `strength` can be used with this model.")]
    note: Annotated[str, Field(description="What to know of it: that its text was cut.")] = ""


class Map(_Message):
    """An attention map: a row per query, a column per key."""

    name: str
    layer: Annotated[int | None, Field(description="From 1; null for the mean of layers.")]
    heads: int
    members: Annotated[int, Field(description="Networks of an ensemble, whose heads these are.")]
    queries: Side
    keys: Side
    weights: list[list[float]]


class LookAnswer(_Message):
    """An attention map of a model, with its context."""

    model: str
    title: str
    reading: str
    notes: list[str]
    verdict: Annotated[
        str, Field(description="How far it may be read as an explanation, if known.")
    ]
    map: Map


class ModelInfo(_Message):
    """A model that is served."""

    name: str
    task: str
    kind: str
    parameters: int
    verb: Annotated[
        str, Field(description="The call that it answers: `translate`, `classify`, ...")
    ]
    precision: Annotated[str, Field(description="Of the matrix products with which it answers.")]
    writes: Annotated[bool, Field(description="Whether it writes its answer word by word.")]
    labels: list[str]
    beam: int
    reads_pairs: Annotated[bool, Field(description="Whether `pair` may be given.")]
    heads: Annotated[
        dict[str, list[int]],
        Field(
            description="Heads of each layer by map, of a model whose heads can be silenced and whose words "
            "can be hidden in every layer."
        ),
    ]
    verdict: Annotated[
        str, Field(description="How far its attention explains, if `regard trust` has asked.")
    ]


class Health(_Message):
    """State of the server."""

    status: str
    version: str
    queued: Annotated[int, Field(description="Requests in the queue.")]
    max_queue: int
    max_characters: int
    workers: Annotated[int, Field(description="Processes that answer at the same time, now.")]
    models: list[ModelInfo]


class Problem(_Message):
    """An error, and what to try."""

    error: str
