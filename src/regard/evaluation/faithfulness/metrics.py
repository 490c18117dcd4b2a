"""The questions put to a classifier: what each test of faithfulness asks and measures.

Every question takes the same cases and gives one number per text, reported as a mean with its
interval.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated, ClassVar, Literal, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from regard.errors import InputError
from regard.evaluation.faithfulness.measures import (
    Floats,
    Ids,
    Interval,
    Way,
    budgets,
    erase,
    interval,
    keep,
    rank_agreement,
    ranking,
    total_variation,
    without,
)
from regard.settings import Settings

__all__ = [
    "WAYS",
    "Case",
    "Controls",
    "Erasure",
    "Explained",
    "Flips",
    "Mass",
    "Steerable",
    "TrustSettings",
    "agreement",
    "cases",
    "controls",
    "erasures",
    "flips",
    "mass",
]

Measure = Literal["comprehensiveness", "sufficiency"]
WAYS: tuple[Way, ...] = ("delete", "mask")
ORDERS = ("attention", "gradient", "random")
MEASURES: tuple[Measure, ...] = ("comprehensiveness", "sufficiency")
APPLIES = 0.5  # the probability from which on a label is given, where there may be several


class Explained(Protocol):
    """A classifier that answers and says where it looked; texts are sequences of token ids."""

    mask_id: int
    """Stands in for a masked token."""
    special_ids: frozenset[int]
    """Tokens that belong to the model and not to the text: never erased."""
    several: bool
    """Whether a text may have any number of labels, each with a probability of its own."""

    def predict(self, texts: Sequence[Ids]) -> Floats:
        """Probabilities, `(texts, labels)`; of classes, or of each label that may apply."""
        ...

    def attention(self, texts: Sequence[Ids]) -> list[Floats]:
        """How much each token was attended to, `(heads, length)` for each text."""
        ...

    def gradient(self, texts: Sequence[Ids]) -> list[Floats]:
        """Gradient of the predicted class times input, `(length,)` for each text."""
        ...


@runtime_checkable
class Steerable(Explained, Protocol):
    """A classifier whose attention can also be replaced, which the controls need."""

    def predict_with(self, texts: Sequence[Ids], weights: Sequence[Floats]) -> Floats:
        """Class probabilities if each text were attended to by these weights, `(heads, length)`."""
        ...


Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0.0, le=1.0)]


class TrustSettings(Settings):
    """How thoroughly to ask.

    Attributes:
        shares: of a text's tokens that are erased; ERASER's five.
        draws: random orders per text that stand for "random".
        leave_out: at most so many tokens of a text are left out one by one.
        permutations: shuffles of the weights of a text.
        steps: at most so many steps to remove all weights of a text.
        resamples: of the bootstrap.
        unmoved: the answer counts as unchanged by shuffling when both its total variation and the
            share of decisions that flip stay below. (A model that is sure of nothing moves little
            and flips much.)
        seed: of everything random.
    """

    title: ClassVar[str] = "trust"

    shares: tuple[Share, ...] = (0.01, 0.05, 0.1, 0.2, 0.5)
    draws: Count = 5
    leave_out: Count = 64
    permutations: Count = 20
    steps: Count = 20
    resamples: Count = 1000
    unmoved: Share = 0.05
    seed: Annotated[int, Field(ge=0)] = 0


@dataclass(frozen=True)
class Erasure:
    """Comprehensiveness or sufficiency by one way of removing tokens.

    Attributes:
        attention: and `gradient` and `random`: the change of the predicted class's probability.
        over_random: how much better attention is than random, text by text; above 0 is better.
    """

    attention: Interval
    gradient: Interval
    random: Interval
    over_random: Interval


@dataclass(frozen=True)
class Controls:
    """What replacing the weights does to the answer.

    Attributes:
        permuted: total variation distance between the answers, median over shuffles.
        permuted_flips: share of shuffles that change the decision.
        uniform: the same distance with uniform weights.
        uniform_flips: share of texts whose decision uniform weights change.
    """

    permuted: Interval
    permuted_flips: float
    uniform: Interval
    uniform_flips: float


@dataclass(frozen=True)
class Flips:
    """What zeroing weights (and scaling up the rest) does to the decision.

    Attributes:
        highest: share of texts whose decision flips without the highest weight.
        random: the same without a random other weight.
        until: by order of removal, which share of the weights goes before the decision flips; 1
            where it never does. Smaller is better.
    """

    highest: float
    random: float
    until: Mapping[str, Interval]


@dataclass(frozen=True)
class Mass:
    """Where attention rests that is no content.

    Attributes:
        special: share of attention on special tokens.
        sink: the ordinary token that takes the largest share.
        sink_share: its share of all attention.
        sink_frequency: its share of all tokens.
    """

    special: float
    sink: str
    sink_share: float
    sink_frequency: float


# One text and what is known of it


@dataclass(frozen=True, eq=False)
class Case:
    """One text: its answer, and how attention and gradient rank its tokens.

    Where a text may have several labels, the answer asked about is that the likeliest applies.
    """

    text: list[int]
    candidates: list[int]  # positions of tokens that are erased
    weighed: list[int]  # positions whose weights are replaced
    probabilities: Floats
    weights: Floats  # (heads, length)
    gradient: Floats
    several: bool = False
    label: int = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "label", int(self.probabilities.argmax()))

    def moved(self, answers: Floats) -> Floats:
        """How far each row of probabilities is from the answer: total variation, 0 to 1."""
        if self.several:  # of (p, 1 - p)
            return np.asarray(abs(answers[:, self.label] - self.probabilities[self.label]))
        return total_variation(answers, self.probabilities)

    def flipped(self, answers: Floats) -> NDArray[np.bool_]:
        """Which rows of probabilities decide otherwise."""
        if self.several:
            return np.asarray(answers[:, self.label] < APPLIES)
        return np.asarray(answers.argmax(-1) != self.label)

    @property
    def scores(self) -> dict[str, Floats]:
        """What orders the tokens, besides chance; in the order of `ORDERS`."""
        return {"attention": self.weights.mean(0), "gradient": self.gradient}


def cases(model: Explained, texts: Sequence[Ids]) -> list[Case]:
    """Ask for answer, attention and gradient once per text.

    Texts without ordinary tokens go, and so do those that are given no label: that nothing applies
    is not an answer that some token was the reason for.

    Raises:
        InputError: no text is left.
    """
    ordinary = [[i for i, t in enumerate(text) if t not in model.special_ids] for text in texts]
    chosen = [n for n, candidates in enumerate(ordinary) if candidates]
    if not chosen:
        raise InputError(
            f"{len(texts)} texts and no ordinary token in them; give texts to ask about"
        )
    probabilities = model.predict([texts[n] for n in chosen])
    if model.several:
        labelled = probabilities.max(-1) >= APPLIES
        chosen = [n for n, one in zip(chosen, labelled, strict=True) if one]
        probabilities = probabilities[labelled]
        if not chosen:
            raise InputError(
                f"the model gives no label to any of {len(texts)} texts, so there is no answer to "
                "explain; give texts of the kind it was trained on, or train it longer"
            )
    asked = [list(texts[n]) for n in chosen]
    return [
        Case(text, ordinary[n], [*range(len(text))], row, weights, gradient, model.several)
        for n, text, row, weights, gradient in zip(
            chosen,
            asked,
            probabilities,
            model.attention(asked),
            model.gradient(asked),
            strict=True,
        )
    ]


# Erasing tokens


def erasures(
    model: Explained, cases: Sequence[Case], settings: TrustSettings, rng: np.random.Generator
) -> dict[tuple[Measure, Way], Erasure]:
    """Comprehensiveness and sufficiency by both ways of removing."""
    kinds = list(itertools.product(MEASURES, WAYS))
    changes = np.empty((len(kinds), len(ORDERS), len(cases)))
    for n, case in enumerate(cases):
        orders = [ranking(score, case.candidates) for score in case.scores.values()]
        orders += [rng.permutation(case.candidates).tolist() for _ in range(settings.draws)]
        sizes = budgets(len(case.candidates), settings.shares)
        variants = [
            _variant(model, case, order[:size], measure, way)
            for measure, way in kinds
            for order in orders
            for size in sizes
        ]
        change = case.probabilities[case.label] - model.predict(variants)[:, case.label]
        change = change.reshape(len(kinds), len(orders), len(sizes)).mean(-1)
        changes[:, :2, n] = change[:, :2]
        changes[:, 2, n] = change[:, 2:].mean(-1)
    return {kind: _erasure(kind[0], c, settings) for kind, c in zip(kinds, changes, strict=True)}


def _variant(model: Explained, case: Case, top: Ids, measure: Measure, way: Way) -> list[int]:
    if measure == "comprehensiveness":
        return erase(case.text, top, way=way, mask_id=model.mask_id)
    return keep(case.text, top, case.candidates, way=way, mask_id=model.mask_id)


def _erasure(measure: Measure, changes: Floats, settings: TrustSettings) -> Erasure:
    attention, gradient, random = (_interval(change, settings) for change in changes)
    better = 1 if measure == "comprehensiveness" else -1
    over_random = _interval(better * (changes[0] - changes[2]), settings)
    return Erasure(attention, gradient, random, over_random)


def _interval(values: Sequence[float] | Floats, settings: TrustSettings) -> Interval:
    return interval(values, seed=settings.seed, resamples=settings.resamples)


def agreement(
    model: Explained, cases: Sequence[Case], settings: TrustSettings, rng: np.random.Generator
) -> dict[str, Interval]:
    """Kendall's tau between each score and the change when one token is deleted."""
    taus: dict[str, list[float]] = {"attention": [], "gradient": []}
    for case in cases:
        count = min(settings.leave_out, len(case.candidates))
        left_out = rng.permutation(case.candidates)[:count].tolist()
        variants = [erase(case.text, [i], way="delete", mask_id=model.mask_id) for i in left_out]
        effects = case.probabilities[case.label] - model.predict(variants)[:, case.label]
        for name, score in case.scores.items():
            taus[name].append(rank_agreement(score[left_out], effects))
    return {name: _interval(values, settings) for name, values in taus.items()}


