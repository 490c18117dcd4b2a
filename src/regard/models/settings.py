"""Settings of every kind of model, with presets of three sizes.

>>> configure("transformer", preset="tiny", source_size=8000, target_size=8000).width
128
"""
# pyright: reportIncompatibleVariableOverride=false
# Each kind narrows `kind` to its name. Instances are frozen, which pyright cannot see in `model_config`.

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from regard.errors import SettingsError, nearest
from regard.settings import Settings

__all__ = [
    "FROM_DATA",
    "KINDS",
    "ExtractiveSettings",
    "LmSettings",
    "MaskedSettings",
    "ModelSettings",
    "PointerSettings",
    "RnnSettings",
    "TransformerSettings",
    "configure",
    "from_config",
    "register",
]

Size = Annotated[int, Field(ge=1)]
Rate = Annotated[float, Field(ge=0.0, lt=1.0)]
Values = Mapping[str, Any]


class ModelSettings(Settings):
    """Base class of the settings of a model, as `config.json` holds them; `kind` names the model."""

    presets: ClassVar[Mapping[str, Values]] = {}

    kind: str

    title: ClassVar[str] = "model"

    @classmethod
    def __pydantic_init_subclass__(cls, **options: Any) -> None:
        cls.title = cls.model_fields["kind"].default


class TransformerSettings(ModelSettings):
    """Transformer encoder-decoder (Vaswani et al. 2017)."""

    kind: Literal["transformer"] = "transformer"
    source_size: Size  # size of the source vocabulary
    target_size: Size
    joint: bool = False  # one vocabulary and one embedding for both languages
    tied: bool = True  # the output projection is the target embedding (Press and Wolf 2017)
    width: Size = 256
    heads: Size = 4
    feedforward: Size = 1024
    encoder_layers: Size = 4
    decoder_layers: Size = 4
    norm: Literal["pre", "post"] = "pre"
    activation: Literal["relu", "gelu"] = "relu"
    positions: Literal["sinusoidal", "learned", "rotary", "alibi", "relative"] = "sinusoidal"
    max_length: Size = 1024  # of learned positions only; the others have no limit
    dropout: Rate = 0.1  # embeddings, feed-forward and residual branches
    attention_dropout: Rate = 0.0  # of attention weights

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"width": 128, "feedforward": 256, "encoder_layers": 2, "decoder_layers": 2},
        "small": {"width": 256, "feedforward": 512, "encoder_layers": 3, "decoder_layers": 3},
        "base": {
            "width": 512,
            "heads": 8,
            "feedforward": 2048,
            "encoder_layers": 6,
            "decoder_layers": 6,
        },
    }

    @model_validator(mode="after")
    def _fits(self) -> TransformerSettings:
        _divides(self.width, self.heads)
        _same_vocabulary(self.joint, self.source_size, self.target_size)
        return self


class RnnSettings(ModelSettings):
    """Recurrent encoder-decoder with attention (Bahdanau et al. 2015; Luong et al. 2015)."""

    kind: Literal["rnn"] = "rnn"
    source_size: Size
    target_size: Size
    joint: bool = False
    tied: bool = True
    cell: Literal["gru", "lstm"] = "gru"
    score: Literal["additive", "dot", "general", "concat"] = "additive"
    input_feeding: bool = True  # the attentional vector is an input of the next step
    embedding: Size = 256
    width: Size = 256  # of the decoder and of each direction of the encoder
    encoder_layers: Size = 1
    decoder_layers: Size = 1
    dropout: Rate = 0.3
    word_dropout: Rate = 0.0  # of whole embeddings (Gal and Ghahramani 2016)

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"embedding": 64, "width": 128, "dropout": 0.1},
        "small": {},
        "base": {"embedding": 512, "width": 512, "encoder_layers": 2, "decoder_layers": 2},
    }

    @model_validator(mode="after")
    def _fits(self) -> RnnSettings:
        _same_vocabulary(self.joint, self.source_size, self.target_size)
        return self


class PointerSettings(ModelSettings):
    """Pointer-generator with coverage (See et al. 2017); source and target share one vocabulary."""

    kind: Literal["pointer"] = "pointer"
    size: Size  # of the vocabulary; ids from `size` on are unknown words of one source
    tied: bool = True
    cell: Literal["gru", "lstm"] = "lstm"
    embedding: Size = 128
    width: Size = 256
    coverage: Annotated[float, Field(ge=0.0)] = 1.0  # weight of the coverage loss; 0 = no coverage
    dropout: Rate = 0.2

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"embedding": 64, "width": 128},
        "small": {},
        "base": {"embedding": 256, "width": 512},
    }


