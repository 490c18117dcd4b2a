"""Decoding against an enumeration of every sequence, and each example alone against any batch.

The models look their logits up by what was read and written. So a row gets the same numbers whatever
rows are beside it, and answers can be compared bit for bit; and in a tiny vocabulary every sequence can
be scored.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal, TypeAlias

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from regard.decoding import DecodingSettings, Hypothesis, decode, generate, length_penalty
from regard.errors import InputError
from regard.models import EncoderDecoder, LanguageModel, Memory, Output, State, Step
from regard.text import BOS, EOS, PAD, UNK

SIZE = 7
"""Four special tokens and three others, so four (with UNK) that an answer can hold."""

Ids: TypeAlias = tuple[int, ...]
Scored: TypeAlias = tuple[float, list[int]]


@cache
def logits_after(source: Ids, written: Ids) -> list[float]:
    """Logits of the token after `written`, drawn once for each history."""
    seed = hash((source, written)) % 2**31
    return torch.randn(SIZE, generator=torch.Generator().manual_seed(seed)).mul(2).tolist()


@dataclass(frozen=True)
class TableState(State):
    """All tokens fed so far, BOS first, `(rows, steps)`."""

    fed: Tensor


@dataclass(frozen=True)
class TableMemory(Memory):
    """The source ids, `(batch, keys)`."""

    source: Tensor


def _lookup(sources: Sequence[Ids], fed: Tensor) -> Tensor:
    rows = zip(sources, fed[:, 1:].tolist(), strict=True)
    return torch.tensor([logits_after(source, tuple(ids)) for source, ids in rows])


class TableLanguageModel(LanguageModel):
    """A language model by table."""

    def __init__(self) -> None:
        super().__init__()
        self.device_of = nn.Parameter(torch.zeros(1))

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        raise NotImplementedError

    def start(self, batch: int) -> TableState:
        return TableState(torch.empty(batch, 0, dtype=torch.int64))

    def step(self, token: Tensor, state: State) -> Step:
        return self.prefill(token[:, None], state)

    def prefill(self, ids: Tensor, state: State) -> Step:
        assert isinstance(state, TableState)
        fed = torch.cat([state.fed, ids], 1)
        logits = _lookup([()] * len(fed), fed)
        return Step(logits, TableState(fed), torch.zeros(len(fed), fed.shape[1]))


class TableEncoderDecoder(EncoderDecoder):
    """An encoder-decoder by table; it attends to source position 0 alone."""

    def __init__(self) -> None:
        super().__init__()
        self.device_of = nn.Parameter(torch.zeros(1))

    def forward(self, source: Tensor, source_lengths: Tensor, target: Tensor) -> Output:
        raise NotImplementedError

    def encode(self, source: Tensor, source_lengths: Tensor) -> TableMemory:
        return TableMemory(source != PAD, source)

    def start(self, memory: Memory) -> TableState:
        return TableState(torch.empty(memory.batch, 0, dtype=torch.int64))

    def step(
        self, token: Tensor, state: State, memory: Memory, *, out: Tensor | None = None
    ) -> Step:
        assert isinstance(state, TableState)
        assert isinstance(memory, TableMemory)
        fed = torch.cat([state.fed, token[:, None]], 1)
        sources = [tuple(i for i in row if i != PAD) for row in memory.source.tolist()]
        shared = len(fed) // memory.batch
        rows = [source for source in sources for _ in range(shared)]
        weights = torch.zeros(len(fed), memory.source.shape[1])
        weights[:, 0] = 1.0
        return Step(_lookup(rows, fed), TableState(fed), weights)


def allowed_tokens(
    ids: Sequence[int], begin: Sequence[int], answered: int, settings: DecodingSettings
) -> list[int]:
    """Tokens that may follow `ids`, by the words of the settings.

    Args:
        ids: tokens so far, a prompt included.
        begin: tokens that the sequence must begin with.
        answered: how many of `ids` count for the lengths.
        settings: the constraints; `max_length` is set.
    """
    assert settings.max_length is not None
    if len(ids) < len(begin):
        return [begin[len(ids)]]
    if answered >= settings.max_length:
        return [EOS]
    size = settings.block_ngrams
    grams = {tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)} if size else set()
    tokens = []
    for token in range(SIZE):
        tail = (*ids[len(ids) - size + 1 :], token) if size > 1 else (token,)
        if token in (PAD, BOS) or (token == UNK and settings.block_unknown):
            continue
        if token == EOS and answered < settings.min_length:
            continue
        if size and token != EOS and len(ids) >= size - 1 and tail in grams:
            continue
        tokens.append(token)
    return tokens


def enumerate_answers(
    source: Ids, prompt: Sequence[int], begin: Sequence[int], settings: DecodingSettings
) -> tuple[list[Scored], list[Scored]]:
    """Every answer with its score, best first: those that keep all constraints, and dead ends.

    Args:
        source: of an encoder-decoder; empty for a language model.
        prompt: tokens before the answer.
        begin: tokens that the answer must begin with.
        settings: the constraints and the length penalty.
    """

    def grow(ids: list[int], logs: list[float]) -> Iterator[tuple[bool, Scored]]:
        tokens = allowed_tokens(ids, [*prompt, *begin], len(ids) - len(prompt), settings)
        scores = logits_after(source, tuple(ids))
        normalizer = math.log(math.fsum(map(math.exp, scores)))
        for token in tokens or [EOS]:
            after = [*logs, scores[token] - normalizer]
            if token == EOS:
                score = math.fsum(after) / length_penalty(len(after), settings.length_penalty)
                yield bool(tokens), (score, ids[len(prompt) :])
            else:
                yield from grow([*ids, token], after)

    found = list(grow(list(prompt), []))
    complete = sorted((answer for keeps, answer in found if keeps), reverse=True)
    return complete, sorted((answer for keeps, answer in found if not keeps), reverse=True)


WIDE = 400
"""More hypotheses than four tokens make up to length 4."""

tokens = st.sampled_from([UNK, *range(4, SIZE)])
prompts = st.lists(st.lists(tokens, max_size=4), min_size=1, max_size=4)


@st.composite
def constraints(draw: st.DrawFn, /, **fixed: Any) -> DecodingSettings:
    """Settings of beam search with every constraint and penalty."""
    longest = draw(st.integers(1, 4))
    values: dict[str, Any] = {
        "method": "beam",
        "max_length": longest,
        "min_length": draw(st.integers(0, longest)),
        "length_penalty": draw(st.sampled_from([0.0, 0.6, 1.0, 3.0])),
        "block_ngrams": draw(st.integers(0, 2)),
        "block_unknown": draw(st.booleans()),
        "rows": draw(st.sampled_from([1, 850])),
    }
    return DecodingSettings(**{**values, **fixed})


def check(found: list[Hypothesis], expected: tuple[list[Scored], list[Scored]]) -> None:
    """Answers are those of the enumeration, in its order; dead ends only where nothing else is."""
    complete, dead_ends = expected
    wanted = complete or dead_ends
    assert [h.ids for h in found] == [ids for _, ids in wanted]
    assert [h.score for h in found] == pytest.approx([score for score, _ in wanted], abs=1e-5)


@settings(max_examples=60)
@given(prompts, constraints(beam=WIDE, n_best=WIDE))
def test_prompts_against_an_enumeration(prompts: list[list[int]], chosen: DecodingSettings) -> None:
    for prompt, found in zip(prompts, generate(TableLanguageModel(), prompts, chosen), strict=True):
        check(found, enumerate_answers((), prompt, (), chosen))


@settings(max_examples=60)
@given(
    st.lists(
        st.tuples(prompts.map(lambda p: [5, *p[0]]), st.lists(tokens, max_size=3)),
        min_size=1,
        max_size=3,
    ),
    constraints(beam=WIDE, n_best=WIDE),
)
def test_prefixes_against_an_enumeration(
    given_: list[tuple[list[int], list[int]]], chosen: DecodingSettings
) -> None:
    found = decode_table([source for source, _ in given_], chosen, [begin for _, begin in given_])
    for (source, begin), answers in zip(given_, found, strict=True):
        check(answers, enumerate_answers(tuple(source), (), begin, chosen))


def decode_table(
    sources: Sequence[Sequence[int]],
    chosen: DecodingSettings,
    prefix: Sequence[Sequence[int]] | None = None,
) -> list[list[Hypothesis]]:
    lengths = torch.tensor([len(source) for source in sources])
    ids = torch.full((len(sources), int(lengths.max())), PAD)
    for row, source in enumerate(sources):
        ids[row, : len(source)] = torch.tensor(source)
    return decode(TableEncoderDecoder(), ids, lengths, chosen, prefix=prefix)


@settings(max_examples=60)
@given(prompts, st.integers(1, 6), st.data())
def test_prompts_alone_and_in_any_batch_bit_for_bit(
    prompts: list[list[int]], beam: int, data: st.DataObject
) -> None:
    chosen = data.draw(constraints(beam=beam, n_best=data.draw(st.integers(1, beam))))
    model = TableLanguageModel()
    for prompt, together in zip(prompts, generate(model, prompts, chosen), strict=True):
        (alone,) = generate(model, [prompt], chosen)
        assert [(h.ids, h.score, h.log_probs) for h in together] == [
            (h.ids, h.score, h.log_probs) for h in alone
        ]
        assert [h.score for h in alone] == sorted((h.score for h in alone), reverse=True)


@settings(max_examples=60)
@given(
    st.lists(st.lists(tokens, min_size=1, max_size=5), min_size=1, max_size=4),
    st.integers(1, 6),
    st.data(),
)
def test_sources_alone_and_in_any_batch_bit_for_bit(
    sources: list[list[int]], beam: int, data: st.DataObject
) -> None:
    chosen = data.draw(constraints(beam=beam, n_best=data.draw(st.integers(1, beam))))
    prefix = data.draw(
        st.lists(st.lists(tokens, max_size=3), min_size=len(sources), max_size=len(sources))
    )
    for source, begin, together in zip(
        sources, prefix, decode_table(sources, chosen, prefix), strict=True
    ):
        (alone,) = decode_table([source], chosen, [begin])
        assert [(h.ids, h.score, h.log_probs) for h in together] == [
            (h.ids, h.score, h.log_probs) for h in alone
        ]


def test_equal_scores_are_ordered_alone_as_in_a_batch() -> None:
    """All logits are equal, so every choice is between equals."""

    class Even(TableLanguageModel):
        def prefill(self, ids: Tensor, state: State) -> Step:
            step = super().prefill(ids, state)
            return step._replace(logits=torch.zeros_like(step.logits))

    chosen = DecodingSettings(beam=3, n_best=3, max_length=3, length_penalty=0.0)
    prompts = [[4], [], [5, 5, 6, 4], [6, 6]]
    for prompt, together in zip(prompts, generate(Even(), prompts, chosen), strict=True):
        assert [h.ids for h in together] == [h.ids for h in generate(Even(), [prompt], chosen)[0]]


@pytest.mark.parametrize("penalty", [0.0, 1.0])
def test_short_wrong_sequences_do_not_crowd_out_the_right_one(penalty: float) -> None:
    """Every prefix may end, with 2 percent: five have ended before the right one, which is ten long."""
    right = [4, 5, 6] * 3 + [4]

    class Sure(TableLanguageModel):
        def prefill(self, ids: Tensor, state: State) -> Step:
            step = super().prefill(ids, state)
            assert isinstance(step.state, TableState)
            position = step.state.fed.shape[1] - 1
            probabilities = torch.full_like(step.logits, 0.02)
            probabilities[:, [*right, EOS][min(position, len(right))]] = 0.88
            return step._replace(logits=probabilities.log())

    chosen = DecodingSettings(beam=5, n_best=5, max_length=15, length_penalty=penalty)
    (answers,) = generate(Sure(), [[]], chosen)
    assert answers[0].ids == right
    assert len(answers) == 5
    assert sum(answers[0].log_probs) == pytest.approx(11 * math.log(0.88))
    prompts = [[4], [], [6, 6]]
    for prompt, together in zip(prompts, generate(Sure(), prompts, chosen), strict=True):
        alone = generate(Sure(), [prompt], chosen)[0]
        assert [(h.ids, h.score) for h in together] == [(h.ids, h.score) for h in alone]


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_a_dead_end_is_an_answer_that_ends_there(
    method: Literal["greedy", "beam", "sample"],
) -> None:
    """Four tokens, none of them twice, cannot fill six positions."""
    chosen = DecodingSettings(method=method, block_ngrams=1, min_length=6)
    found = generate(TableLanguageModel(), [[], [4], [4, 5, 6, UNK]], chosen)
    assert [len(answer[0].ids) for answer in found] == [4, 3, 0]
    for answers in (found, decode_table([[5, 6], [4]], chosen)):
        for (hypothesis,) in answers:
            assert len(set(hypothesis.ids)) == len(hypothesis.ids)
            assert all(log > -50 for log in (*hypothesis.log_probs, hypothesis.score))


def test_a_dead_end_gives_way_to_any_sequence_that_is_none() -> None:
    """Of three tokens, no two after each other twice: some orders reach nine, others end before."""
    chosen = DecodingSettings(
        beam=4000, n_best=4000, block_ngrams=2, block_unknown=True, min_length=9, max_length=10
    )
    complete, dead_ends = enumerate_answers((), (), (), chosen)
    assert complete
    assert dead_ends
    check(generate(TableLanguageModel(), [[]], chosen)[0], (complete, dead_ends))


@pytest.mark.parametrize("method", ["greedy", "sample"])
@settings(max_examples=30)
@given(prompts=prompts, data=st.data())
def test_the_best_token_each_time_against_the_table(
    method: Literal["greedy", "sample"], prompts: list[list[int]], data: st.DataObject
) -> None:
    """Sampling among the best one alone is greedy, whatever the seed."""
    narrow: dict[str, Any] = (
        {} if method == "greedy" else data.draw(st.sampled_from([{"top_k": 1}, {"top_p": 1e-6}]))
    )
    chosen = data.draw(constraints(method=method, seed=3, **narrow))
    for prompt, (found,) in zip(
        prompts, generate(TableLanguageModel(), prompts, chosen), strict=True
    ):
        ids = list(prompt)
        while (tokens := allowed_tokens(ids, prompt, len(ids) - len(prompt), chosen)) != [EOS]:
            scores = logits_after((), tuple(ids))
            best = max(tokens or [EOS], key=lambda token: scores[token])
            if best == EOS:
                break
            ids.append(best)
        assert found.ids == ids[len(prompt) :]


def test_no_examples_have_no_answers() -> None:
    none = torch.zeros(0, 3, dtype=torch.int64)
    for method in ("greedy", "beam", "sample"):
        chosen = DecodingSettings(method=method)  # type: ignore[arg-type]
        assert decode(TableEncoderDecoder(), none, none[:, 0], chosen, prefix=[]) == []
        assert generate(TableLanguageModel(), [], chosen) == []


def test_one_prefix_for_two_sources_is_an_error() -> None:
    with pytest.raises(InputError, match="prefix has 1 entries for 2 sources"):
        decode_table([[5], [6]], DecodingSettings(), [[4]])


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_scores_of_nan_are_an_error(method: Literal["greedy", "beam", "sample"]) -> None:
    class Broken(TableLanguageModel):
        def prefill(self, ids: Tensor, state: State) -> Step:
            step = super().prefill(ids, state)
            return step._replace(logits=step.logits * torch.nan)

    with pytest.raises(InputError, match="NaN or infinite"):
        generate(Broken(), [[4]], DecodingSettings(method=method))
