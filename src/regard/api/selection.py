"""Sentences about a finished run: which weights were kept, and by which figure."""

from __future__ import annotations

from regard.training import History, Ranking
from regard.training.history import Record, metrics_of

__all__ = ["describe_choice"]


def describe_choice(history: History, ranking: Ranking) -> str:
    """Say which validation was the best and which figure decided between it and the next best.

    >>> rows = [{"step": s, "epoch": s, "valid_bleu": b, "valid_loss": 1 / s} for s, b in ((1, 0), (2, 0))]
    >>> describe_choice(History(rows), Ranking("bleu", ("loss",), {"bleu": 1.0}))  # doctest: +ELLIPSIS
    'kept the weights of update 2 (epoch 2), the best of 2 validations by loss (0.5), since bleu was ...'

    Args:
        history: of the run.
        ranking: order of its validations.
    """
    best = history.best(ranking)
    if best is None:
        return "kept the last weights; none were validated"
    kept = f"kept the weights of update {best['step']:,} (epoch {best['epoch']:,})"
    others = [record for record in history.validations if record is not best]
    next_best = History(others).best(ranking)
    if next_best is None:
        return f"{kept}, of the only validation: {_figure(best, ranking.metric)}"
    decided_by = ranking.compare(metrics_of(best), metrics_of(next_best)).decided_by
    among = f"the best of {len(others) + 1:,} validations by"
    if decided_by is None:
        return f"{kept}, {among} {_figure(best, ranking.metric)} and the first of equals"
    chosen = f"{kept}, {among} {_figure(best, decided_by)}"
    if decided_by == ranking.metric:
        return chosen
    state = "equal" if ranking.measured(metrics_of(best)) else "at its floor"
    value = metrics_of(best)[ranking.metric]
    return f"{chosen}, since {ranking.metric} was {state} ({value:.4g})"


def _figure(record: Record, metric: str) -> str:
    return f"{metric} ({metrics_of(record)[metric]:.4g})"