class LmSettings(ModelSettings):
    """Decoder-only language model with rotary positions."""

    kind: Literal["lm"] = "lm"
    size: Size
    tied: bool = True
    width: Size = 256
    heads: Size = 4
    key_heads: Size | None = None  # fewer than `heads`: grouped or multi-query attention
    feedforward: Size = 1024
    layers: Size = 4
    dropout: Rate = 0.1
    attention_dropout: Rate = 0.0

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"width": 128, "feedforward": 256, "layers": 2},
        "small": {},
        "base": {"width": 512, "heads": 8, "feedforward": 2048, "layers": 8},
    }

    @model_validator(mode="after")
    def _fits(self) -> LmSettings:
        _divides(self.width, self.heads)
        _divides(self.heads, self.key_heads or self.heads, what="heads", by="key_heads")
        return self


class MaskedSettings(ModelSettings):
    """Masked language model: a Transformer encoder that finds words from both sides (Devlin et al. 2019)."""

    kind: Literal["masked"] = "masked"
    size: Size  # of the vocabulary; the last id is [MASK]
    embedding: Size = 256  # and of every layer
    layers: Size = 4
    self_attention_heads: Size = 4
    feedforward: Size = 1024
    positions: Literal["sinusoidal", "rotary"] = "rotary"
    dropout: Rate = 0.1

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"embedding": 128, "layers": 2, "feedforward": 256},
        "small": {},
        "base": {"embedding": 512, "layers": 8, "self_attention_heads": 8, "feedforward": 2048},
    }

    @model_validator(mode="after")
    def _fits(self) -> MaskedSettings:
        _divides(
            self.embedding, self.self_attention_heads, what="embedding", by="self_attention_heads"
        )
        return self


class ExtractiveSettings(ModelSettings):
    """Extractive summariser: attention over sentences selects them."""

    kind: Literal["extractive"] = "extractive"
    size: Size  # of the vocabulary
    embedding: Size = 128
    width: Size = 128  # of each direction of both encoders
    max_positions: Size = 64  # sentence positions with a bias; later sentences share the last
    dropout: Rate = 0.3

    presets: ClassVar[Mapping[str, Values]] = {
        "tiny": {"embedding": 64, "width": 64},
        "small": {},
        "base": {"embedding": 256, "width": 256},
    }


def _divides(whole: int, parts: int, *, what: str = "width", by: str = "heads") -> None:
    if whole % parts:
        raise ValueError(
            f"{what}={whole} does not divide by {by}={parts}; "
            f"try {what}={-(-whole // parts) * parts} or another {by}"
        )


def _same_vocabulary(joint: bool, source: int, target: int) -> None:
    if joint and source != target:
        raise ValueError(
            f"joint=true shares one embedding, but the source vocabulary has {source} rows and the "
            f"target's {target}; learn one tokenizer from both sides or set joint=false"
        )


FROM_DATA = frozenset({"size", "source_size", "target_size", "labels"})
"""Settings that follow from the training data: rows of vocabularies, number of labels."""

KINDS: dict[str, tuple[type[ModelSettings], str]] = {}
"""Settings of each kind of model, and where its class is, as `"package.module:Class"`."""


def register(settings: type[ModelSettings], module: str) -> None:
    """Add a kind of model for `configure`, `from_config` and `build`.

    Args:
        settings: class of its settings; the default of their `kind` is the name.
        module: class of the model, as `"package.module:Class"`, imported on first use. It takes the
            settings as its only argument.
    """
    KINDS[settings.model_fields["kind"].default] = (settings, module)


register(TransformerSettings, "regard.models.transformer:Transformer")
register(RnnSettings, "regard.models.recurrent_encoder_decoder:RecurrentEncoderDecoder")
register(PointerSettings, "regard.models.pointer_generator:PointerGenerator")
register(ExtractiveSettings, "regard.models.extractive:SentenceExtractor")
register(LmSettings, "regard.models.language_model:TransformerLanguageModel")
register(MaskedSettings, "regard.models.masked_language_model:MaskedLanguageModel")


def configure(kind: str, preset: str = "small", **values: Any) -> ModelSettings:
    """Make the settings of a kind from a preset and single values.

    Args:
        kind: `"transformer"`, `"rnn"`, ... (the keys of `KINDS`).
        preset: `"tiny"`, `"small"` or `"base"`.
        **values: settings by name, instead of those of the preset; text from a command line is
            converted.

    Raises:
        SettingsError: an unknown kind, preset or name (with the nearest known one), or a value that
            is not allowed.
    """
    settings = _settings_of(kind)
    if preset not in settings.presets:
        raise SettingsError(f"no preset {preset!r} for {kind}; {nearest(preset, settings.presets)}")
    return settings(**{**settings.presets[preset], **values})


def from_config(config: Values) -> ModelSettings:
    """Make settings from what `settings.model_dump()` returned, as `config.json` holds it.

    Raises:
        SettingsError: an unknown kind or name, or a value that is not allowed.
    """
    return _settings_of(str(config.get("kind")))(**config)


def _settings_of(kind: str) -> type[ModelSettings]:
    if kind not in KINDS:
        raise SettingsError(f"no model kind {kind!r}; {nearest(kind, KINDS)}")
    return KINDS[kind][0]
