"""Decoding of sources and prompts: the n best sequences for each, by the method that the settings name."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import TypeAlias

import torch
from torch import Tensor

from regard.decoding.beam import beam_search
from regard.decoding.constraints import Constraints
from regard.decoding.hypothesis import Hypothesis, OnDraft
from regard.decoding.parallel import parallel_map
from regard.decoding.sample import argmax, decode_rows, sampler
from regard.decoding.sequences import Sequences
from regard.decoding.settings import DecodingSettings
from regard.decoding.stepper import LogitsBuffer, Stepper
from regard.errors import InputError, SettingsError
from regard.layers.eval_mode import eval_mode
from regard.models import EncoderDecoder, LanguageModel, Memory, Reading
from regard.text import BOS

__all__ = ["decode", "decoding_batches", "generate", "next_log_probs", "search"]

Prefixes: TypeAlias = Sequence[Sequence[int]]


@torch.inference_mode()
def decode(
    model: EncoderDecoder,
    source: Tensor,
    source_lengths: Tensor,
    settings: DecodingSettings | None = None,
    *,
    prefix: Prefixes | None = None,
    masked_out: Tensor | None = None,
    on_draft: OnDraft | None = None,
) -> list[list[Hypothesis]]:
    """Decode any number of sources.

    Sources are grouped by length, `settings.rows` hypotheses to a batch. What is decoded beside a source
    has no part in its answer except through rounding: the network's float32 sums depend on the shape of
    a batch in the last digits, so that hypotheses whose scores agree to about 1e-6 may change places.
    With `rows=1` every source is decoded by itself in one thread, and its answer is the same bit for bit
    in every list of sources.

    Args:
        model: runs in evaluation mode; its mode is restored.
        source: `(batch, keys)` int64, padded on the right.
        source_lengths: `(batch)`, each at least 1.
        settings: how to decode; the default is beam search with a beam of 5.
        prefix: per example, token ids that the answer must begin with; an empty list leaves it free.
        masked_out: Boolean `(batch, keys)`, source positions without cross-attention. The encoder
            still reads them, so this measures what attending to them contributes.
        on_draft: called after every step with the best unfinished sequence of each example; in beam
            search a later step may take tokens back. Batches are then decoded one after another.

    Returns:
        For each source its `n_best` hypotheses, best first; fewer only where fewer exist. A source for
        which the constraints leave no sequence of `min_length` tokens has shorter ones, which end
        where no token was left.

    Raises:
        InputError: not one prefix, or one row of `masked_out`, for each source; a model whose scores
            are NaN.
    """
    settings = settings or DecodingSettings()
    _check_one_each(len(source), prefix=prefix, masked_out=masked_out)
    if not len(source):
        return []
    batches = decoding_batches(source_lengths, settings)
    local = threading.local()

    @torch.inference_mode()  # which threads do not inherit
    def decode_batch(indices: Tensor) -> list[list[Hypothesis]]:
        lengths = source_lengths[indices]
        examples = indices.tolist()
        memory = model.encode(source[indices, : int(lengths.max())], lengths)
        if masked_out is not None:
            memory = memory.mask_out(masked_out[indices, : int(lengths.max())])
        return search(
            model,
            memory,
            settings,
            source_lengths=lengths,
            prefix=[prefix[i] for i in examples] if prefix else None,
            on_draft=_renumbered(on_draft, examples),
            buffer=local.__dict__.setdefault("buffer", LogitsBuffer()),  # one for each thread
        )

    with eval_mode(model):
        if on_draft is None:
            alone = settings.rows == 1
            found = parallel_map(decode_batch, batches, device=source.device, one_thread=alone)
        else:  # the callback runs in the caller's thread
            found = [decode_batch(indices) for indices in batches]
    answers: list[list[Hypothesis]] = [[] for _ in source]
    for indices, hypotheses in zip(batches, found, strict=True):
        for index, of_example in zip(indices.tolist(), hypotheses, strict=True):
            answers[index] = of_example
    return answers


def decoding_batches(source_lengths: Tensor, settings: DecodingSettings) -> tuple[Tensor, ...]:
    """Indices of the sources that `decode` decodes together.

    Sorted by length, a batch has little padding; the longest come first, so that threads end together. A batch
    that is decoded on its own is one batch in the same order.

    Args:
        source_lengths: `(batch)`.
        settings: how to decode.
    """
    per_example = settings.beam if settings.method == "beam" else settings.n_best
    order = source_lengths.argsort(descending=True, stable=True)
    return torch.split(order, max(1, settings.rows // per_example))


@torch.inference_mode()
def search(
    model: EncoderDecoder,
    memory: Memory,
    settings: DecodingSettings,
    *,
    source_lengths: Tensor,
    prefix: Prefixes | None = None,
    on_draft: OnDraft | None = None,
    buffer: LogitsBuffer | None = None,
) -> list[list[Hypothesis]]:
    """Decode one batch from its memory.

    Args:
        model: in evaluation mode.
        memory: from `model.encode`, perhaps changed since (`mask_out`).
        settings: how to decode.
        source_lengths: `(batch)`.
        prefix: see `decode`.
        on_draft: see `decode`.
        buffer: of an earlier batch in this thread, to be reused.

    Returns:
        See `decode`.
    """
    example = torch.arange(memory.batch, device=source_lengths.device)
    example = example.repeat_interleave(_initial_rows(settings))
    max_length = torch.full_like(source_lengths, settings.max_length or 0)
    if settings.max_length is None:
        max_length = 2 * source_lengths + 20
    if model.max_positions is not None:  # of which BOS takes one
        max_length = max_length.clamp(max=model.max_positions - 1)
    min_length = torch.full_like(max_length, settings.min_length)
    constraints = Constraints.of(settings, max_length, min_length=min_length, prefix=prefix)
    sequences = Sequences.empty(example, memory.mask.shape[1])
    state = model.start(memory).select(example)
    stepper = Stepper(model, state, memory, buffer or LogitsBuffer())
    return _run_method(
        stepper,
        constraints.select(example),
        sequences,
        settings,
        source_lengths,
        model.alignment.reading,
        on_draft,
    )


@torch.no_grad()
def next_log_probs(
    model: EncoderDecoder,
    source: Tensor,
    source_lengths: Tensor,
    prefix: Sequence[int],
    *,
    masked_out: Tensor | None = None,
) -> Tensor:
    """Compute the log-probabilities of the token after `prefix` in the answer to one source.

    Args:
        model: runs in evaluation mode; its mode is restored.
        source: `(1, keys)` int64.
        source_lengths: `(1)`.
        prefix: token ids of the answer so far, without BOS; may be empty.
        masked_out: Boolean `(1, keys)`, source positions without cross-attention.

    Returns:
        `(vocab)`, in nats.
    """
    with eval_mode(model):
        memory = model.encode(source, source_lengths)
        if masked_out is not None:
            memory = memory.mask_out(masked_out)
        stepper = Stepper(model, model.start(memory), memory)
        logits = source.new_empty(0)
        for token in [BOS, *prefix]:
            logits, _, stepper = stepper.step(source.new_tensor([token]))
    return logits[0].log_softmax(-1)


@torch.inference_mode()
def generate(
    model: LanguageModel,
    prompts: Prefixes,
    settings: DecodingSettings | None = None,
    *,
    on_draft: OnDraft | None = None,
) -> list[list[Hypothesis]]:
    """Continue prompts with a language model.

    The score of a continuation, and the length that divides it, are of the new tokens alone, also while
    the beam is pruned; of blocked n-grams the prompt's count, too. As to prompts beside each other, see
    `decode`.

    Args:
        model: runs in evaluation mode; its mode is restored.
        prompts: token ids without BOS; may be empty.
        settings: how to decode; the default is sampling. `min_length` and `max_length` count new
            tokens (20 if not set).
        on_draft: see `decode`; its ids begin with those of the prompt.

    Returns:
        For each prompt its hypotheses, best first. `ids` and `log_probs` are of the new tokens only, and
        `attention` has no columns, since there is no source.

    Raises:
        SettingsError: `replace_unknown`.
    """
    settings = settings or DecodingSettings(method="sample")
    if settings.replace_unknown:
        raise SettingsError(
            "replace_unknown copies words of a source, and a language model has none; leave it out"
        )
    width = settings.beam if settings.method == "beam" else settings.n_best
    answers: list[list[Hypothesis]] = [[] for _ in prompts]
    with eval_mode(model):
        for indices in _prompt_batches(model, prompts, max(1, settings.rows // width)):
            batch = [prompts[index] for index in indices]
            found = _generate_batch(model, batch, settings, _renumbered(on_draft, indices))
            for index, of_prompt in zip(indices, found, strict=True):
                answers[index] = of_prompt
    return answers


def _prompt_batches(model: LanguageModel, prompts: Prefixes, size: int) -> list[list[int]]:
    """Indices of the prompts of each batch."""
    groups: dict[int, list[int]] = {}
    for index, prompt in enumerate(prompts):
        groups.setdefault(len(prompt) if model.prompts_of_one_length else 0, []).append(index)
    return [
        group[first : first + size]
        for group in groups.values()
        for first in range(0, len(group), size)
    ]


def _generate_batch(
    model: LanguageModel, prompts: Prefixes, settings: DecodingSettings, on_draft: OnDraft | None
) -> list[list[Hypothesis]]:
    device = next(model.parameters()).device
    lengths = torch.tensor([len(p) for p in prompts], device=device)
    example = torch.arange(len(prompts), device=device).repeat_interleave(_initial_rows(settings))
    constraints = Constraints.of(
        settings,
        lengths + (settings.max_length or 20),
        min_length=lengths + settings.min_length,
        prefix=prompts,
    )
    # Prompts differ in length. As many tokens as the shortest has are fed at once, shifted by BOS; the
    # others follow step by step, forced by the constraints.
    common = constraints.prefix[:, : int(lengths.min())]
    state = model.start(len(prompts))
    if common.shape[1]:
        inputs = torch.cat([torch.full_like(common[:, :1], BOS), common[:, :-1]], 1)
        state = model.prefill(inputs, state).state
    sequences = Sequences.empty(example, 0, prompt=lengths[example])
    sequences = sequences.with_prefix(common.index_select(0, example))
    return _run_method(
        Stepper(model, state.select(example), None),
        constraints.select(example),
        sequences,
        settings,
        torch.zeros_like(lengths),
        "output",
        on_draft,
    )


def _initial_rows(settings: DecodingSettings) -> int:
    """Sequences that each example begins with: a beam spreads from one, samples are drawn apart."""
    return 1 if settings.method == "beam" else settings.n_best


def _run_method(
    stepper: Stepper,
    constraints: Constraints,
    sequences: Sequences,
    settings: DecodingSettings,
    lengths: Tensor,
    reading: Reading,
    on_draft: OnDraft | None = None,
) -> list[list[Hypothesis]]:
    """Decode by the method that the settings name: the best of each example, best first."""
    if settings.method == "beam":
        done = beam_search(stepper, constraints, sequences, width=settings.beam, on_draft=on_draft)
    else:
        greedy = settings.method == "greedy"
        choose = argmax if greedy else sampler(settings, sequences.example.device)
        # Here each sequence has a memory of its own, because rows of one example finish apart.
        rows = torch.arange(len(sequences.example), device=sequences.example.device)
        stepper = stepper.select(rows, sequences.example)
        done = decode_rows(stepper, constraints, sequences, choose, on_draft=on_draft)
    answers = _by_example(done.complete, lengths, settings, reading)
    cut_short = _by_example(done.cut_short, lengths, settings, reading)
    return [
        _ranked(answer or short)[: settings.n_best]
        for answer, short in zip(answers, cut_short, strict=True)
    ]


def _by_example(
    finished: Sequence[Sequences], lengths: Tensor, settings: DecodingSettings, reading: Reading
) -> list[list[Hypothesis]]:
    """Hypotheses of each example."""
    answers: list[list[Hypothesis]] = [[] for _ in lengths]
    for sequences in finished:
        for example, hypothesis in sequences.hypotheses(lengths, settings.length_penalty, reading):
            answers[example].append(hypothesis)
    return answers


def _check_one_each(count: int, **given: Prefixes | Tensor | None) -> None:
    for name, values in given.items():
        if values is not None and len(values) != count:
            raise InputError(f"{name} has {len(values)} entries for {count} sources; give one each")


def _renumbered(on_draft: OnDraft | None, examples: list[int]) -> OnDraft | None:
    """A callback that gets the index among all sources instead of the index in one batch."""
    if on_draft is None:
        return None
    return lambda example, ids: on_draft(examples[example], ids)


def _ranked(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    """Best first; equal scores in the order of their tokens."""
    return sorted(hypotheses, key=lambda hypothesis: (-hypothesis.score, hypothesis.ids))
