"""Settings of the classifiers."""
# pyright: reportIncompatibleVariableOverride=false
# Each kind narrows `kind` to its name. Instances are frozen, which pyright cannot see in `model_config`.

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from regard.models.settings import ModelSettings, Rate, Size, configure, register

__all__ = [
    "BigruSettings",
    "ClassifierSettings",
    "CnnSettings",
    "FeedForwardSettings",
    "HierarchicalSettings",
    "TransformerClassifierSettings",
    "WideSettings",
]

Values = Mapping[str, Any]


class ClassifierSettings(ModelSettings):
    """Base class of the settings of classifiers."""

    size: Size  # of the vocabulary
    labels: Annotated[int, Field(ge=2)]
    embedding: Size = 100
    dropout: Rate = 0.5  # of embeddings and of the pooled vector
    word_dropout: Rate = 0.1  # tokens replaced by UNK, in training
    heads: Size = 1  # of the pooling
    members: Size = 1  # networks of the ensemble, each trained by its own loss


class FeedForwardSettings(ClassifierSettings):
    """Embedding and attention pooling: feed-forward attention (Raffel and Ellis 2016)."""

    kind: Literal["feedforward"] = "feedforward"
    heads: Size = 2

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"embedding": 50},
        "small": {},
        "base": {"embedding": 300, "heads": 4},
    }


class BigruSettings(ClassifierSettings):
    """Embedding, bidirectional GRU, attention pooling (Zhou et al. 2016, with a GRU)."""

    kind: Literal["bigru"] = "bigru"
    width: Size = 64  # of each direction
    layers: Size = 1

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"embedding": 50, "width": 32},
        "small": {"members": 3, "word_dropout": 0.2},
        "base": {"embedding": 200, "width": 128, "layers": 2, "members": 3, "word_dropout": 0.2},
    }


class CnnSettings(ClassifierSettings):
    """Embedding, convolution (Kim 2014), self-attention, attention pooling."""

    kind: Literal["cnn"] = "cnn"
    width: Size = 50  # filters of each window
    windows: tuple[Size, ...] = (1, 2, 3)  # widths of the filters, in tokens
    self_attention_heads: Size = 2
    max_pooling: bool = False  # also the maximum of each filter over the text (Kim 2014)

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"embedding": 50, "width": 32, "windows": (3,)},
        "small": {"members": 3, "word_dropout": 0.2},
        "base": {
            "embedding": 200,
            "width": 100,
            "windows": (1, 2, 3, 4),
            "self_attention_heads": 4,
            "max_pooling": True,
            "members": 3,
            "word_dropout": 0.2,
        },
    }

    @model_validator(mode="after")
    def _fits(self) -> CnnSettings:
        width = self.width * len(self.windows)
        if not self.windows or width % self.self_attention_heads:
            raise ValueError(
                f"{len(self.windows)} windows of {self.width} filters make {width}, which does not "
                f"divide by self_attention_heads={self.self_attention_heads}; "
                f"try width={self.self_attention_heads * 16}"
            )
        return self


class TransformerClassifierSettings(ClassifierSettings):
    """Transformer encoder (Vaswani et al. 2017) with a head on its pooled or its first state."""

    kind: Literal["transformer-classifier"] = "transformer-classifier"
    head: Literal["pooled", "first"] = "pooled"
    marks: bool = (
        False  # texts are read between [CLS] and [SEP]; the last id of the vocabulary is [MASK]
    )
    embedding: Size = 128  # and of every layer
    layers: Size = 2
    self_attention_heads: Size = 4
    feedforward: Size = 256
    dropout: Rate = 0.3
    positions: Literal["sinusoidal", "rotary"] = "sinusoidal"

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"embedding": 64, "layers": 1, "feedforward": 128},
        "small": {},
        "base": {
            "embedding": 256,
            "layers": 4,
            "self_attention_heads": 8,
            "feedforward": 1024,
        },
    }

    @model_validator(mode="after")
    def _fits(self) -> TransformerClassifierSettings:
        heads = self.self_attention_heads
        if self.embedding % heads:
            raise ValueError(
                f"embedding={self.embedding} does not divide by self_attention_heads={heads}; "
                f"try embedding={-(-self.embedding // heads) * heads}"
            )
        return self


class HierarchicalSettings(ClassifierSettings):
    """Attention pooling of words to sentences and of sentences to a document (Yang et al. 2016)."""

    kind: Literal["hierarchical"] = "hierarchical"
    width: Size = 50  # of each direction of both encoders
    max_sentence_length: Size = 60  # tokens; longer sentences are cut in parts

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"embedding": 50, "width": 32},
        "small": {},
        "base": {"embedding": 200, "width": 100},
    }


class WideSettings(ClassifierSettings):
    """Linear n-gram classifier beside a deep one (wide and deep learning, Cheng et al. 2016)."""

    kind: Literal["wide"] = "wide"
    deep: Literal["feedforward", "bigru", "cnn", "transformer-classifier", "hierarchical"] = (
        "feedforward"
    )
    deep_preset: Literal["tiny", "small", "base"] = "small"
    deep_weight: Annotated[float, Field(ge=0.0)] = 0.5  # of the deep part's logits in the sum
    # Bounded, since memory and time of every answer grow with them and no tensor shows them.
    words: Annotated[int, Field(ge=1, le=64)] = 2  # words of the longest n-gram
    skip_bigrams: Annotated[int, Field(ge=0, le=64)] = 0  # words that a pair may leave out
    lead_pairs: Annotated[int, Field(ge=0, le=1024)] = (
        0  # how many first words are paired with each later one
    )
    max_ngrams: Size = 200_000  # n-grams kept, those of most texts
    loss: Literal["logistic", "hinge"] = "logistic"  # of the n-gram classifier; hinge is squared
    penalty: Annotated[float, Field(gt=0.0)] = 0.5  # L2, on the weights of the n-grams
    alphabet_size: Annotated[int, Field(ge=0)] = 0  # characters of all ids; found in the data
    ngrams: Annotated[int, Field(ge=0)] = 0  # n-grams kept; found in the data

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"deep_preset": "tiny"},
        "small": {},
        "base": {"deep_preset": "base", "members": 3},
    }

    def of_deep(self) -> ModelSettings:
        """Make the settings of the deep part."""
        shared = {name: getattr(self, name) for name in ("size", "labels", *_SHARED)}
        return configure(self.deep, self.deep_preset, **shared)


_SHARED = ("dropout", "word_dropout", "members")

register(FeedForwardSettings, "regard.models.classifiers.feedforward:FeedForward")
register(BigruSettings, "regard.models.classifiers.bigru:Bigru")
register(CnnSettings, "regard.models.classifiers.cnn:Cnn")
register(
    TransformerClassifierSettings, "regard.models.classifiers.transformer:TransformerClassifier"
)
register(HierarchicalSettings, "regard.models.classifiers.hierarchical:Hierarchical")
register(WideSettings, "regard.models.classifiers.wide_and_deep:WideAndDeep")
