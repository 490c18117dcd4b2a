"""Settings of decoding."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from regard.settings import Settings

__all__ = ["DecodingSettings"]

Count = Annotated[int, Field(ge=1)]


class DecodingSettings(Settings):
    """Settings of `decode` and `generate`. Lengths count tokens before EOS."""

    title: ClassVar[str] = "decoding"

    method: Literal["greedy", "beam", "sample"] = "beam"
    beam: Count = 5
    n_best: Count = 1  # hypotheses returned per example; the number of samples when sampling
    length_penalty: Annotated[float, Field(ge=0.0)] = 1.0  # alpha of Wu et al. 2016
    min_length: Annotated[int, Field(ge=0)] = 0  # shorter only where blocking leaves no token
    max_length: Count | None = None  # None: twice the source length plus 20
    block_ngrams: Annotated[int, Field(ge=0)] = 0  # no n-gram of this size twice; 0 = allowed
    block_unknown: bool = False  # never produce UNK
    # Replace UNK by the unknown source word attended to most; None: if tokens are words.
    replace_unknown: bool | None = None
    temperature: Annotated[float, Field(gt=0.0)] = 1.0
    top_k: Annotated[int, Field(ge=0)] = 0  # sample from the k likeliest tokens; 0 = from all
    top_p: Annotated[float, Field(gt=0.0, le=1.0)] = 1.0  # sample from the nucleus of this mass
    seed: int = 0
    # Hypotheses in one batch; more is faster as long as memory allows. 1 decodes each example by itself:
    # the same answer, bit for bit, whatever else is decoded.
    rows: Count = 850

    @model_validator(mode="after")
    def _fits(self) -> DecodingSettings:
        if self.method == "beam" and self.n_best > self.beam:
            raise ValueError(f"n_best={self.n_best} of beam={self.beam}; try beam={self.n_best}")
        if self.method == "greedy" and self.n_best > 1:
            raise ValueError(
                f"greedy decoding has one answer, n_best={self.n_best}; try method='beam'"
            )
        if self.max_length is not None and self.min_length > self.max_length:
            raise ValueError(f"min_length={self.min_length} exceeds max_length={self.max_length}")
        return self
