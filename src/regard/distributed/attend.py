"""`attend` over several processes."""
# mypy: disable-error-code="no-untyped-call"

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from regard.attention.answers import Watch, watched_statistics
from regard.attention.kernels import NamedStatistic
from regard.attention.normalizers import Normalizer, Softmax
from regard.attention.scores import ScaledDot, Score
from regard.attention.statistics import Statistic
from regard.distributed.block import RowGradients
from regard.distributed.map import Rows, ShardedAttentionMap
from regard.distributed.passes import backward_pass, rows_pass
from regard.distributed.problem import ShardedProblem, make_sharded_problem
from regard.distributed.ring import Ring
from regard.distributed.shards import Shards
from regard.errors import InputError
from regard.shapes import Float

__all__ = ["attend", "attend_over"]

_SCORE = ScaledDot()
_NORMALIZER = Softmax()


def attend(
    query: Float[Tensor, "*lead queries features"],
    key: Float[Tensor, "*key_lead keys key_features"],
    value: Float[Tensor, "*key_lead keys values"],
    *,
    shards: Shards | None = None,
    key_shards: Shards | None = None,
    score: Score = _SCORE,
    normalizer: Normalizer = _NORMALIZER,
    mask: Any = None,
    bias: Any = None,
    watch: Watch = (),
    group: Any = None,
    timeout: float | None = None,
) -> tuple[Float[Tensor, "*lead queries values"], ShardedAttentionMap]:
    """`regard.attend` with softmax over a sequence that lies in the processes of a group.

    Each process holds some positions of queries, keys and values, and gets the output of its queries. Keys
    and values go round the ring of processes, in `n - 1` messages that travel while the process computes
    (Liu, Zaharia and Abbeel 2023, Ring Attention with Blockwise Transformers), so that memory per process
    falls as `1 / n`. Every process of the group must call it, with equal arguments except the arrays.

    Args:
        query: `(..., local queries, features)`, 2 to 4 axes, as for `regard.attend`; the processes may hold
            different numbers of queries.
        key: `(..., local keys, key_features)`; grouped heads as for `regard.attend`.
        value: `(..., local keys, values)`.
        shards: where the queries are; contiguous in the order of the processes unless given. Under a
            causal mask `Shards.zigzag` gives all processes equal work.
        key_shards: where the keys and values are; where the queries are unless given.
        score: how well each key matches each query; see `regard.scores`. What it makes of a query or a
            key may not depend on its position; an array with one number for each query is sharded as these.
        normalizer: `regard.normalizers.Softmax()`, or one with a sink, equal in every process: it is added
            once, after all keys. The gradient of a learned sink is that of this process's queries; add it up
            over the processes. Others need whole rows.
        mask: of the whole sequence, in every process: `regard.causal()`, `regard.padding(lengths)` and all
            others. One that gives each query a range of keys takes two integers for each query, others
            are made by tiles.
        bias: of the whole sequence, in every process, such as `regard.positions.ALiBi()`.
        watch: statistics to compute at once: names as for `regard.attend`, and statistics of your own. The
            map answers all of them later, too; entropy, log-sum-exp and largest score cost nothing either way.
        group: of `torch.distributed` (gloo or NCCL); all processes unless given.
        timeout: seconds of the longest wait for a message; the group's own time-out unless given.

    Returns:
        The output of this process's queries, `(..., local queries, values)`, and the
        `ShardedAttentionMap`. Gradients flow from the output, and from the entropy and the log-sum-exp of
        the map, to queries, keys and values of every process: all must call `backward`.

    Raises:
        ShapeError: arrays whose shapes do not fit.
        MaskError: a mask of the wrong type or shape.
        SettingsError: `watch` names a statistic that does not exist.
        InputError: arrays other than torch tensors; shards that do not fit; a score or bias with learned
            parameters that would need a gradient from pairs of a query and a key of another process; another
            normaliser than softmax.
        ProcessGroupError: a process has ended, does not answer in time or holds other arguments.
    """
    named, own = watched_statistics(watch)
    problem = make_sharded_problem(
        Ring.of(group, timeout), query, key, value, shards=shards, key_shards=key_shards, score=score,
        normalizer=normalizer, mask=mask, bias=bias,
    )  # fmt: skip
    return attend_over(problem, named, own)


def attend_over(
    problem: ShardedProblem, named: Sequence[NamedStatistic] = (), own: Sequence[Statistic] = ()
) -> tuple[Tensor, ShardedAttentionMap]:
    """Output and map of a problem of which every process has its part.

    Args:
        problem: in every process.
        named: statistics of the library to compute at once.
        own: those of users.
    """
    _refuse_learned_parts(problem)
    top = max((int(numbers[0]) for name, *numbers in named if name == "topk"), default=0)
    results = _RingAttention.apply(
        problem, top, problem.query, problem.key, problem.value, problem.sink
    )
    output, lse, entropy, max_score, weights, keys = results
    rows = Rows(lse, entropy, max_score, (weights, keys) if top else None)
    found = ShardedAttentionMap(problem, rows)
    for name, *numbers in named:
        if name == "received":
            found.received()
        elif name == "pool":
            found.pool(*map(int, numbers))
    for statistic in own:
        found.statistic(statistic)
    if problem.local.output_dtype is not None:
        output = output.to(problem.local.output_dtype)
    return problem.local.restore(output), found


