"""N-grams beside attention: a linear classifier on n-grams plus a deep classifier (Cheng et al. 2016)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from regard.models import build
from regard.models.classifiers.ngram_linear import NgramLinear
from regard.models.classifiers.settings import WideSettings
from regard.models.contracts import Classifier, Output
from regard.models.settings import ModelSettings

__all__ = ["WideAndDeep"]


class WideAndDeep(Classifier):
    r"""Sum of the logits of a linear n-gram classifier and of a deep classifier.

    .. math:: z = z_{\mathrm{wide}} + \lambda \, z_{\mathrm{deep}}

    with :math:`\lambda` = `deep_weight`. From few texts a linear model learns single words and short
    phrases best; order and context need a deep one. The two are fitted apart, unlike in Cheng et al.:
    the wide part is solved before training begins, and the deep part is trained as if it were alone,
    because beside a part that already fits the training texts it would have nothing left to learn. In
    use their logits are added, a product of experts (Hinton 2002).

    Maps are those of the deep part; `linear_contributions` explains the wide part.
    """

    def __init__(self, settings: WideSettings) -> None:
        super().__init__()
        self.settings: ModelSettings = settings
        self.deep_weight: float = settings.deep_weight
        self.wide: NgramLinear = NgramLinear(settings)
        self.deep: Classifier = build(settings.of_deep())

    def fit_features(
        self, surfaces: Sequence[str], texts: Sequence[Sequence[int]], targets: Tensor
    ) -> None:
        """Solve the wide part, and record its sizes in `settings`."""
        self.deep.fit_features(surfaces, texts, targets)
        self.wide.fit(surfaces, texts, targets)
        self.settings = self.settings.replace(
            alphabet_size=len(self.wide.code), ngrams=len(self.wide.key)
        )

    def refit(self, texts: Sequence[Sequence[int]], targets: Tensor) -> bool:
        """Solve for the n-gram weights again, from more texts; the n-grams stay.

        Training on a tenth more texts costs a second and is worth a point of accuracy.
        """
        self.wide.solve(texts, targets)
        return True

    def linear_contributions(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Split the logits of the wide part among the tokens, `(batch, length, labels)`."""
        return self.wide.contributions(ids, lengths)

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """Return the sum of both parts' logits; in training mode, those of the deep part alone."""
        output: Output = self.deep(ids, lengths)
        if self.training:
            return output
        logits = torch.add(self.wide(ids, lengths), output.logits, alpha=self.deep_weight)
        return Output(logits, output.maps)
