"""`regard` classifiers as `trust` examines them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard.data import pad, token_batches
from regard.engines import Each, Here
from regard.errors import InputError
from regard.evaluation.faithfulness.contracts import ExplainableClassifier, Ids
from regard.evaluation.faithfulness.rivals import (
    INTEGRATION_STEPS,
    integrated_gradients,
    occlusion,
)
from regard.evaluation.metrics.intervals import Floats
from regard.layers.eval_mode import eval_mode
from regard.layers.intervene import replaced_pooling
from regard.models import Explainable
from regard.text import BOS, EOS, PAD, UNK

__all__ = [
    "ClassifierAdapter",
    "ComparedClassifierAdapter",
    "PoolingClassifierAdapter",
    "adapt_classifier",
]

_MAX_BATCH_TOKENS = 16_384


def adapt_classifier(
    model: Explainable,
    *,
    mask_id: int | None = None,
    special_ids: frozenset[int] | None = None,
    multilabel: bool = False,
    each: Each | None = None,
) -> ExplainableClassifier:
    """Wrap a classifier for `trust`; its attention can be replaced if it pools by attention.

    Args:
        model: a classifier whose output holds its attention maps.
        mask_id: id that replaces a masked token; `None` for the model's own.
        special_ids: ids of tokens that are not part of the text, which are never erased; `None` for the
            model's own.
        multilabel: whether a text may have any number of labels, each logit being a yes or no.
        each: calls functions of such an adapter of this model; `None` does so in this process.

    Raises:
        InputError: the model returns no attention over its tokens (raised by `attention`).
    """
    adapter: type[ClassifierAdapter] = ClassifierAdapter
    if model.pools_by_attention:
        adapter = PoolingClassifierAdapter
    if model.compares_rivals:
        adapter = ComparedClassifierAdapter
    return adapter(
        model,
        mask_id=model.mask_id if mask_id is None else mask_id,
        special_ids=model.special_ids if special_ids is None else special_ids,
        multilabel=multilabel,
        each=each,
    )


class ClassifierAdapter:
    """A classifier with its probabilities, attention and gradient x input as NumPy arrays."""

    def __init__(
        self,
        model: Explainable,
        *,
        mask_id: int = UNK,
        special_ids: frozenset[int] = frozenset({PAD, BOS, EOS}),
        multilabel: bool = False,
        each: Each | None = None,
    ) -> None:
        self.each: Each = each or Here(self)
        self.model: Any = model  # `ExtractiveAdapter` holds another kind
        self.mask_id: int = mask_id
        self.special_ids: frozenset[int] = special_ids
        self.multilabel = multilabel

    def predict(self, texts: Sequence[Ids]) -> Floats:
        """Return probabilities `(texts, labels)`; rows sum to 1 unless `multilabel`."""
        return np.stack(
            self._by_text(texts, lambda rows, ids, lengths: self._predict(ids, lengths))
        )

    def attention(self, texts: Sequence[Ids]) -> list[Floats]:
        """Return the pooling weights, or else what each token received in the last layer."""

        def compute(rows: list[int], ids: Tensor, lengths: Tensor) -> Tensor:
            with torch.no_grad():
                found: Tensor = self.model.token_attention(self.model(ids, lengths).maps, lengths)
                return found

        weights = self._by_text(texts, compute)
        return [self._unpad(row, text) for row, text in zip(weights, texts, strict=True)]

    def gradient_x_input(self, texts: Sequence[Ids]) -> list[Floats]:
        """Return `sum_d x_d * d log p(y) / d x_d` of each token, `(length,)` for each text.

        x is the token's embedding and y the likeliest label.

        Raises:
            InputError: the model does not look its ids up in an `nn.Embedding`.
        """
        gradients = self._by_text(texts, lambda rows, ids, lengths: self._gradient(ids, lengths))
        return [self._unpad(row, text) for row, text in zip(gradients, texts, strict=True)]

    def _gradient(self, ids: Tensor, lengths: Tensor) -> Tensor:
        """Gradient x input of a padded batch, in the shape of `ids`."""
        with self.model.embedding_lookups(ids) as lookups:
            logits = self.model(ids, lengths).logits
        if not lookups:
            raise InputError(
                f"{type(self.model).__name__} does not look its ids up in an nn.Embedding, so "
                "there is no gradient x input to compare with"
            )
        answer = self._log_probs(logits).amax(-1).sum()
        gradients = torch.autograd.grad(answer, [vectors for _, vectors in lookups])
        total = torch.zeros(ids.shape, dtype=logits.dtype, device=ids.device)
        # Tokens keep their order in every lookup, so real tokens are matched by their rank.
        for (real, vectors), gradient in zip(lookups, gradients, strict=True):
            total[ids != PAD] += (gradient * vectors).detach().sum(-1)[real]
        return total + self._linear_gradient(ids, lengths, logits.detach())

    def _log_probs(self, logits: Tensor) -> Tensor:
        return nn.functional.logsigmoid(logits) if self.multilabel else logits.log_softmax(-1)

    def _linear_gradient(self, ids: Tensor, lengths: Tensor, logits: Tensor) -> Tensor | float:
        """Gradient x input of a linear part without embeddings, whose logits are sums over tokens."""
        contributions = self.model.linear_contributions(ids, lengths)
        if contributions is None:
            return 0.0
        answer = nn.functional.one_hot(logits.argmax(-1), logits.shape[-1])
        # d log p(y) / d logits; with several labels only the likeliest one's logit has a gradient.
        by_logit = (
            answer * (1 - logits.sigmoid()) if self.multilabel else answer - logits.softmax(-1)
        )
        linear: Tensor = (contributions * by_logit[:, None]).sum(-1)
        return linear

    def _predict(self, ids: Tensor, lengths: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self.model(ids, lengths).logits.double()
            return logits.sigmoid() if self.multilabel else logits.softmax(-1)

    # Layout of texts in a batch

    def _collate(self, texts: Sequence[Ids]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Padded ids and lengths, as the model takes them."""
        return pad(texts)

    def _unpad(self, values: Floats, text: Ids) -> Floats:
        """Values of the tokens of `text` from one row of a padded batch."""
        return values[..., : len(text)]

    def _by_text(
        self,
        texts: Sequence[Ids],
        compute: Callable[[list[int], Tensor, Tensor], Tensor],
    ) -> list[Floats]:
        """Call `compute(rows, ids, lengths)` batch by batch and return one array for each text.

        `rows` are the indices of the batch's texts.
        """
        device = next(self.model.parameters()).device
        results: list[Floats] = [np.empty(0)] * len(texts)
        # cuDNN has no backward pass for recurrent layers in evaluation mode.
        with eval_mode(self.model), torch.backends.cudnn.flags(enabled=False):
            for rows in token_batches([len(text) for text in texts], max_tokens=_MAX_BATCH_TOKENS):
                ids, lengths = self._collate([texts[row] for row in rows])
                values = compute(
                    rows,
                    torch.from_numpy(ids).to(device),
                    torch.from_numpy(lengths).to(device),
                )
                for row, value in zip(rows, values.double().numpy(force=True), strict=True):
                    results[row] = value
        return results


