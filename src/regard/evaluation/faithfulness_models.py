"""A `regard` classifier as something `trust` can question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.data import pad, token_batches
from regard.errors import InputError
from regard.evaluation.faithfulness_measures import Floats, Ids
from regard.evaluation.faithfulness_questions import Explained
from regard.layers.pooling import AttentionPooling
from regard.models import Classifier, Output
from regard.text import BOS, EOS, PAD, UNK

__all__ = ["Classified", "PooledClassified", "explained"]


def explained(
    model: Classifier,
    *,
    mask_id: int = UNK,
    special_ids: frozenset[int] = frozenset({PAD, BOS, EOS}),
) -> Explained:
    """Wrap a classifier, so that its attention can also be replaced if it pools by attention.

    Args:
        model: with the maps of its attention in its output.
        mask_id: stands in for a masked token.
        special_ids: tokens that are not the text's own and are never erased.

    Raises:
        InputError: the model shows no attention over its tokens (when asked).
    """
    pooling = [part for part in model.modules() if isinstance(part, AttentionPooling)]
    if len(pooling) == 1:
        return PooledClassified(model, pooling[0], mask_id=mask_id, special_ids=special_ids)
    return Classified(model, mask_id=mask_id, special_ids=special_ids)


class Classified:
    """A classifier that answers and shows its attention."""

    def __init__(self, model: Classifier, *, mask_id: int, special_ids: frozenset[int]) -> None:
        self.model, self.mask_id, self.special_ids = model, mask_id, special_ids

    def predict(self, texts: Sequence[Ids]) -> Floats:
        """Class probabilities, `(texts, labels)`."""
        return np.stack(self._each(texts, lambda rows, ids, lengths: self._answer(ids, lengths)))

    def attention(self, texts: Sequence[Ids]) -> list[Floats]:
        """The weights of the pooling, or what each token received in the last layer."""

        def of(rows: list[int], ids: Tensor, lengths: Tensor) -> Tensor:
            with torch.no_grad():
                return _over_tokens(self.model(ids, lengths), lengths)

        weights = self._each(texts, of)
        return [w[:, : len(text)] for w, text in zip(weights, texts, strict=True)]

    def gradient(self, texts: Sequence[Ids]) -> list[Floats]:
        """`sum_d x_d * d log p(y) / d x_d` over a token's embedding x; y is the predicted class."""

        def of(rows: list[int], ids: Tensor, lengths: Tensor) -> Tensor:
            with _embedded(self.model, ids) as found:
                logits = self.model(ids, lengths).logits
            if not found:
                raise InputError(
                    f"{type(self.model).__name__} does not look its ids up in an nn.Embedding, so "
                    "there is no gradient x input to compare with"
                )
            answer = logits.log_softmax(-1).amax(-1).sum()
            (slope,) = torch.autograd.grad(answer, found)
            return (slope * found[0]).detach().sum(-1)

        slopes = self._each(texts, of)
        return [slope[: len(text)] for slope, text in zip(slopes, texts, strict=True)]

    def _answer(self, ids: Tensor, lengths: Tensor) -> Tensor:
        with torch.no_grad():
            probabilities: Tensor = self.model(ids, lengths).logits.double().softmax(-1)
            return probabilities

    def _each(
        self, texts: Sequence[Ids], of: Callable[[list[int], Tensor, Tensor], Tensor]
    ) -> list[Floats]:
        """`of(rows, ids, lengths)`, batch by batch, as one array per text in their own order."""
        device = next(self.model.parameters()).device
        results: list[Floats] = [np.empty(0)] * len(texts)
        # cuDNN has no backward pass for recurrent layers that are not training.
        with _evaluating(self.model), torch.backends.cudnn.flags(enabled=False):
            for rows in token_batches([len(text) for text in texts], max_tokens=16_384):
                ids, lengths = pad([texts[row] for row in rows])
                values = of(
                    rows,
                    torch.from_numpy(ids).to(device),
                    torch.from_numpy(lengths).to(device),
                )
                for row, value in zip(rows, values.double().numpy(force=True), strict=True):
                    results[row] = value
        return results


class PooledClassified(Classified):
    """A classifier that pools by attention, whose weights can be replaced."""

    def __init__(
        self,
        model: Classifier,
        pooling: AttentionPooling,
        *,
        mask_id: int,
        special_ids: frozenset[int],
    ) -> None:
        super().__init__(model, mask_id=mask_id, special_ids=special_ids)
        self.pooling = pooling

    def predict_with(self, texts: Sequence[Ids], weights: Sequence[Floats]) -> Floats:
        """Class probabilities if the pooling used these weights, `(heads, length)` each."""

        def of(rows: list[int], ids: Tensor, lengths: Tensor) -> Tensor:
            given = np.zeros((len(rows), len(weights[0]), ids.shape[1]))
            for place, row in zip(given, rows, strict=True):
                place[:, : len(texts[row])] = weights[row]
            with _pooled_by(self.pooling, torch.from_numpy(given).to(ids.device)):
                return self._answer(ids, lengths)

        return np.stack(self._each(texts, of))


def _over_tokens(output: Output, lengths: Tensor) -> Tensor:
    """How much each token was attended to, `(batch, heads, length)`."""
    maps = output.maps
    if maps.get("pooling"):
        return torch.as_tensor(maps["pooling"][-1][..., 0, :])
    if maps.get("encoder"):
        rows = maps["encoder"][-1].dense()
        real = torch.arange(rows.shape[-2], device=lengths.device) < lengths[:, None]
        received: Tensor = (rows * real[:, None, :, None]).sum(-2) / lengths[:, None, None]
        return received
    raise InputError(
        f"the model shows attention in {sorted(maps) or 'no place'}; "
        "expected 'pooling' or 'encoder'"
    )


@contextmanager
def _evaluating(model: nn.Module) -> Iterator[None]:
    """No dropout inside; what was training trains again afterwards."""
    training = [part for part in model.modules() if part.training]
    model.eval()
    try:
        yield
    finally:
        for part in training:
            part.training = True


@contextmanager
def _embedded(model: nn.Module, ids: Tensor) -> Iterator[list[Tensor]]:
    """The embeddings of `ids` as leaves of the graph, once the model has looked them up."""
    found: list[Tensor] = []

    def keep(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        if found or args[0].shape != ids.shape or not torch.equal(args[0], ids):
            return None
        found.append(output.detach().requires_grad_())
        return found[0]

    hooks = [
        part.register_forward_hook(keep)
        for part in model.modules()
        if isinstance(part, nn.Embedding)
    ]
    try:
        yield found
    finally:
        for hook in hooks:
            hook.remove()


@contextmanager
def _pooled_by(pooling: AttentionPooling, weights: Tensor) -> Iterator[None]:
    """The pooling mixes by `weights` `(batch, heads, length)` instead of its own."""

    def replace(module: nn.Module, args: tuple[Any, ...], output: Any) -> Any:
        sequence: Tensor = args[0]
        given = weights.to(sequence)
        return (given @ sequence).flatten(1), AttentionMap.from_dense(given[:, :, None])

    hook = pooling.register_forward_hook(replace)
    try:
        yield
    finally:
        hook.remove()