# Replacing weights


def controls(
    model: Steerable, cases: Sequence[Case], settings: TrustSettings, rng: np.random.Generator
) -> Controls:
    """Replace the weights by shuffled and by uniform ones.

    All else stays as it was, so this asks whether the answer needs these weights, not whether a
    model trained with others would do as well.
    """
    permuted, permuted_flips, uniform, uniform_flips = [], [], [], []
    for case in cases:
        own = case.weights[:, case.weighed]
        replaced = np.repeat(case.weights[None], settings.permutations + 1, 0)
        for row in replaced[:-1]:
            row[:, case.weighed] = own[:, rng.permutation(len(case.weighed))]
        replaced[-1][:, case.weighed] = own.mean(-1, keepdims=True)
        answers = model.predict_with([case.text] * len(replaced), list(replaced))
        moved, flipped = case.moved(answers), case.flipped(answers)
        permuted.append(float(np.median(moved[:-1])))
        permuted_flips.append(float(flipped[:-1].mean()))
        uniform.append(float(moved[-1]))
        uniform_flips.append(float(flipped[-1]))
    return Controls(
        _interval(permuted, settings),
        float(np.mean(permuted_flips)),
        _interval(uniform, settings),
        float(np.mean(uniform_flips)),
    )


def flips(
    model: Steerable, cases: Sequence[Case], settings: TrustSettings, rng: np.random.Generator
) -> Flips:
    """Zero the highest weight, a random one, and more and more of them (Serrano and Smith 2019)."""
    highest, random = [], []
    until: dict[str, list[float]] = {name: [] for name in ORDERS}
    for case in cases:
        length = len(case.weighed)
        orders = {name: ranking(score, case.weighed) for name, score in case.scores.items()}
        orders["random"] = rng.permutation(case.weighed).tolist()
        top = orders["attention"][0]
        other = [i for i in orders["random"] if i != top][:1]
        sizes = np.unique(np.linspace(1, length, min(settings.steps, length)).round().astype(int))
        removals = [[top], other]
        removals += [order[:size] for order in orders.values() for size in sizes]
        weights = [without(case.weights, positions) for positions in removals]
        flipped = case.flipped(model.predict_with([case.text] * len(weights), weights))
        highest.append(float(flipped[0]))
        random.append(float(flipped[1]))
        for name, gone in zip(orders, flipped[2:].reshape(len(orders), -1), strict=True):
            until[name].append(sizes[gone.argmax()] / length if gone.any() else 1.0)
    shares = {name: _interval(values, settings) for name, values in until.items()}
    return Flips(float(np.mean(highest)), float(np.mean(random)), shares)


def mass(model: Explained, cases: Sequence[Case], spell: Callable[[int], str]) -> Mass:
    """Find out how much attention special tokens take, and the greediest ordinary one."""
    tokens = np.concatenate([case.text for case in cases])
    weights = np.concatenate([case.weights.mean(0) for case in cases])
    weights = weights / (weights.sum() or 1.0)
    ordinary = ~np.isin(tokens, list(model.special_ids))
    known, index = np.unique(tokens[ordinary], return_inverse=True)
    received = np.bincount(index, weights[ordinary])
    sink = int(received.argmax())
    return Mass(
        special=float(weights[~ordinary].sum()),
        sink=spell(int(known[sink])),
        sink_share=float(received[sink]),
        sink_frequency=float((tokens == known[sink]).mean()),
    )
