"""Contract of modules whose answers can be explained, and attention reduced to one weight per token."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.errors import InputError
from regard.layers.pooling import AttentionPooling
from regard.text import BOS, EOS, PAD, UNK

__all__ = ["Explainable", "recorded_lookups", "token_attention"]


class Explainable(nn.Module):
    """Module whose answers can be explained by attention, gradients and linear contributions.

    Explanations use this contract, so they need to know no model by name. The defaults suit every
    module that looks its ids up in embeddings and returns attention maps.
    """

    #: Id that replaces a masked token.
    mask_id: int = UNK
    #: Ids of tokens that are not part of the text; they are never erased.
    special_ids: frozenset[int] = frozenset({PAD, BOS, EOS})

    @property
    def pools_by_attention(self) -> bool:
        """`True` if the module has attention pooling, whose weights `replaced_pooling` can replace."""
        return any(isinstance(part, AttentionPooling) for part in self.modules())

    def linear_contributions(self, ids: Tensor, lengths: Tensor) -> Tensor | None:
        """Split the logits of a part without embeddings among the tokens.

        Gradient x input needs embeddings. A linear part without them (n-grams) has an exact answer
        instead: its logits are sums over tokens.

        Args:
            ids: `(batch, length)`.
            lengths: `(batch,)`.

        Returns:
            `(batch, length, labels)`, or `None` if every part looks its ids up in embeddings.
        """
        return None

    #: Whether `trust` compares its attention with integrated gradients and occlusion, too.
    compares_rivals: bool = False

    def embedding_lookups(
        self, ids: Tensor, *, at: Tensor | None = None
    ) -> AbstractContextManager[list[tuple[Tensor, Tensor]]]:
        """Record each embedding lookup of `ids` `(batch, length)` in the block: see `recorded_lookups`."""
        parts = [part for part in self.modules() if isinstance(part, nn.Embedding)]
        return recorded_lookups(parts, ids, lambda looked_up: looked_up != PAD, at=at)

    def token_attention(
        self, maps: Mapping[str, Sequence[AttentionMap]], lengths: Tensor
    ) -> Tensor:
        """Reduce the maps of a forward pass to one weight per token.

        By default the function `token_attention`.
        """
        return token_attention(maps, lengths)


@contextmanager
def recorded_lookups(
    embeddings: Sequence[nn.Module],
    ids: Tensor,
    is_real: Callable[[Tensor], Tensor],
    *,
    at: Tensor | None = None,
) -> Iterator[list[tuple[Tensor, Tensor]]]:
    """Record each lookup of `ids` in the block: where real tokens are, and their vectors.

    The vectors become leaves of the graph, so that gradients can be taken with respect to them. A
    model may rearrange the tokens (a sentence in each row) if their order stays, and may look them up
    several times (an ensemble).

    Args:
        embeddings: the modules that look ids up.
        ids: `(batch, length)`, as these modules are given them.
        is_real: marks the ids of a lookup that are not padding.
        at: vectors `(batch, length, width)` in the place of those that are looked up.
    """
    lookups: list[tuple[Tensor, Tensor]] = []
    tokens = ids[is_real(ids)]

    def record(module: nn.Module, args: tuple[Any, ...], output: Tensor) -> Tensor | None:
        real = is_real(args[0])
        if not torch.equal(args[0][real], tokens):
            return None
        vectors = output if at is None else at
        lookups.append((real, vectors.detach().requires_grad_()))
        return lookups[-1][1]

    hooks = [part.register_forward_hook(record) for part in embeddings]
    try:
        yield lookups
    finally:
        for hook in hooks:
            hook.remove()


def token_attention(maps: Mapping[str, Sequence[AttentionMap]], lengths: Tensor) -> Tensor:
    """Reduce maps to one weight per token, by the last attention on the way to the answer.

    * Pooling: its weights. The poolings of an ensemble are concatenated along the heads.
    * Hierarchical pooling: the weight of a token in its sentence times that of the sentence.
    * Self-attention only: the mean weight that each token receives in the last layer, of each member of
      an ensemble.

    Args:
        maps: `Output.maps`.
        lengths: `(batch,)`.

    Returns:
        `(batch, heads, length)`.

    Raises:
        InputError: the maps have neither `"pooling"`, `"words"` nor `"encoder"`.
    """
    if maps.get("pooling"):
        return torch.cat([pooling[..., 0, :] for pooling in maps["pooling"]], 1)
    if maps.get("words"):
        levels = zip(maps["sentences"], maps["words"], strict=True)
        parts = [inner.rmatmul(outer.dense().mT)[..., 0] for outer, inner in levels]
        return torch.cat(parts, 1)
    if maps.get("encoder"):
        last = {layer.member: layer for layer in maps["encoder"]}  # of each member
        # Rows of the padding attend too. They are left out as a vector, so that no matrix is made.
        length = maps["encoder"][-1].shape[-2]
        real = torch.arange(length, device=lengths.device) < lengths[:, None]
        marks = real[:, None, :, None].float()
        received = torch.cat([layer.rmatmul(marks)[..., 0] for layer in last.values()], 1)
        return received / lengths[:, None, None]
    raise InputError(
        f"the model returns maps of {sorted(maps) or 'no attention'}; "
        "expected 'pooling', 'words' or 'encoder'"
    )