class _RingAttention(torch.autograd.Function):
    """The differentiable part: one pass around the ring forward, and one backward."""

    @staticmethod
    def forward(
        ctx: Any,
        problem: ShardedProblem,
        top: int,
        query: Tensor,
        key: Tensor,
        value: Tensor,
        sink: Tensor | None,
    ) -> tuple[Tensor, ...]:
        totals = rows_pass(problem, top=top)
        output = totals.output.to(value.dtype)
        entropy = totals.entropy.to(problem.local.dtype)
        weights, keys = totals.topk()
        ctx.problem = problem
        ctx.save_for_backward(query, key, value, sink, output, totals.lse, totals.entropy)
        ctx.mark_non_differentiable(totals.max_score, weights, keys)
        ctx.set_materialize_grads(False)
        return output, totals.lse, entropy, totals.max_score, weights, keys

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        if torch.is_grad_enabled():
            raise InputError(
                "distributed attention has first derivatives only; call backward without create_graph"
            )
        query, key, value, sink, output, lse, entropy = (
            ctx.saved_tensors
        )  # complains of changes in place
        share = None if sink is None else _share_of_sink(sink, lse)
        rows = _row_gradients(output, lse, entropy, share, *grads[:3])
        of_sink = None
        if sink is not None and share is not None:
            live = share.masked_fill(rows.lse == -math.inf, 0.0)
            of_sink = (
                (live * (rows.constant - rows.slope)).sum(-1, keepdim=True).sum_to_size(sink.shape)
            )
        found = backward_pass(ctx.problem, rows)
        return (
            None,
            None,
            *(grad.to(x.dtype) for grad, x in zip(found, (query, key, value), strict=True)),
            of_sink,
        )


def _row_gradients(
    output: Tensor,
    lse: Tensor,
    entropy: Tensor,
    share: Tensor | None,
    output_grad: Tensor | None,
    lse_grad: Tensor | None,
    entropy_grad: Tensor | None,
) -> RowGradients:
    """What each row's gradients need.

    Rows that see nothing have none, nor those whose output alone is NaN, by a value; of rows whose weights are
    NaN they are NaN, as in one process.
    """
    wide = torch.float64 if output.dtype == torch.float64 else torch.float32
    dead = (lse == -math.inf) | (lse.isfinite() & output.isnan().any(-1))
    given = torch.zeros_like(output) if output_grad is None else output_grad
    given, output = (x.to(wide).masked_fill(dead[..., None], 0.0) for x in (given, output))
    constant = -(given * output).sum(-1)
    slope = torch.zeros_like(constant)
    if lse_grad is not None:
        constant = constant + lse_grad.to(wide).masked_fill(dead, 0.0)
    if entropy_grad is not None:
        slope = -entropy_grad.to(wide).masked_fill(dead, 0.0)
        spread = entropy if share is None else entropy + share
        constant = constant + slope * spread.to(wide).masked_fill(dead, 0.0)
    return RowGradients(given, lse.masked_fill(dead, -math.inf), constant, slope)


def _share_of_sink(sink: Tensor, lse: Tensor) -> Tensor:
    """The share that the sink has of each row, `(batch, heads, queries)` float64; 0 without a sink or a key."""
    return (sink - lse).exp().masked_fill(lse == -math.inf, 0.0)


def _refuse_learned_parts(problem: ShardedProblem) -> None:
    """Refuse parts whose gradients would be lost: they come from pairs, which the backward pass makes again.

    Parameters of `project` (matrices, temperatures, scales) get theirs: projecting comes before the ring.
    """
    if not torch.is_grad_enabled():
        return
    one, whole, score, bias = slice(0, 1), problem.whole, problem.score, problem.bias
    query, key = (x[:, :, one].detach().to(whole.dtype) for x in (problem.query, problem.key))
    if query.shape[2] and key.shape[2] and score.pairwise(query, key).requires_grad:
        raise InputError(
            f"{type(score).__name__} has a learned parameter that pairs of queries and keys use, and "
            "distributed attention has no gradient of it; detach it, or use a score with parameters in the "
            "projections of queries and keys, such as General"
        )
    tile = bias.tile(whole, one, one) if bias is not None and whole.queries and whole.keys else None
    if tile is not None and tile.requires_grad:
        raise InputError(
            f"{type(bias).__name__} needs a gradient, which distributed attention does not compute; detach it"
        )
