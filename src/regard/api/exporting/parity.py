"""Parity: how far an exported model's numbers and answers are from those of the model it was made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from regard.errors import RegardError

__all__ = ["LEAST_EQUAL", "TOLERANCE", "Parity"]

TOLERANCE = 1e-3
"""Largest difference of logits or log-probabilities (nats) that is rounding: sums in another order."""

LEAST_EQUAL = 0.95
"""Share of answers that must be equal: the others may be ties within rounding."""


@dataclass(frozen=True)
class Parity:
    """Differences between a model and its export, on some texts.

    Attributes:
        texts: number of texts.
        compared: the numbers that were compared, such as `"log-probabilities"`.
        difference: largest absolute difference of these numbers.
        equal: share of equal answers, from 0 to 1, by the way in which they were found: `"greedy"`, ...
        searched: ways of `equal` in which the other runtime searches by its own rules, so that answers may
            differ where every number is equal.
    """

    texts: int
    compared: str
    difference: float
    equal: Mapping[str, float]
    searched: tuple[str, ...] = ()

    def with_equal(self, shares: Mapping[str, float]) -> Parity:
        """Make a comparison with further shares of equal answers."""
        return replace(self, equal={**self.equal, **shares})

    def check(self, to: str) -> None:
        """Refuse an export that differs.

        Raises:
            RegardError: a difference, or a share of equal answers, beyond rounding.
        """
        if not self.difference <= TOLERANCE:  # NaN, too
            raise RegardError(
                f"the {to} model's {self.compared} differ from this model's by up to {self.difference:.2g}; "
                f"expected at most {TOLERANCE:g}, so nothing was written; please report it with the kind of "
                "model and the versions of torch and of the runtime"
            )
        for way, share in self.equal.items():
            if way not in self.searched and share < LEAST_EQUAL:
                raise RegardError(
                    f"{share:.1%} of the {to} model's answers ({way}) are this model's; expected at least "
                    f"{LEAST_EQUAL:.0%}, so nothing was written; try texts such as the model was trained on "
                    "(--texts): between equally good words any rounding decides"
                )

    def __str__(self) -> str:
        answers = "; ".join(f"{share:.1%} equal ({way})" for way, share in self.equal.items())
        numbers = f"{self.compared} differ by at most {self.difference:.2g}"
        return f"{self.texts:,} texts: {numbers}; answers: {answers}"
