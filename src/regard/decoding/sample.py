"""One token after another: the likeliest, or one drawn at random."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from regard.decoding.constraints import Rules
from regard.decoding.hypothesis import Listener, Trail, length_penalty
from regard.decoding.settings import DecodingSettings
from regard.decoding.stepper import Walk
from regard.decoding.vocab_topk import log_normalizer
from regard.text import EOS

__all__ = ["follow", "likeliest", "sampler", "truncated"]

Pick = Callable[[Tensor], Tensor]


def likeliest(scores: Tensor) -> Tensor:
    """The best token of each row of `scores` `(rows, vocab)`."""
    return scores.argmax(-1)


def sampler(settings: DecodingSettings, device: torch.device) -> Pick:
    """A pick that draws from the truncated, tempered distribution; the same for the same seed."""
    generator = torch.Generator(device).manual_seed(settings.seed)

    def pick(scores: Tensor) -> Tensor:
        kept = truncated(scores / settings.temperature, settings.top_k, settings.top_p)
        return torch.multinomial(kept.softmax(-1), 1, generator=generator)[:, 0]

    return pick


def truncated(scores: Tensor, top_k: int, top_p: float) -> Tensor:
    """`scores` `(rows, vocab)` with -inf outside the `top_k` best and the nucleus of mass `top_p`.

    The nucleus (Holtzman et al. 2020) is the smallest set of likeliest tokens whose probability
    reaches `top_p`; it is never empty. `top_k=0` and `top_p=1` truncate nothing.
    """
    if 0 < top_k < scores.shape[-1]:
        worst = scores.topk(top_k).values[..., -1:]
        scores = scores.masked_fill(scores < worst, -torch.inf)
    if top_p < 1:
        ranked, order = scores.sort(-1, descending=True)
        mass = ranked.softmax(-1)
        outside = mass.cumsum(-1) - mass >= top_p
        scores = scores.masked_fill(outside.scatter(-1, order, outside), -torch.inf)
    return scores


def follow(
    walk: Walk, rules: Rules, trail: Trail, pick: Pick, *, listener: Listener | None = None
) -> list[tuple[Tensor, Trail]]:
    """Extend every row by `pick` until EOS; rows that finish leave the batch.

    Args:
        walk: one row of memory per row of state.
        rules: likewise.
        trail: likewise.
        pick: chooses a token per row from what the rules leave.
        listener: told the first unfinished row of each example after every step.

    Returns:
        `(scores, trail)` of the rows that finished together, in the order they did. A score is the
        summed log-probability over the length penalty.
    """
    done: list[tuple[Tensor, Trail]] = []
    alpha = rules.settings.length_penalty
    while len(trail.ids):
        logits, weights, walk = walk.step(trail.latest)
        normalizer, _ = log_normalizer(logits)
        token = pick(rules.apply(logits, trail.ids))
        chosen = logits.gather(1, token[:, None])[:, 0] - normalizer
        trail = trail.extend(token, chosen, weights)
        finished = token == EOS
        if finished.any():
            over = trail.select(finished.nonzero()[:, 0])
            done.append((over.log_probs.sum(1) / length_penalty(over.ids.shape[1], alpha), over))
            alive = (~finished).nonzero()[:, 0]
            trail, rules = trail.select(alive), rules.select(alive)
            walk = walk.select(alive, alive)
        if listener is not None:
            trail.tell(listener)
    return done
