"""The sentence that says which weights were kept, and by which figure."""

from __future__ import annotations

import pytest

from regard.api.selection import describe_choice
from regard.training import History, Ranking

RANKING = Ranking("bleu", ("chrf", "loss"), {"bleu": 1.0})


def history(*rows: tuple[float, float, float]) -> History:
    """Validations with a BLEU, chrF and loss each, every ten updates."""
    return History(
        {"step": 10 * n, "epoch": n, "valid_bleu": b, "valid_chrf": c, "valid_loss": loss}
        for n, (b, c, loss) in enumerate(rows, 1)
    )


@pytest.mark.parametrize(
    ("rows", "sentence"),
    [
        ([(9, 9, 9)], "update 10 (epoch 1), of the only validation: bleu (9)"),
        (
            [(9, 9, 9), (12.25, 8, 9)],
            "update 20 (epoch 2), the best of 2 validations by bleu (12.25)",
        ),
        (
            [(0.4, 9, 9), (0.1, 31.5, 9), (0, 31, 9)],
            "update 20 (epoch 2), the best of 3 validations by chrf (31.5), since bleu was at its "
            "floor (0.1)",
        ),
        (
            [(40, 50, 0.5), (40, 50, 0.25)],
            "update 20 (epoch 2), the best of 2 validations by loss (0.25), since bleu was equal (40)",
        ),
        (
            [(40, 50, 0.5), (40, 50, 0.5)],
            "update 10 (epoch 1), the best of 2 validations by bleu (40) and the first of equals",
        ),
    ],
)
def test_the_figure_that_decided_is_named(
    rows: list[tuple[float, float, float]], sentence: str
) -> None:
    assert describe_choice(history(*rows), RANKING) == f"kept the weights of {sentence}"
