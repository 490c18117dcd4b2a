"""Decoding against an enumeration of all sequences, each row alone, and each step with teacher forcing."""

from __future__ import annotations

import itertools
from typing import Literal, TypeAlias

import pytest
import torch
from torch import Tensor

from regard.decoding import (
    DecodingSettings,
    Hypothesis,
    decode,
    generate,
    length_penalty,
    search,
)
from regard.models import EncoderDecoder, LanguageModel, build, configure
from regard.text import BOS, EOS, UNK

SIZE = 7
Source: TypeAlias = tuple[Tensor, Tensor]
Method: TypeAlias = Literal["greedy", "beam", "sample"]


def log_probs(model: EncoderDecoder, source: Tensor, ids: list[int]) -> Tensor:
    """Of each token of `ids` and of EOS, without cache or beam."""
    target = torch.tensor([[BOS, *ids]])
    logits = model(source[None], torch.tensor([len(source)]), target).logits[0]
    return logits.log_softmax(-1).gather(1, torch.tensor([[*ids, EOS]]).T)[:, 0]


def all_log_probs(model: EncoderDecoder, source: Tensor, every: list[list[int]]) -> list[Tensor]:
    """`log_probs` of many sequences of one source, in one batch."""
    target = torch.tensor([[BOS, *ids, *[4] * (3 - len(ids))] for ids in every])
    sources = source.expand(len(every), -1)
    lengths = torch.full((len(every),), len(source))
    logs = model(sources, lengths, target).logits.log_softmax(-1)
    return [
        logs[row, : len(ids) + 1].gather(1, torch.tensor([[*ids, EOS]]).T)[:, 0]
        for row, ids in enumerate(every)
    ]


def close(found: Hypothesis, expected: Hypothesis) -> None:
    assert found.ids == expected.ids
    assert found.score == pytest.approx(expected.score, abs=1e-5)
    assert found.log_probs == pytest.approx(expected.log_probs, abs=1e-5)
    assert found.attention == pytest.approx(expected.attention, abs=1e-5)


@pytest.mark.parametrize("alpha", [0.0, 1.0])
def test_a_wide_beam_against_an_enumeration(
    model: EncoderDecoder, source: Source, alpha: float
) -> None:
    every = [list(ids) for n in range(4) for ids in itertools.product((UNK, 4, 5, 6), repeat=n)]
    settings = DecodingSettings(beam=len(every), n_best=9, max_length=3, length_penalty=alpha)
    found = decode(model, *source, settings)
    for row in (1, 2):
        one = source[0][row, : source[1][row]]
        scored = sorted(
            (float(logs.sum()) / length_penalty(len(logs), alpha), ids)
            for ids, logs in zip(every, all_log_probs(model, one, every), strict=True)
        )[::-1]
        assert [h.ids for h in found[row]] == [ids for _, ids in scored[:9]]
        assert [h.score for h in found[row]] == pytest.approx([s for s, _ in scored[:9]], abs=1e-5)


def test_scores_and_attention_against_teacher_forcing(
    model: EncoderDecoder, source: Source
) -> None:
    """They follow the beam's ancestry, not the row in which a sequence happens to be."""
    found = decode(model, *source, DecodingSettings(beam=5, n_best=5, max_length=9))
    for row, n in enumerate(source[1].tolist()):
        assert len({tuple(h.ids) for h in found[row]}) == len(found[row])
        for hypothesis in found[row]:
            one = source[0][row, :n]
            expected = log_probs(model, one, hypothesis.ids)
            assert hypothesis.log_probs == pytest.approx(expected.tolist(), abs=1e-5)
            target = torch.tensor([[BOS, *hypothesis.ids]])
            maps = model(one[None], torch.tensor([n]), target).maps["cross"]
            attended = torch.stack([weights.dense()[0] for weights in maps]).mean(0)
            attended = attended if attended.dim() == 2 else attended.mean(0)
            assert hypothesis.attention == pytest.approx(attended.numpy(), abs=1e-5)


def test_readings_are_one_step_apart(model: EncoderDecoder, source: Source) -> None:
    for answer in decode(model, *source, DecodingSettings(max_length=6)):
        as_input = answer[0].aligned_at("input")
        as_output = answer[0].aligned_at("output")
        assert (answer[0].alignment == as_output.alignment).all()  # the default
        assert as_input.alignment.shape == as_output.alignment.shape
        assert (as_input.alignment[:-1] == as_output.alignment[1:]).all()
        assert len(as_input.alignment) == len(answer[0].ids)


def test_a_beam_of_one_is_greedy(model: EncoderDecoder, source: Source) -> None:
    greedy = decode(model, *source, DecodingSettings(method="greedy"))
    beam = decode(model, *source, DecodingSettings(beam=1))
    for one, two in zip(greedy, beam, strict=True):
        close(one[0], two[0])


