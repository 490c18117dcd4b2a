"""Steering of answers: prefixes they must begin with, and tokens masked out of attention."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import Tensor

from regard.errors import InputError
from regard.text import Encoding

__all__ = ["OnTextDraft", "Steering", "check_prefix", "positions_mask"]

OnTextDraft: TypeAlias = Callable[[int, str], None]
"""Called while answers are written, with the index of a text and the draft of its answer so far."""


@dataclass(frozen=True)
class Steering:
    """Interventions on how some texts are answered, and a callback for the drafts.

    Args:
        prefix: for each text, the words its answer must begin with.
        masked_out: for each text, the positions of its tokens that attention is knocked out from.
        on_draft: called with each answer as it is written; in beam search a later draft may take
            words back.
    """

    prefix: Sequence[str] | None = None
    masked_out: Sequence[Sequence[int]] | None = None
    on_draft: OnTextDraft | None = None

    def of_nonempty(self, texts: Sequence[str]) -> Steering:
        """Steering of the texts that are not blank, which are the only ones to be decoded.

        Raises:
            InputError: not one prefix, or one list of positions, for each text.
        """
        for name, values in (("prefix", self.prefix), ("masked_out", self.masked_out)):
            if values is not None and len(values) != len(texts):
                raise InputError(f"{len(values)} of {name} for {len(texts)} texts; give one each")
        filled = [index for index, text in enumerate(texts) if text.strip()]
        prefix, masked_out, on_draft = self.prefix, self.masked_out, self.on_draft
        return Steering(
            None if prefix is None else [prefix[index] for index in filled],
            None if masked_out is None else [masked_out[index] for index in filled],
            None if on_draft is None else lambda row, draft: on_draft(filled[row], draft),
        )


def check_prefix(prefix: Encoding, longest: int) -> None:
    """Check a prefix, which is fed to the decoder token by token.

    Raises:
        InputError: it has more than `longest` tokens.
    """
    if len(prefix) > longest:
        raise InputError(
            f"a prefix of {len(prefix):,} tokens ({prefix.text[:30]!r}...); the model was made for "
            f"{longest:,} (max_tokens): give a shorter one"
        )


def positions_mask(
    ids: Tensor, lengths: Tensor, positions: Sequence[Sequence[int]] | None
) -> Tensor | None:
    """Boolean `(batch, keys)`, `True` at the positions; `None` where there are none."""
    if positions is None or not any(positions):
        return None
    mask = torch.zeros_like(ids, dtype=torch.bool)
    for row, (length, of_text) in enumerate(zip(lengths.tolist(), positions, strict=True)):
        for position in of_text:
            if not 0 <= position < length:
                raise InputError(
                    f"token {position} of a text of {length} cannot be masked out; count from 0"
                )
            mask[row, position] = True
    return mask
