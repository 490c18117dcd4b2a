"""Settings of training."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from regard.settings import Settings

__all__ = ["TrainingSettings"]


class TrainingSettings(Settings):
    """Settings of `fit`: everything beside the model and its data."""

    title: ClassVar[str] = "training"

    epochs: Annotated[int, Field(ge=1)] = 10
    steps: Annotated[int | None, Field(ge=1)] = None
    """Updates to make instead of `epochs`; epochs then repeat as often as needed."""
    minutes: Annotated[float | None, Field(gt=0)] = None
    """Training time after which the run stops, validated and saved; the schedule ignores it."""

    batch_tokens: Annotated[int, Field(ge=1)] = 4096
    """Tokens in a batch, padding included, over all processes together."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches per update; the gradient is the mean over the tokens of all of them."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """Highest learning rate of the schedule."""
    schedule: Literal["inverse_sqrt", "linear", "cosine", "constant"] = "inverse_sqrt"
    warmup: Annotated[int, Field(ge=0)] = 400
    """Updates over which the learning rate rises linearly from 0."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """On matrices only; never on biases, gains or embeddings."""
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.98
    clip: Annotated[float, Field(ge=0)] = 1.0
    """Largest norm of the gradient of the mean loss; 0 does not clip."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the weights, which is validated and kept; 0 for none."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` is bfloat16 where the processor multiplies it in hardware."""

    metric: str = "loss"
    """Validation metric that decides which weights are best."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Validations without a better one after which the run stops; 0 for never."""
    validate_every: Annotated[int | None, Field(ge=1)] = None
    """Updates between validations; `None` for once per epoch."""
    save_seconds: Annotated[float, Field(ge=0)] = 60.0
    """Seconds between saves, which is the work an abrupt end may cost; also saved at each validation."""
    log_every: Annotated[int, Field(ge=1)] = 20
    """Updates in one training record."""
    sharded: bool = False
    """Whether each of several processes holds only its part of weights, gradients and moments (FSDP)."""
    tensorboard: bool = False
    """Whether to write the history to `out/tensorboard` as well."""
    seed: Annotated[int, Field(ge=0)] = 1
