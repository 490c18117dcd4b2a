"""Beam search, for all examples of a batch at once."""

from __future__ import annotations

import torch
from torch import Tensor

from regard.compiled.topk import logsumexp, topk
from regard.decoding.constraints import Constraints
from regard.decoding.hypothesis import OnDraft, length_penalty
from regard.decoding.sequences import Sequences
from regard.decoding.stepper import Stepper
from regard.text import EOS

__all__ = ["beam_search"]


def beam_search(
    stepper: Stepper,
    constraints: Constraints,
    sequences: Sequences,
    *,
    width: int,
    on_draft: OnDraft | None = None,
) -> list[tuple[Tensor, Sequences]]:
    """Keep the `width` best unfinished sequences of each example until `width` have finished.

    At each step the continuations of an example are ranked together. Those among the best `width` that
    end in EOS are finished; the best `width` that do not end live on. An example with `width` finished
    sequences leaves the batch. All examples advance in the same tensor operations; nothing in the loop
    handles a single sequence in Python.

    Rows of one example are neighbours, best first. An example begins with one row and has
    `rows_per_example` of them later, so that row `i` belongs to the example at `i // rows_per_example`.

    Args:
        stepper: one row of state per example.
        constraints: one row per example.
        sequences: one row per example.
        width: of the beam.
        on_draft: called with the best unfinished sequence of each example after every step.

    Returns:
        Scores and sequences of those that finished together. A score is the summed log-probability
        divided by the length penalty.
    """
    alpha = constraints.settings.length_penalty
    device = sequences.example.device
    examples, rows_per_example = len(sequences.example), 1
    total = torch.zeros(examples, 1, device=device)  # log-probability of each row so far
    finished = torch.zeros(examples, dtype=torch.int64, device=device)
    done: list[tuple[Tensor, Sequences]] = []
    while examples:
        # Score all continuations. The normaliser comes first and is subtracted from the totals instead
        # of the logits, which saves a pass over the largest array; constraints change the logits.
        logits, weights, stepper = stepper.step(sequences.latest)
        normalizer, block_maxima = logsumexp(logits)
        before = total - normalizer.view_as(total)
        allowed = constraints.apply(logits, sequences.ids)
        score, token, parent = _candidates(allowed, before, width, block_maxima)
        # From the index within the example to the row of the batch.
        first_row = torch.arange(0, examples * rows_per_example, rows_per_example, device=device)
        parent = parent + first_row[:, None]

        # Finish the sequences that end. One outside the best `width` would not be in the beam, so its
        # end does not count either; a score of -inf marks a candidate that the constraints forbid.
        ends = (token == EOS) & score.isfinite()
        ends[:, width:] = False
        if ends.any():
            rows = parent[ends]
            ended = sequences.select(rows).extend(
                token[ends], score[ends] - total.view(-1)[rows], weights[rows]
            )
            done.append((score[ends] / length_penalty(ended.ids.shape[1], alpha), ended))
            finished = finished + ends.sum(1)

        # Choose the rows that live on. A small vocabulary fills the beam only after some steps.
        rows_per_example = min(width, rows_per_example * min(width, logits.shape[1]))
        # If too few candidates go on, `_first` fills up with ones that end: those must stay at -inf.
        score = score.masked_fill(token == EOS, -torch.inf)
        live = _first(token != EOS, rows_per_example)

        # Drop examples that have enough finished sequences, or nothing that may go on.
        alive = ((finished < width) & score.gather(1, live).isfinite().any(1)).nonzero()[:, 0]
        live, score, token, parent = live[alive], score[alive], token[alive], parent[alive]

        # Move everything that has a row per sequence to the rows of the parents.
        rows = parent.gather(1, live).view(-1)
        new_total = score.gather(1, live)
        log_prob = new_total.view(-1) - total.view(-1)[rows]
        sequences = sequences.select(rows).extend(
            token.gather(1, live).view(-1), log_prob, weights[rows]
        )
        if on_draft is not None:
            sequences.report(on_draft)
        constraints = constraints.select(rows)
        stepper = stepper.select(rows, alive if len(alive) < examples else None)
        total, finished, examples = new_total, finished[alive], len(alive)
    return done


def _candidates(
    scores: Tensor, total: Tensor, width: int, block_maxima: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """Find the best `2 * width` continuations of each example, EOS competing with all others.

    Twice the width is enough: of the `rows` of an example at most `width` continue with EOS, so among
    the best `2 * width` at least `width` go on.

    Args:
        scores: `(examples * rows, vocab)`, overwritten.
        total: `(examples, rows)`, added to them: log-probability so far minus the normaliser.
        width: of the beam, at least `rows`.
        block_maxima: from `logsumexp`, of the scores before any was forbidden.

    Returns:
        Summed log-probability, token, and the index among the example's `rows` of the one it
        continues, each `(examples, candidates)`, best first.
    """
    examples, rows = total.shape
    # A row has at most `width` useful continuations besides EOS. EOS is taken out of the search and
    # added again, so that it is a candidate even where it is not among the best.
    ending = scores[:, EOS, None].clone()
    scores[:, EOS] = -torch.inf
    best, token = topk(scores, min(width, scores.shape[1]), block_maxima)
    token = torch.cat([torch.full_like(token[:, :1], EOS), token], 1).view(examples, -1)
    score = torch.cat([ending, best], 1).view(examples, rows, -1) + total[..., None]
    score, index = score.view(examples, -1).topk(min(2 * width, token.shape[1]))
    return score, token.gather(1, index), index // (token.shape[1] // rows)


def _first(wanted: Tensor, count: int) -> Tensor:
    """Indices of the first `count` wanted entries of each row, in order; others follow if too few."""
    rank = torch.arange(wanted.shape[1], device=wanted.device)
    return torch.where(wanted, rank, rank + wanted.shape[1]).topk(count, largest=False).indices
