"""Beam search, for all examples of a batch at once."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from regard.compiled.topk import logsumexp, topk
from regard.decoding.constraints import Constraints
from regard.decoding.hypothesis import OnDraft, length_penalty
from regard.decoding.sequences import Finished, Sequences
from regard.decoding.stepper import Stepper, check_finite
from regard.text import EOS

__all__ = ["beam_search"]


def beam_search(
    stepper: Stepper,
    constraints: Constraints,
    sequences: Sequences,
    *,
    width: int,
    on_draft: OnDraft | None = None,
) -> Finished:
    """Keep the `width` best unfinished sequences of each example until `width` better ones have finished.

    At each step the continuations of an example are ranked together. Those among the best `width` that
    end in EOS are finished; the best `width` that do not end live on. An example with `width` finished
    sequences leaves the batch, unless an unfinished one scores better than all of them as far as it goes:
    in a small vocabulary `width` short and wrong ones may have finished before the right one can. All
    examples advance in the same tensor operations; nothing in the loop handles a single sequence in Python.

    What becomes of an example follows from the logits of its own rows alone: every choice is made among
    its own candidates, equal scores are ordered by rank of the parent and by token, and sums are float64.
    What is left of the batch is rounding: in the network, and in the normaliser, whose kernel is chosen
    by the size of the batch.

    Rows of one example are neighbours, best first. An example begins with one row and has
    `rows_per_example` of them later, so that row `i` belongs to the example at `i // rows_per_example`.

    Args:
        stepper: one row of state per example.
        constraints: one row per example.
        sequences: one row per example.
        width: of the beam.
        on_draft: called with the best unfinished sequence of each example after every step.
    """
    device = sequences.example.device
    examples, rows_per_example = len(sequences.example), 1
    # Log-probability of each row so far; -inf for a row that stands for no sequence.
    total = torch.zeros(examples, 1, dtype=torch.float64, device=device)
    finished = torch.zeros(examples, dtype=torch.int64, device=device)
    best = total[:, 0] - torch.inf  # score of the best finished sequence of each example
    alpha = constraints.settings.length_penalty
    done = Finished()
    while examples:
        # Score all continuations. The normaliser comes first and is subtracted from the totals instead
        # of the logits, which saves a pass over the largest array; constraints change the logits.
        logits, weights, stepper = stepper.step(sequences.latest)
        normalizer, block_maxima = logsumexp(logits)
        check_finite(normalizer)
        before = total - normalizer.view_as(total)
        ending = logits[:, EOS].clone()
        allowed = constraints.apply(logits, sequences.ids)
        score, token, parent, dead_end = _candidates(allowed, before, width, block_maxima)
        # From the index within the example to the row of the batch.
        first_row = torch.arange(0, examples * rows_per_example, rows_per_example, device=device)
        parent = parent + first_row[:, None]
        # Tokens of each example's answers with this one; a prompt is not counted, and may not be read yet.
        written = sequences.ids.shape[1] - sequences.prompt[first_row] + 1
        penalty = length_penalty(written.clamp(min=1).double(), alpha)

        # Finish the sequences that end. One outside the best `width` would not be in the beam, so its
        # end does not count either; a score of -inf marks a candidate that the constraints forbid.
        ends = (token == EOS) & score.isfinite()
        ends[:, width:] = False
        if ends.any():
            rows = parent[ends]
            log_prob = score[ends] - total.view(-1)[rows]
            done.complete.append(
                sequences.select(rows).extend(token[ends], log_prob, weights[rows])
            )
            finished = finished + ends.sum(1)
            ended = score.masked_fill(~ends, -torch.inf).amax(1)
            best = torch.maximum(best, ended / penalty)
        if constraints.may_dead_end(sequences.ids):
            rows = (dead_end & total.view(-1).isfinite()).nonzero()[:, 0]
            end = torch.full_like(rows, EOS)
            log_prob = ending[rows] - normalizer[rows]
            done.cut_short.append(sequences.select(rows).extend(end, log_prob, weights[rows]))

        # Choose the rows that live on. A small vocabulary fills the beam only after some steps.
        rows_per_example = min(width, rows_per_example * min(width, logits.shape[1]))
        # If too few candidates go on, `_first` fills up with ones that end: those must stay at -inf.
        score = score.masked_fill(token == EOS, -torch.inf)
        live = _first(token != EOS, rows_per_example)

        # Drop examples that have enough finished sequences and no better one on its way, or nothing that
        # may go on.
        total_live = score.gather(1, live)
        ahead = total_live[:, 0] / penalty > best
        alive = ((finished < width) | ahead) & total_live.isfinite().any(1)
        alive = alive.nonzero()[:, 0]
        live, score, token, parent = live[alive], score[alive], token[alive], parent[alive]

        # Move everything that has a row per sequence to the rows of the parents.
        rows = parent.gather(1, live).view(-1)
        new_total = score.gather(1, live)
        # A prompt is not scored: alone it is fed before the search, beside a shorter one within it.
        prompted = sequences.in_prompt[rows].view_as(new_total) & new_total.isfinite()
        new_total = new_total.masked_fill(prompted, 0.0)
        log_prob = new_total.view(-1) - total.view(-1)[rows]
        sequences = sequences.select(rows).extend(
            token.gather(1, live).view(-1), log_prob, weights[rows]
        )
        if on_draft is not None:
            sequences.report(on_draft)
        constraints = constraints.select(rows)
        stepper = stepper.select(rows, alive if len(alive) < examples else None)
        total, finished, best = new_total, finished[alive], best[alive]
        examples = len(alive)
    return done


class _Candidates(NamedTuple):
    """Best continuations of each example.

    Attributes:
        score: `(examples, candidates)` in float64, summed log-probability, descending.
        token: `(examples, candidates)`.
        parent: `(examples, candidates)`, index among the example's rows of the one that is continued.
        dead_end: `(examples * rows)` Boolean, rows without any allowed continuation.
    """

    score: Tensor
    token: Tensor
    parent: Tensor
    dead_end: Tensor


def _candidates(
    scores: Tensor, total: Tensor, width: int, block_maxima: Tensor | None
) -> _Candidates:
    """Find the best `2 * width` continuations of each example, EOS competing with all others.

    Twice the width is enough: of the `rows` of an example at most `width` continue with EOS, so among
    the best `2 * width` at least `width` go on.

    Args:
        scores: `(examples * rows, vocab)`, overwritten.
        total: `(examples, rows)`, added to them: log-probability so far minus the normaliser.
        width: of the beam, at least `rows`.
        block_maxima: from `logsumexp`, of the scores before any was forbidden.
    """
    examples, rows = total.shape
    # A row has at most `width` useful continuations besides EOS. EOS is taken out of the search and
    # added again, so that it is a candidate even where it is not among the best.
    ending = scores[:, EOS, None].clone()
    scores[:, EOS] = -torch.inf
    best, token = topk(scores, min(width, scores.shape[1]), block_maxima)
    token = torch.cat([torch.full_like(token[:, :1], EOS), token], 1).view(examples, -1)
    best = torch.cat([ending, best], 1)
    score = (best.view(examples, rows, -1) + total[..., None]).view(examples, -1)
    # Stable, so that equal scores keep their order whatever the size of the batch.
    score, index = score.sort(dim=1, descending=True, stable=True)
    score, index = score[:, : 2 * width], index[:, : 2 * width]
    dead_end = best.amax(1) == -torch.inf
    return _Candidates(score, token.gather(1, index), index // (token.shape[1] // rows), dead_end)


def _first(wanted: Tensor, count: int) -> Tensor:
    """Indices of the first `count` wanted entries of each row, in order; others follow if too few."""
    rank = torch.arange(wanted.shape[1], device=wanted.device)
    return torch.where(wanted, rank, rank + wanted.shape[1]).topk(count, largest=False).indices
