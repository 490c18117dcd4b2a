"""A `regard` classifier as something `trust` can question."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from regard.data import pad, token_batches
from regard.errors import InputError
from regard.evaluation.faithfulness.measures import Floats, Ids
from regard.evaluation.faithfulness.metrics import Explained
from regard.layers.intervene import replaced_pooling
from regard.layers.pooling import AttentionPooling
from regard.models import Classifier, Output
from regard.models.classifiers.wide_and_deep import WideAndDeep
from regard.text import BOS, EOS, PAD, UNK

__all__ = ["Classified", "PooledClassified", "explained"]


def explained(
    model: Classifier,
    *,
    mask_id: int = UNK,
    special_ids: frozenset[int] = frozenset({PAD, BOS, EOS}),
    several: bool = False,
) -> Explained:
    """Wrap a classifier, so that its attention can also be replaced if it pools by attention.

    Args:
        model: with the maps of its attention in its output.
        mask_id: stands in for a masked token.
        special_ids: tokens that are not the text's own and are never erased.
        several: whether a text may have several labels: each logit is a yes or no of its own.

    Raises:
        InputError: the model shows no attention over its tokens (when asked).
    """
    pools = any(isinstance(part, AttentionPooling) for part in model.modules())
    kind = PooledClassified if pools else Classified
    return kind(model, mask_id=mask_id, special_ids=special_ids, several=several)


class Classified:
    """A classifier that answers and shows its attention."""

    def __init__(
        self,
        model: nn.Module,
        *,
        mask_id: int = UNK,
        special_ids: frozenset[int] = frozenset({PAD, BOS, EOS}),
        several: bool = False,
    ) -> None:
        self.model, self.mask_id, self.special_ids = model, mask_id, special_ids
        self.several = several

    def predict(self, texts: Sequence[Ids]) -> Floats:
        """Probabilities, `(texts, labels)`: of classes, or of each label that may apply."""
        return np.stack(self._each(texts, lambda rows, ids, lengths: self._answer(ids, lengths)))

    def attention(self, texts: Sequence[Ids]) -> list[Floats]:
        """The weights of the pooling, or what each token received in the last layer."""

        def of(rows: list[int], ids: Tensor, lengths: Tensor) -> Tensor:
            with torch.no_grad():
                return self._over_tokens(self.model(ids, lengths), lengths)

        weights = self._each(texts, of)
        return [self._along(row, text) for row, text in zip(weights, texts, strict=True)]

    def gradient(self, texts: Sequence[Ids]) -> list[Floats]:
        """`sum_d x_d * d log p(y) / d x_d` over a token's embedding x; y is the likeliest label."""

        def of(rows: list[int], ids: Tensor, lengths: Tensor) -> Tensor:
            with _embedded(self.model, ids) as found:
                logits = self.model(ids, lengths).logits
            if not found:
                raise InputError(
                    f"{type(self.model).__name__} does not look its ids up in an nn.Embedding, so "
                    "there is no gradient x input to compare with"
                )
            logs = nn.functional.logsigmoid(logits) if self.several else logits.log_softmax(-1)
            answer = logs.amax(-1).sum()
            slopes = torch.autograd.grad(answer, [vectors for _, vectors in found])
            total = torch.zeros(ids.shape, dtype=logits.dtype, device=ids.device)
            for (real, vectors), slope in zip(found, slopes, strict=True):
                total[ids != PAD] += (slope * vectors).detach().sum(-1)[real]
            return total + self._linear(ids, lengths, logits.detach())

        slopes = self._each(texts, of)
        return [self._along(slope, text) for slope, text in zip(slopes, texts, strict=True)]

    def _linear(self, ids: Tensor, lengths: Tensor, logits: Tensor) -> Tensor | float:
        """The same for n-grams, whose logits are sums over tokens and have no embedding."""
        if not isinstance(self.model, WideAndDeep):
            return 0.0
        shares = self.model.wide.contributions(ids, lengths)
        answer = nn.functional.one_hot(logits.argmax(-1), logits.shape[-1])
        # d log p(y) / d logits: of the likeliest label alone where each is a yes or no.
        fall = answer * (1 - logits.sigmoid()) if self.several else answer - logits.softmax(-1)
        linear: Tensor = (shares * fall[:, None]).sum(-1)
        return linear

    def _answer(self, ids: Tensor, lengths: Tensor) -> Tensor:
        with torch.no_grad():
            logits: Tensor = self.model(ids, lengths).logits.double()
            return logits.sigmoid() if self.several else logits.softmax(-1)

    # How texts lie in a batch

    def _lay(self, texts: Sequence[Ids]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Ids and lengths as the model takes them."""
        return pad(texts)

    def _along(self, values: Floats, text: Ids) -> Floats:
        """Back from one row of a batch to the tokens of its text."""
        return values[..., : len(text)]

    def _over_tokens(self, output: Output, lengths: Tensor) -> Tensor:
        return _over_tokens(output, lengths)

    def _each(
        self, texts: Sequence[Ids], of: Callable[[list[int], Tensor, Tensor], Tensor]
    ) -> list[Floats]:
        """`of(rows, ids, lengths)`, batch by batch, as one array per text in their own order."""
        device = next(self.model.parameters()).device
        results: list[Floats] = [np.empty(0)] * len(texts)
        # cuDNN has no backward pass for recurrent layers that are not training.
        with _evaluating(self.model), torch.backends.cudnn.flags(enabled=False):
            for rows in token_batches([len(text) for text in texts], max_tokens=16_384):
                ids, lengths = self._lay([texts[row] for row in rows])
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

    def predict_with(self, texts: Sequence[Ids], weights: Sequence[Floats]) -> Floats:
        """Class probabilities if the pooling used these weights, `(heads, length)` each."""

        def of(rows: list[int], ids: Tensor, lengths: Tensor) -> Tensor:
            given = np.zeros((len(rows), len(weights[0]), ids.shape[1]))
            for place, row in zip(given, rows, strict=True):
                place[:, : len(texts[row])] = weights[row]
            with replaced_pooling(self.model, torch.from_numpy(given).to(ids.device)):
                return self._answer(ids, lengths)

        return np.stack(self._each(texts, of))


def _over_tokens(output: Output, lengths: Tensor) -> Tensor:
    """How much each token was attended to, `(batch, heads, length)`."""
    maps = output.maps
    if maps.get("pooling"):
        return torch.cat([pooling[..., 0, :] for pooling in maps["pooling"]], 1)
    if maps.get("words"):  # of a sentence, times the sentence's of the document
        levels = zip(maps["sentences"], maps["words"], strict=True)
        return torch.cat([(outer.dense() @ inner.dense())[:, :, 0] for outer, inner in levels], 1)
    if maps.get("encoder"):
        rows = maps["encoder"][-1].dense()
        real = torch.arange(rows.shape[-2], device=lengths.device) < lengths[:, None]
        received: Tensor = (rows * real[:, None, :, None]).sum(-2) / lengths[:, None, None]
        return received
    raise InputError(
        f"the model shows attention in {sorted(maps) or 'no place'}; "
        "expected 'pooling', 'words' or 'encoder'"
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
def _embedded(model: nn.Module, ids: Tensor) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Each look-up of the tokens of `ids`: which places are tokens, and the vectors, as leaves.

    Models may lay the tokens out anew (a sentence a row), as long as their order stays, and several
    networks that vote look them up several times.
    """
    found: list[tuple[Tensor, Tensor]] = []
    tokens = ids[ids != PAD]

    def keep(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        real = args[0] != PAD
        if not torch.equal(args[0][real], tokens):
            return None
        found.append((real, output.detach().requires_grad_()))
        return found[-1][1]

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
