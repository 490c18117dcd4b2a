"""How to train, as one frozen object."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["TrainingSettings"]


class TrainingSettings(BaseModel):
    """Everything `fit` needs to know beside the model and its data."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    epochs: int = Field(10, ge=1)
    steps: int | None = Field(None, ge=1)
    """Updates to make instead of `epochs`; epochs then repeat as often as needed."""
    minutes: float | None = Field(None, gt=0)
    """Stop after this long, validated and saved; the schedule does not know of it."""

    batch_tokens: int = Field(4096, ge=1)
    """Tokens in a batch, padding included, over all processes together."""
    accumulate: int = Field(1, ge=1)
    """Batches per update; the gradient is the mean over the tokens of all of them."""

    learning_rate: float = Field(1e-3, gt=0)
    """The highest rate of the schedule."""
    schedule: Literal["inverse_sqrt", "linear", "cosine", "constant"] = "inverse_sqrt"
    warmup: int = Field(400, ge=0)
    """Updates during which the rate grows linearly from nothing."""
    weight_decay: float = Field(0.01, ge=0)
    """On matrices only; never on biases, gains or embeddings."""
    beta2: float = Field(0.98, gt=0, lt=1)
    clip: float = Field(1.0, ge=0)
    """The largest norm of the gradient of the mean loss; 0 leaves it alone."""
    label_smoothing: float = Field(0.0, ge=0, lt=1)
    ema: float = Field(0.0, ge=0, lt=1)
    """Decay of the moving average of the weights that is validated and kept; 0 for none."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` is bfloat16 where the processor multiplies it in hardware."""

    metric: str = "loss"
    """The validation number that decides which weights are best."""
    patience: int = Field(0, ge=0)
    """Stop after this many validations without a better one; 0 for never."""
    validate_every: int | None = Field(None, ge=1)
    """Updates between validations; `None` for once per epoch."""
    save_seconds: float = Field(60.0, ge=0)
    """How much work an abrupt end may cost; also saved at each validation."""
    log_every: int = Field(20, ge=1)
    """Updates that one line of the history sums up."""
    tensorboard: bool = False
    seed: int = Field(1, ge=0)