class ComparedClassifierAdapter(ClassifierAdapter):
    """A classifier whose attention is compared with integrated gradients and occlusion as well."""

    def rivals(self, texts: Sequence[Ids]) -> Mapping[str, list[Floats]]:
        """Return attributions of the predicted label by method, `(length,)` for each text."""
        return {
            "integrated gradients": self.integrated_gradients(texts),
            "occlusion": [self.occlusion(text) for text in texts],
        }

    def integrated_gradients(
        self, texts: Sequence[Ids], *, steps: int = INTEGRATION_STEPS
    ) -> list[Floats]:
        """Return integrated gradients, from a text of mask tokens on, `(length,)` for each text."""

        def compute(rows: list[int], ids: Tensor, lengths: Tensor) -> Tensor:
            kept = torch.isin(ids, ids.new_tensor(sorted(self.special_ids)))
            baseline = torch.where(kept, ids, self.mask_id)
            return integrated_gradients(
                self.model, ids, baseline, lengths, self._log_probs, steps=steps
            )

        found = self._by_text(texts, compute)
        return [self._unpad(row, text) for row, text in zip(found, texts, strict=True)]

    def occlusion(self, text: Ids) -> Floats:
        """Return the effect of masking each token, `(length,)`."""
        return occlusion(self.predict, text, mask_id=self.mask_id, special_ids=self.special_ids)


class PoolingClassifierAdapter(ClassifierAdapter):
    """A classifier that pools by attention, whose pooling weights can be replaced."""

    def predict_with_attention(self, texts: Sequence[Ids], weights: Sequence[Floats]) -> Floats:
        """Return probabilities `(texts, labels)` under pooling weights, `(heads, length)` each."""

        def compute(rows: list[int], ids: Tensor, lengths: Tensor) -> Tensor:
            padded = np.zeros((len(rows), len(weights[0]), ids.shape[1]))
            for target, row in zip(padded, rows, strict=True):
                target[:, : len(texts[row])] = weights[row]
            with replaced_pooling(self.model, torch.from_numpy(padded).to(ids.device)):
                return self._predict(ids, lengths)

        return np.stack(self._by_text(texts, compute))