@pytest.mark.parametrize("method", ["greedy", "beam"])
@pytest.mark.parametrize("rows", [1, 7, 512])
def test_a_batch_answers_as_each_alone(
    model: EncoderDecoder, source: Source, method: Method, rows: int
) -> None:
    ids, lengths = source
    settings = DecodingSettings(method=method, rows=rows, beam=3, n_best=1)
    together = decode(model, ids, lengths, settings)
    for row, n in enumerate(lengths):
        close(
            together[row][0],
            decode(model, ids[row : row + 1, :n], lengths[row : row + 1], settings)[0][0],
        )


def test_greedy_takes_the_argmax_each_time(model: EncoderDecoder, source: Source) -> None:
    settings = DecodingSettings(method="greedy", max_length=6)
    for row, answer in enumerate(decode(model, *source, settings)):
        one = source[0][row, : source[1][row]]
        for t in range(len(answer[0].ids)):
            target = torch.tensor([[BOS, *answer[0].ids[:t]]])
            scores = model(one[None], torch.tensor([len(one)]), target).logits[0, -1]
            scores[[0, BOS]] = -torch.inf
            assert answer[0].ids[t] == scores.argmax()


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_lengths_are_kept(model: EncoderDecoder, source: Source, method: Method) -> None:
    settings = DecodingSettings(method=method, min_length=3, max_length=5)
    lengths = [len(a[0].ids) for a in decode(model, *source, settings)]
    assert all(3 <= n <= 5 for n in lengths)
    for exactly in (1, 4):
        settings = DecodingSettings(method=method, min_length=exactly, max_length=exactly)
        assert {len(a[0].ids) for a in decode(model, *source, settings)} == {exactly}
    assert not any(
        h.ids
        for a in decode(model, *source, DecodingSettings(method=method))
        for h in a
        if len(h.ids) > 2 * 5 + 20
    )


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
def test_a_prefix_is_how_the_answer_begins(
    model: EncoderDecoder, source: Source, method: Method
) -> None:
    prefix = [[5], [], [6, 6, 4], [UNK, 5], [], [4, 4]]
    settings = DecodingSettings(method=method, max_length=4, beam=3)
    found = decode(model, *source, settings, prefix=prefix)
    free = decode(model, *source, settings)
    for row, (begin, answer) in enumerate(zip(prefix, found, strict=True)):
        assert answer[0].ids[: len(begin)] == begin
        expected = log_probs(model, source[0][row, : source[1][row]], answer[0].ids)
        assert answer[0].log_probs == pytest.approx(expected.tolist(), abs=1e-5)
        if not begin and method != "sample":
            close(answer[0], free[row][0])


def test_a_prefix_longer_than_the_limit_is_followed_by_the_end(
    model: EncoderDecoder, source: Source
) -> None:
    prefix = [[4, 5, 6]] * 6
    found = decode(model, *source, DecodingSettings(max_length=2), prefix=prefix)
    assert [a[0].ids for a in found] == prefix


@pytest.mark.parametrize("method", ["greedy", "beam", "sample"])
@pytest.mark.parametrize("size", [1, 2])
def test_no_ngram_comes_twice(
    model: EncoderDecoder, source: Source, method: Method, size: int
) -> None:
    settings = DecodingSettings(method=method, block_ngrams=size, max_length=12, min_length=2)
    for answer in decode(model, *source, settings):
        ids = answer[0].ids
        grams = [tuple(ids[i : i + size]) for i in range(len(ids) - size + 1)]
        assert len(set(grams)) == len(grams)


def test_unknown_can_be_blocked(model: EncoderDecoder, source: Source) -> None:
    settings = DecodingSettings(method="sample", n_best=20, block_unknown=True, max_length=5)
    assert UNK not in {i for a in decode(model, *source, settings) for h in a for i in h.ids}


def test_samples_follow_the_model(model: EncoderDecoder, source: Source) -> None:
    ids, lengths = source[0][:1, :3], source[1][:1]
    settings = DecodingSettings(method="sample", n_best=2000, max_length=1, rows=4000, seed=1)
    drawn = decode(model, ids, lengths, settings)[0]
    first = torch.tensor([h.ids[0] if h.ids else EOS for h in drawn]).bincount(minlength=7) / 2000
    logits = model(ids, lengths, torch.tensor([[BOS]])).logits[0, -1]
    logits[[0, BOS]] = -torch.inf
    torch.testing.assert_close(first.double(), logits.softmax(-1), atol=0.05, rtol=0)


def test_sampling_repeats_with_its_seed(model: EncoderDecoder, source: Source) -> None:
    def draw(seed: int) -> list[list[int]]:
        settings = DecodingSettings(method="sample", seed=seed, n_best=3)
        return [h.ids for a in decode(model, *source, settings) for h in a]

    assert draw(1) == draw(1) != draw(2)


