"""Greedy decoding and sampling: one token after another, each row on its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import torch
from torch import Tensor

from regard.compiled.topk import logsumexp
from regard.decoding.constraints import Constraints
from regard.decoding.hypothesis import OnDraft
from regard.decoding.sequences import Finished, Sequences
from regard.decoding.settings import DecodingSettings
from regard.decoding.stepper import Stepper, check_finite
from regard.text import EOS

__all__ = ["argmax", "decode_rows", "sampler", "truncated"]

Choose: TypeAlias = Callable[[Tensor], Tensor]
"""Scores `(rows, vocab)` to one token per row, `(rows)`."""


def argmax(scores: Tensor) -> Tensor:
    """Return the best token of each row of `scores` `(rows, vocab)`."""
    return scores.argmax(-1)


def sampler(settings: DecodingSettings, device: torch.device) -> Choose:
    """Make a function that draws a token per row from the tempered and truncated distribution.

    Args:
        settings: `temperature`, `top_k`, `top_p` and `seed` are used; equal seeds draw equal tokens.
        device: where the scores will be.
    """
    generator = torch.Generator(device).manual_seed(settings.seed)

    def choose(scores: Tensor) -> Tensor:
        kept = truncated(scores / settings.temperature, settings.top_k, settings.top_p)
        return torch.multinomial(kept.softmax(-1), 1, generator=generator)[:, 0]

    return choose


def truncated(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """Set scores outside the `top_k` best and outside the nucleus of mass `top_p` to -inf.

    The nucleus (Holtzman et al. 2020) is the smallest set of likeliest tokens whose probability
    reaches `top_p`; it is never empty. `top_k=0` and `top_p=1` truncate nothing.

    Args:
        scores: `(rows, vocab)`.
        top_k: number of tokens kept; 0 keeps all.
        top_p: probability mass kept, in (0, 1].
    """
    if 0 < top_k < scores.shape[-1]:
        worst = scores.topk(top_k).values[..., -1:]
        scores = scores.masked_fill(scores < worst, -torch.inf)
    if top_p < 1:
        ranked, order = scores.sort(-1, descending=True)
        mass = ranked.softmax(-1)
        # Mass of the better tokens: the one that crosses `top_p` is still inside.
        outside = mass.cumsum(-1) - mass >= top_p
        scores = scores.masked_fill(outside.scatter(-1, order, outside), -torch.inf)
    return scores


def decode_rows(
    stepper: Stepper,
    constraints: Constraints,
    sequences: Sequences,
    choose: Choose,
    *,
    on_draft: OnDraft | None = None,
) -> Finished:
    """Extend every row by one token at a time until EOS; finished rows leave the batch.

    Args:
        stepper: one row of memory per row of state.
        constraints: one row per sequence.
        sequences: to be extended.
        choose: picks a token per row from the scores that the constraints leave.
        on_draft: called with the first unfinished row of each example after every step.
    """
    done = Finished()
    while len(sequences.ids):
        logits, weights, stepper = stepper.step(sequences.latest)
        # Before the constraints change the logits: log-probabilities are the model's own.
        normalizer, _ = logsumexp(logits)
        check_finite(normalizer)
        ending = logits[:, EOS].clone()
        allowed = constraints.apply(logits, sequences.ids)
        dead_end = None
        if constraints.may_dead_end(sequences.ids):
            dead_end = allowed.amax(1) == -torch.inf
            allowed[dead_end, EOS] = ending[dead_end]
        token = choose(allowed)
        log_prob = allowed.gather(1, token[:, None])[:, 0] - normalizer
        sequences = sequences.extend(token, log_prob, weights)

        finished = token == EOS
        if finished.any():
            kept = finished if dead_end is None else finished & ~dead_end
            done.complete.append(sequences.select(kept.nonzero()[:, 0]))
            if dead_end is not None:
                done.cut_short.append(sequences.select(dead_end.nonzero()[:, 0]))
            alive = (~finished).nonzero()[:, 0]
            sequences, constraints = sequences.select(alive), constraints.select(alive)
            stepper = stepper.select(alive, alive)
        if on_draft is not None:
            sequences.report(on_draft)
    return done
