"""Beam search: the best few sequences at once, for every example of a batch at once."""

from __future__ import annotations

import torch
from torch import Tensor

from regard.decoding.constraints import Rules
from regard.decoding.hypothesis import Listener, Trail, length_penalty
from regard.decoding.stepper import Walk
from regard.decoding.vocab_topk import largest, log_normalizer
from regard.text import EOS

__all__ = ["beam_search"]


def beam_search(
    walk: Walk, rules: Rules, trail: Trail, *, width: int, listener: Listener | None = None
) -> list[tuple[Tensor, Trail]]:
    """Keep the `width` best unfinished sequences per example until `width` have finished.

    At each step the candidates of an example are ranked together. Those among the best `width` that
    end in EOS are finished; the best `width` that do not end live on. An example with `width`
    finished sequences leaves the batch. Nothing in the loop touches a single sequence in Python.
    An example begins with one row, and has `width` as soon as there are so many sequences.

    Args:
        walk: one row of state per example.
        rules: likewise.
        trail: likewise.
        width: of the beam.
        listener: told the best unfinished sequence of each example after every step.

    Returns:
        `(scores, trail)` of the sequences that finished together.
    """
    alpha = rules.settings.length_penalty
    device = trail.example.device
    examples, rows_each = len(trail.example), 1
    total = torch.zeros(examples, 1, device=device)
    count = torch.zeros(examples, dtype=torch.int64, device=device)
    done: list[tuple[Tensor, Trail]] = []
    while examples:
        logits, weights, walk = walk.step(trail.latest)
        normalizer, peaks = log_normalizer(logits)
        before = total - normalizer.view_as(total)
        allowed = rules.apply(logits, trail.ids)
        score, choice, parent = _candidates(allowed, before, width, peaks)
        first = torch.arange(0, examples * rows_each, rows_each, device=device)
        parent = parent + first[:, None]
        ends = (choice == EOS) & score.isfinite()
        ends[:, width:] = False
        if ends.any():
            over = parent[ends]
            ended = trail.select(over).extend(
                choice[ends], score[ends] - total.view(-1)[over], weights[over]
            )
            done.append((score[ends] / length_penalty(ended.ids.shape[1], alpha), ended))
            count = count + ends.sum(1)

        rows_each = min(width, rows_each * min(width, logits.shape[1]))
        score = score.masked_fill(choice == EOS, -torch.inf)  # should too few others make it live
        live = _first(choice != EOS, rows_each)
        alive = ((count < width) & score.gather(1, live).isfinite().any(1)).nonzero()[:, 0]
        live, score, choice, parent = live[alive], score[alive], choice[alive], parent[alive]
        rows = parent.gather(1, live).view(-1)
        gained = score.gather(1, live)
        log_prob = gained.view(-1) - total.view(-1)[rows]
        trail = trail.select(rows).extend(choice.gather(1, live).view(-1), log_prob, weights[rows])
        if listener is not None:
            trail.tell(listener)
        rules = rules.select(rows)
        walk = walk.select(rows, alive if len(alive) < examples else None)
        total, count, examples = gained, count[alive], len(alive)
    return done


def _candidates(
    scores: Tensor, total: Tensor, width: int, peaks: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The best `2 * width` continuations of each example, EOS competing with all others.

    A sequence has at most `width` useful continuations besides EOS, so no more are looked at.

    Args:
        scores: `(examples * rows, vocab)`, overwritten.
        total: `(examples, rows)`, added to them: log-probability so far less the normaliser.
        width: of the beam, at least `rows`.
        peaks: of the scores before any was forbidden.

    Returns:
        Summed log-probability, token, and which of the `rows` it continues, each
        `(examples, candidates)`, best first.
    """
    examples, rows = total.shape
    ending = scores[:, EOS, None].clone()
    scores[:, EOS] = -torch.inf
    best, token = largest(scores, min(width, scores.shape[1]), peaks)
    token = torch.cat([torch.full_like(token[:, :1], EOS), token], 1).view(examples, -1)
    score = torch.cat([ending, best], 1).view(examples, rows, -1) + total[..., None]
    score, place = score.view(examples, -1).topk(min(2 * width, token.shape[1]))
    return score, token.gather(1, place), place // (token.shape[1] // rows)


def _first(wanted: Tensor, count: int) -> Tensor:
    """Places of the first `count` wanted entries of each row, in order; others follow if too few."""
    rank = torch.arange(wanted.shape[1], device=wanted.device)
    return torch.where(wanted, rank, rank + wanted.shape[1]).topk(count, largest=False).indices
