"""Masked language model: a Transformer encoder that finds masked words from the words on both sides."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from regard.models.classifiers.settings import TransformerClassifierSettings
from regard.models.classifiers.transformer import TransformerTextEncoder
from regard.models.contracts import Output
from regard.models.explaining import Explainable
from regard.models.settings import MaskedSettings, ModelSettings
from regard.text import BOS, EOS, PAD, UNK

__all__ = ["SHARED_SETTINGS", "MaskedLanguageModel", "mask_tokens"]

SHARED_SETTINGS = ("embedding", "layers", "self_attention_heads", "feedforward", "positions")
"""Settings that a `transformer-classifier` has in common with the model whose encoder it begins with."""


class MaskedLanguageModel(Explainable):
    r"""Encoder with a distribution over the vocabulary at every position (Devlin et al. 2019, "BERT").

    .. math:: p(w \mid \text{text}) = \mathrm{softmax}(E\, \mathrm{norm}(\mathrm{gelu}(W h + b)) + c)

    with the state :math:`h` of a position and the embeddings :math:`E` of the words. Unlike in BERT the layers
    are pre-normalised, which trains without a long warm-up; positions are rotary, since added ones drown the
    vectors of words, which are small to serve as output layer, too; and there are no segment embeddings: a text
    is read alone.

    `reader` is the encoder of a `transformer-classifier`, which can begin with it.
    """

    def __init__(self, settings: MaskedSettings) -> None:
        super().__init__()
        self.settings: ModelSettings = settings
        self.mask_id: int = settings.size - 1
        shared = {name: getattr(settings, name) for name in (*SHARED_SETTINGS, "size", "dropout")}
        encoder = TransformerClassifierSettings(labels=2, head="first", word_dropout=0.0, **shared)
        self.reader: TransformerTextEncoder = TransformerTextEncoder(encoder)
        width = settings.embedding
        self.transform: nn.Sequential = nn.Sequential(
            nn.Linear(width, width), nn.GELU(), nn.LayerNorm(width)
        )
        self.output: nn.Linear = nn.Linear(width, settings.size)
        nn.init.zeros_(self.output.bias)
        self.output.weight = self.reader.embedding.embedding.weight

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """Logits `(batch, length, size)` of the word at every position; maps under `"encoder"`."""
        states, maps = self.reader.states(ids, lengths)
        return Output(self.output(self.transform(states)), {"encoder": maps})

    def logits_at(self, ids: Tensor, lengths: Tensor, chosen: Tensor) -> Tensor:
        """Logits `(positions, size)` at chosen positions, Boolean `(batch, length)`, alone."""
        states, _ = self.reader.states(ids, lengths)
        logits: Tensor = self.output(self.transform(states[chosen]))
        return logits

    def encoder_state(self) -> Mapping[str, Tensor]:
        """State of the encoder, as a text encoder of the same settings takes it."""
        return self.reader.state_dict()


def mask_tokens(
    ids: Tensor, mask_id: int, *, share: float = 0.15, generator: torch.Generator | None = None
) -> tuple[Tensor, Tensor]:
    """Choose words to be found, and change most of them (Devlin et al. 2019, section 3.1).

    Each word is chosen with probability `share`; of those chosen 80 % become `[MASK]`, 10 % another word of the
    vocabulary, and 10 % stay. Marks and padding are never chosen, unknown words only where a batch has no
    others. At least one word of a batch is.

    Args:
        ids: `(batch, length)`, on the CPU.
        mask_id: of `[MASK]`, the last id of the vocabulary.
        share: of the words.
        generator: of the random numbers; torch's own unless given.

    Returns:
        The changed ids, and which words were chosen, Boolean.
    """
    words = (ids != PAD) & (ids != BOS) & (ids != EOS)
    known = words & (ids != UNK)
    words = known if bool(known.any()) else words
    draw = torch.rand(ids.shape, generator=generator)
    chosen = words & (draw < share)
    if not bool(chosen.any()):
        chosen = words & (draw == torch.where(words, draw, 2.0).min())
    how = torch.rand(ids.shape, generator=generator)
    others = torch.randint(EOS + 1, max(mask_id, EOS + 2), ids.shape, generator=generator)
    changed = torch.where(chosen & (how < 0.8), mask_id, ids)
    return torch.where(chosen & (how >= 0.9), others, changed), chosen