def test_sampling_from_the_best_alone_is_greedy(model: EncoderDecoder, source: Source) -> None:
    greedy = decode(model, *source, DecodingSettings(method="greedy"))
    for narrow in ({"top_k": 1}, {"top_p": 1e-6}, {"temperature": 1e-6}):
        drawn = decode(model, *source, DecodingSettings(method="sample", **narrow))
        for one, two in zip(greedy, drawn, strict=True):
            close(two[0], one[0])


def test_a_knocked_out_word_changes_the_answer(model: EncoderDecoder, source: Source) -> None:
    ids, lengths = source
    settings = DecodingSettings(max_length=6)
    model.eval()
    memory = model.encode(ids, lengths)
    whole = search(model, memory, settings, source_lengths=lengths)
    for one, two in zip(whole, decode(model, ids, lengths, settings), strict=True):
        close(one[0], two[0])
    gone = torch.zeros_like(memory.mask)
    gone[1, 2] = True
    found = search(model, memory.mask_out(gone), settings, source_lengths=lengths)
    assert not found[1][0].attention[:, 2].any()
    close(found[0][0], whole[0][0])


def test_the_models_mode_is_restored(model: EncoderDecoder, source: Source) -> None:
    for training in (True, False):
        model.train(training)
        decode(model, *source, DecodingSettings(method="greedy", max_length=2))
        assert model.training == training


def test_dropout_is_off_while_decoding(model: EncoderDecoder, source: Source) -> None:
    torch.manual_seed(0)
    one = decode(model.train(), *source, DecodingSettings(max_length=5))
    two = decode(model.eval(), *source, DecodingSettings(max_length=5))
    assert [h[0].ids for h in one] == [h[0].ids for h in two]


PROMPTS = [[5, 6, 4], [], [4], [6, 6, 5, 4, 4]]


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_prompts_together_are_continued_as_alone(
    language_model: LanguageModel, method: Method
) -> None:
    settings = DecodingSettings(method=method, max_length=6, min_length=2)
    together = generate(language_model, PROMPTS, settings)
    for prompt, answer in zip(PROMPTS, together, strict=True):
        close(answer[0], generate(language_model, [prompt], settings)[0][0])
        assert 2 <= len(answer[0].ids) <= 6
        ids = torch.tensor([[BOS, *prompt, *answer[0].ids]])
        logits = language_model(ids, torch.tensor([ids.shape[1]])).logits[0]
        following = torch.tensor([[*ids[0, 1:].tolist(), EOS]]).T
        expected = logits.log_softmax(-1).gather(1, following)[len(prompt) :, 0]
        assert answer[0].log_probs == pytest.approx(expected.tolist(), abs=1e-5)
        score = float(expected.sum()) / length_penalty(len(expected), 1.0)
        assert answer[0].score == pytest.approx(score, abs=1e-5)


def test_samples_of_a_language_model(language_model: LanguageModel) -> None:
    found = generate(language_model, PROMPTS[:1], DecodingSettings(method="sample", n_best=30))
    assert len({tuple(h.ids) for h in found[0]}) > 1
    assert all(len(h.ids) <= 20 for h in found[0])
    assert [h.score for h in found[0]] == sorted((h.score for h in found[0]), reverse=True)


@pytest.mark.parametrize("method", ["greedy", "beam"])
def test_one_row_at_a_time_is_the_same_bit_for_bit_in_every_list(
    model: EncoderDecoder, source: Source, method: Method
) -> None:
    """In float32, where the shape of a batch would show in the last digits."""
    ids, lengths = source
    settings = DecodingSettings(method=method, rows=1, max_length=8)
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(2)
        together = decode(model.float(), ids, lengths, settings)
        for row, n in enumerate(lengths):
            (alone,) = decode(model, ids[row : row + 1, :n], lengths[row : row + 1], settings)
            for one, other in zip(together[row], alone, strict=True):
                assert (one.ids, one.score, one.log_probs) == (
                    (other.ids, other.score, other.log_probs)
                )
                assert (one.attention == other.attention).all()
    finally:
        torch.set_num_threads(before)


def test_no_answer_is_longer_than_the_positions_that_the_model_has() -> None:
    torch.manual_seed(4)
    sizes = {"source_size": SIZE, "target_size": SIZE, "width": 8, "heads": 2, "feedforward": 8}
    learned = build(configure("transformer", "tiny", **sizes, positions="learned", max_length=6))
    assert isinstance(learned, EncoderDecoder)
    ids = torch.tensor([[4, 5, 6, 3]])
    for answers in decode(learned, ids, torch.tensor([4]), DecodingSettings(n_best=5)):
        assert max(len(hypothesis.ids) for hypothesis in answers) == 5
