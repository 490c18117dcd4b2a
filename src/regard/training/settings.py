"""How to train, as one frozen object."""

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
    """Stop after this long, validated and saved; the schedule does not know of it."""

    batch_tokens: Annotated[int, Field(ge=1)] = 4096
    """Tokens in a batch, padding included, over all processes together."""
    accumulate: Annotated[int, Field(ge=1)] = 1
    """Batches per update; the gradient is the mean over the tokens of all of them."""

    learning_rate: Annotated[float, Field(gt=0)] = 1e-3
    """The highest rate of the schedule."""
    schedule: Literal["inverse_sqrt", "linear", "cosine", "constant"] = "inverse_sqrt"
    warmup: Annotated[int, Field(ge=0)] = 400
    """Updates during which the rate grows linearly from nothing."""
    weight_decay: Annotated[float, Field(ge=0)] = 0.01
    """On matrices only; never on biases, gains or embeddings."""
    beta2: Annotated[float, Field(gt=0, lt=1)] = 0.98
    clip: Annotated[float, Field(ge=0)] = 1.0
    """The largest norm of the gradient of the mean loss; 0 leaves it alone."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    ema: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Decay of the moving average of the weights that is validated and kept; 0 for none."""
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    """`auto` is bfloat16 where the processor multiplies it in hardware."""

    metric: str = "loss"
    """The validation number that decides which weights are best."""
    patience: Annotated[int, Field(ge=0)] = 0
    """Stop after this many validations without a better one; 0 for never."""
    validate_every: Annotated[int | None, Field(ge=1)] = None
    """Updates between validations; `None` for once per epoch."""
    save_seconds: Annotated[float, Field(ge=0)] = 60.0
    """How much work an abrupt end may cost; also saved at each validation."""
    log_every: Annotated[int, Field(ge=1)] = 20
    """Updates that one line of the history sums up."""
    tensorboard: bool = False
    """Also write the history to `out/tensorboard`."""
    seed: Annotated[int, Field(ge=0)] = 1
