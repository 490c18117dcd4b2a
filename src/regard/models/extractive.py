"""Attention over sentences that selects them, for extractive summarisation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from regard.attention import AttentionMap
from regard.layers import BahdanauAttention, Dropout
from regard.layers.pooling import AttentionPooling
from regard.models.building_blocks import Embedding, padding_mask
from regard.models.contracts import Output
from regard.models.explaining import Explainable
from regard.models.recurrent_layers import BidirectionalRnn
from regard.models.settings import ExtractiveSettings

__all__ = ["SentenceExtractor"]


class SentenceExtractor(Explainable):
    r"""Hierarchical encoder whose document vector attends to the sentences; the weights are the selection.

    A BiGRU with attention pooling encodes each sentence and a second BiGRU the sequence of sentences,
    as in hierarchical attention (Yang et al. 2016). The document vector :math:`d`, the mean of the
    sentence states :math:`h_i`, is the query of an additive attention over them, whose weights are the
    probabilities of the sentences (a pointer network, Vinyals et al. 2015):

    .. math:: p(i) = \mathrm{softmax}_i(v^\top \tanh(W d + U h_i) + b_{\mathrm{position}(i)})

    Train it by cross entropy against the sentence, or the distribution over sentences, that resembles
    the reference most. `place` holds the biases b; its name is a key of saved weights.
    """

    def __init__(self, settings: ExtractiveSettings) -> None:
        super().__init__()
        self.settings = settings
        width = 2 * settings.width
        self.embedding: Embedding = Embedding(settings.size, settings.embedding)
        self.dropout: Dropout = Dropout(settings.dropout)
        self.words: BidirectionalRnn = BidirectionalRnn("gru", settings.embedding, settings.width)
        self.pooling: AttentionPooling = AttentionPooling(width)
        self.sentences: BidirectionalRnn = BidirectionalRnn("gru", width, settings.width)
        self.choice: BahdanauAttention = BahdanauAttention(width, width)
        self.place: nn.Parameter = nn.Parameter(torch.zeros(settings.max_positions))

    def forward(self, ids: Tensor, lengths: Tensor) -> Output:
        """Score all sentences.

        Args:
            ids: `(batch, sentences, words)`, padded on the right in both dimensions.
            lengths: `(batch, sentences)`, words in each sentence; 0 where there is no sentence.

        Returns:
            Logits `(batch, sentences)`, -inf where there is no sentence; maps under `"words"`
            `(batch * sentences, 1, 1, words)` and `"sentences"` `(batch, 1, sentences)`, the document
            being the only query.
        """
        batch, count, size = ids.shape
        real = lengths > 0
        flat = lengths.flatten().clamp_min(1)
        states, _ = self.words(self.dropout(self.embedding(ids.flatten(0, 1))), flat)
        pooled, words = self.pooling(states, padding_mask(lengths.flatten(), size))
        vectors = self.dropout(pooled.view(batch, count, -1))
        states, _ = self.sentences(vectors, real.sum(1))
        document = (states * real[..., None]).sum(1, keepdim=True) / real.sum(1)[:, None, None]
        logits = self._logits(document, states, real)
        weights = AttentionMap.from_dense(logits.softmax(-1)[:, None])
        return Output(logits, {"words": [words], "sentences": [weights]})

    def _logits(self, document: Tensor, states: Tensor, real: Tensor) -> Tensor:
        query, keys = (
            self.choice.project_query(document),
            self.choice.project_keys(self.dropout(states)),
        )
        scores = torch.tanh(query + keys) @ self.choice.vector
        position = torch.arange(states.shape[1], device=states.device)
        scores = scores + self.place[position.clamp_max(len(self.place) - 1)]
        wide = torch.promote_types(scores.dtype, torch.float32)
        return scores.to(wide).masked_fill(~real, -torch.inf)

    def token_attention(
        self, maps: Mapping[str, Sequence[AttentionMap]], lengths: Tensor
    ) -> Tensor:
        """Weights of the words within each sentence, `(batch, 1, sentences, words)`."""
        rows: Tensor = maps["words"][0].dense()  # (batch * sentences, 1, 1, words)
        return rows.view(*lengths.shape, 1, -1).transpose(1, 2)

    @staticmethod
    def best_sentences(output: Output, count: int) -> list[list[int]]:
        """Select the `count` best sentences of each document, in document order."""
        best = output.logits.topk(min(count, output.logits.shape[1])).indices
        kept = output.logits.isfinite().gather(1, best)
        return [sorted(row[real].tolist()) for row, real in zip(best, kept, strict=True)]
