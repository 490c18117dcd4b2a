"""A model and its source to sequences, n-best per example."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import torch
from torch import Tensor

from regard.decoding.beam import beam_search
from regard.decoding.constraints import Rules
from regard.decoding.hypothesis import Hypothesis, Listener, Trail
from regard.decoding.parallel import side_by_side
from regard.decoding.sample import follow, likeliest, sampler
from regard.decoding.settings import DecodingSettings
from regard.decoding.stepper import Desk, Walk
from regard.layers.eval_mode import eval_mode
from regard.models import EncoderDecoder, LanguageModel, Memory, Reading
from regard.text import BOS

__all__ = ["decode", "generate", "likeliest_next", "search"]

Prefixes = Sequence[Sequence[int]]


@torch.inference_mode()
def decode(
    model: EncoderDecoder,
    source: Tensor,
    source_lengths: Tensor,
    settings: DecodingSettings | None = None,
    *,
    prefix: Prefixes | None = None,
    hidden: Tensor | None = None,
    listener: Listener | None = None,
) -> list[list[Hypothesis]]:
    """Decode any number of sources.

    They are grouped by length, `settings.rows` hypotheses at a time, and answered in the order given.

    Args:
        model: decoded as in evaluation, whatever mode it is in; its mode is left as it was.
        source: `(batch, keys)` int64, padded on the right.
        source_lengths: `(batch)`, each at least 1.
        settings: how; beam search with a beam of 5 unless said otherwise.
        prefix: per example, token ids that must begin the answer; an empty list leaves it free.
        hidden: Boolean `(batch, keys)`, source places that attention is knocked out from. The encoder
            reads them all the same: this asks what looking there was good for.
        listener: told the best unfinished sequence of each example after every step; in beam search
            a later step may take words back.

    Returns:
        Per example its `n_best` hypotheses, best first. There are fewer only where fewer exist.
    """
    settings = settings or DecodingSettings()
    per_example = settings.beam if settings.method == "beam" else settings.n_best
    order = source_lengths.argsort(descending=True, stable=True)
    batches = torch.split(order, max(1, settings.rows // per_example))
    local = threading.local()

    @torch.inference_mode()  # which threads do not inherit
    def answer(indices: Tensor) -> list[list[Hypothesis]]:
        lengths = source_lengths[indices]
        places = indices.tolist()
        memory = model.encode(source[indices, : int(lengths.max())], lengths)
        if hidden is not None:
            memory = memory.forbid(hidden[indices, : int(lengths.max())])
        return search(
            model,
            memory,
            settings,
            source_lengths=lengths,
            prefix=[prefix[i] for i in places] if prefix else None,
            listener=_at(places, listener),
            desk=local.__dict__.setdefault("desk", Desk()),
        )

    with eval_mode(model):
        if listener is None:
            found = side_by_side(answer, batches, device=source.device)
        else:  # who listens is told in the thread that asked
            found = [answer(indices) for indices in batches]
    answers: list[list[Hypothesis]] = [[] for _ in order]
    for indices, hypotheses in zip(batches, found, strict=True):
        for index, one in zip(indices.tolist(), hypotheses, strict=True):
            answers[index] = one
    return answers


@torch.inference_mode()
def search(
    model: EncoderDecoder,
    memory: Memory,
    settings: DecodingSettings,
    *,
    source_lengths: Tensor,
    prefix: Prefixes | None = None,
    listener: Listener | None = None,
    desk: Desk | None = None,
) -> list[list[Hypothesis]]:
    """Decode one batch from its memory, which may have been changed (words knocked out).

    The model must be in evaluation mode. `desk` is one that an earlier batch of this thread wrote on.
    Otherwise as `decode`.
    """
    example = torch.arange(memory.batch, device=source_lengths.device)
    example = example.repeat_interleave(_begun(settings))
    limit = torch.full_like(source_lengths, settings.max_length or 0)
    if settings.max_length is None:
        limit = 2 * source_lengths + 20
    least = torch.full_like(limit, settings.min_length)
    rules = Rules.of(settings, limit, least=least, prefix=prefix).select(example)
    trail = Trail.empty(example, memory.mask.shape[1])
    walk = Walk(model, model.start(memory).select(example), memory, desk or Desk())
    return _answers(walk, rules, trail, settings, source_lengths, model.reading, listener)


@torch.no_grad()
def likeliest_next(
    model: EncoderDecoder,
    source: Tensor,
    source_lengths: Tensor,
    prefix: Sequence[int],
    *,
    hidden: Tensor | None = None,
) -> Tensor:
    """Log-probabilities `(vocab)` of what may follow `prefix` in the answer to one source.

    Args:
        model: as in `decode`.
        source: `(1, keys)` int64.
        source_lengths: `(1)`.
        prefix: token ids of the answer so far, without BOS; may be empty.
        hidden: Boolean `(1, keys)`, as in `decode`.
    """
    with eval_mode(model):
        memory = model.encode(source, source_lengths)
        if hidden is not None:
            memory = memory.forbid(hidden)
        walk = Walk(model, model.start(memory), memory)
        logits = source.new_empty(0)
        for token in [BOS, *prefix]:
            logits, _, walk = walk.step(source.new_tensor([token]))
    return logits[0].log_softmax(-1)


@torch.inference_mode()
def generate(
    model: LanguageModel, prompts: Prefixes, settings: DecodingSettings | None = None
) -> list[list[Hypothesis]]:
    """Continue prompts with a language model.

    Args:
        model: as in `decode`.
        prompts: token ids without BOS; may be empty.
        settings: how; sampling unless said otherwise. `min_length` and `max_length` count new tokens
            (20 if not set).

    Returns:
        Per prompt its hypotheses, best first; `ids` and `log_probs` are of the new tokens only, and
        there is no `attention`, since there is no source.
    """
    settings = settings or DecodingSettings(method="sample")
    width = settings.beam if settings.method == "beam" else settings.n_best
    answers: list[list[Hypothesis]] = []
    with eval_mode(model):
        for first in range(0, len(prompts), max(1, settings.rows // width)):
            chosen = prompts[first : first + max(1, settings.rows // width)]
            answers.extend(_continue(model, chosen, settings))
    return answers


def _continue(
    model: LanguageModel, prompts: Prefixes, settings: DecodingSettings
) -> list[list[Hypothesis]]:
    """One batch: what all prompts have at least is read at once, the rest is forced step by step."""
    device = next(model.parameters()).device
    lengths = torch.tensor([len(p) for p in prompts], device=device)
    example = torch.arange(len(prompts), device=device).repeat_interleave(_begun(settings))
    limit = lengths + (settings.max_length or 20)
    rules = Rules.of(settings, limit, least=lengths + settings.min_length, prefix=prompts)
    common = rules.prefix[:, : int(lengths.min())]
    state = model.start(len(prompts))
    if common.shape[1]:
        begun = torch.cat([torch.full_like(common[:, :1], BOS), common[:, :-1]], 1)
        state = model.read(begun, state).state
    trail = Trail.empty(example, 0).begun(common.index_select(0, example))
    walk = Walk(model, state.select(example), None)
    found = _answers(
        walk, rules.select(example), trail, settings, torch.zeros_like(lengths), "input"
    )
    return [
        _ranked([h.after(len(p), settings.length_penalty) for h in answer])
        for p, answer in zip(prompts, found, strict=True)
    ]


def _begun(settings: DecodingSettings) -> int:
    """With how many sequences an example begins: a beam spreads from one."""
    return 1 if settings.method == "beam" else settings.n_best


def _answers(
    walk: Walk,
    rules: Rules,
    trail: Trail,
    settings: DecodingSettings,
    lengths: Tensor,
    reading: Reading,
    listener: Listener | None = None,
) -> list[list[Hypothesis]]:
    """Run the method that the settings name, and sort what it finished by example and score."""
    if settings.method == "beam":
        done = beam_search(walk, rules, trail, width=settings.beam, listener=listener)
    else:
        greedy = settings.method == "greedy"
        pick = likeliest if greedy else sampler(settings, trail.example.device)
        rows = torch.arange(len(trail.example))
        done = follow(walk.select(rows, trail.example), rules, trail, pick, listener=listener)
    answers: list[list[Hypothesis]] = [[] for _ in lengths]
    for scores, finished in done:
        for example, hypothesis in finished.finish(scores, lengths, reading):
            answers[example].append(hypothesis)
    return [_ranked(answer)[: settings.n_best] for answer in answers]


def _at(places: list[int], listener: Listener | None) -> Listener | None:
    """The same listener, told places in the whole list rather than in one batch of it."""
    if listener is None:
        return None
    return lambda example, ids: listener(places[example], ids)


def _ranked(hypotheses: list[Hypothesis]) -> list[Hypothesis]:
    return sorted(hypotheses, key=lambda hypothesis: -hypothesis.score)
