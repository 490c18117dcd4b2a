"""A model and its source to sequences, n-best per example."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from regard.decoding.beam import beam_search
from regard.decoding.hypothesis import Hypothesis, Trail
from regard.decoding.rules import Rules
from regard.decoding.sample import follow, likeliest, sampler
from regard.decoding.settings import DecodingSettings
from regard.decoding.walk import Walk
from regard.models import EncoderDecoder, LanguageModel, Memory

__all__ = ["decode", "generate", "search"]

Prefixes = Sequence[Sequence[int]]


@torch.no_grad()
def decode(
    model: EncoderDecoder,
    source: Tensor,
    source_lengths: Tensor,
    settings: DecodingSettings | None = None,
    *,
    prefix: Prefixes | None = None,
) -> list[list[Hypothesis]]:
    """Decode any number of sources.

    They are grouped by length, `settings.rows` hypotheses at a time, and answered in the order given.

    Args:
        model: decoded as in evaluation, whatever mode it is in; its mode is left as it was.
        source: `(batch, keys)` int64, padded on the right.
        source_lengths: `(batch)`, each at least 1.
        settings: how; beam search with a beam of 5 unless said otherwise.
        prefix: per example, token ids that must begin the answer; an empty list leaves it free.

    Returns:
        Per example its `n_best` hypotheses, best first. There are fewer only where fewer exist.
    """
    settings = settings or DecodingSettings()
    per_example = settings.beam if settings.method == "beam" else settings.n_best
    order = source_lengths.argsort(descending=True, stable=True)
    answers: list[list[Hypothesis]] = [[] for _ in order]
    with _evaluating(model):
        for indices in order.split(max(1, settings.rows // per_example)):
            lengths = source_lengths[indices]
            memory = model.encode(source[indices, : int(lengths.max())], lengths)
            chosen = [prefix[i] for i in indices.tolist()] if prefix else None
            found = search(model, memory, settings, source_lengths=lengths, prefix=chosen)
            for index, hypotheses in zip(indices.tolist(), found, strict=True):
                answers[index] = hypotheses
    return answers


@torch.no_grad()
def search(
    model: EncoderDecoder,
    memory: Memory,
    settings: DecodingSettings,
    *,
    source_lengths: Tensor,
    prefix: Prefixes | None = None,
) -> list[list[Hypothesis]]:
    """Decode one batch from its memory, which may have been changed (words knocked out).

    The model must be in evaluation mode. Otherwise as `decode`.
    """
    width = settings.beam if settings.method == "beam" else settings.n_best
    example = torch.arange(memory.batch, device=source_lengths.device).repeat_interleave(width)
    rules = Rules.of(settings, source_lengths, prefix).select(example)
    trail = Trail.empty(example, memory.mask.shape[1])
    walk = Walk(model, model.start(memory).select(example), memory)
    return _answers(walk, rules, trail, settings, source_lengths, model.reading)


@torch.no_grad()
def generate(
    model: LanguageModel, prompts: Prefixes, settings: DecodingSettings | None = None
) -> list[list[Hypothesis]]:
    """Continue prompts with a language model.

    Args:
        model: as in `decode`.
        prompts: token ids without BOS; may be empty.
        settings: `min_length` and `max_length` count new tokens (`None`: 20 of them).

    Returns:
        Per prompt its hypotheses, best first; `ids` and `log_probs` are of the new tokens only.
    """
    raise NotImplementedError


def _answers(
    walk: Walk,
    rules: Rules,
    trail: Trail,
    settings: DecodingSettings,
    lengths: Tensor,
    reading: str,
) -> list[list[Hypothesis]]:
    """Run the method that the settings name, and sort what it finished by example and score."""
    if settings.method == "beam":
        done = beam_search(walk, rules, trail, width=settings.beam)
    else:
        greedy = settings.method == "greedy"
        pick = likeliest if greedy else sampler(settings, trail.example.device)
        done = follow(
            walk.select(torch.arange(len(trail.example)), trail.example), rules, trail, pick
        )
    answers: list[list[Hypothesis]] = [[] for _ in lengths]
    for scores, finished in done:
        for example, hypothesis in finished.finish(scores, lengths, reading):
            answers[example].append(hypothesis)
    return [sorted(a, key=lambda h: -h.score)[: settings.n_best] for a in answers]


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """Dropout off, and the mode given back afterwards."""
    training = model.training
    model.eval()
    try:
        yield
    finally:
        model.train(training)
