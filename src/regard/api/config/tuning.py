"""Settings of fine-tuning: the pretrained model, and which of its weights are trained."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from regard.choices import Tune
from regard.settings import Settings

__all__ = ["TuningSettings"]


class TuningSettings(Settings):
    """Settings of a model that is fine-tuned, beside those of its training."""

    title: ClassVar[str] = "tuning"

    tune: Tune
    base: str
    """The pretrained model, as the user named it."""
    base_weights: str
    """SHA-256 of its weights."""
    pooling: Literal["auto", "mean", "head"] = "auto"
    """What a classifier reads of a text: the mean of all states, or what its architecture reads, mostly the
    state of the first token. `auto`: the mean, where the architecture has it and there is no head yet."""
    rank: Annotated[int, Field(ge=1)] = 8
    r"""Rank :math:`r` of the changes :math:`\frac{\alpha}{r} B A` of LoRA (Hu et al. 2022)."""
    scaling: Annotated[float, Field(gt=0)] = 16.0
    r"""Their :math:`\alpha`."""
    adapter_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout of what LoRA's matrices read."""
