"""Where cross-attention is read as word alignment: at which decoder step, in which layer and head.

A decoder step takes one target token as its input and predicts the next one as its output, so each
target token meets the source twice (Chen et al. 2020)::

    step      0      1      2      3
    input    BOS    the    cat    sat
    output   the    cat    sat    EOS

Read at `"output"`, the default, the row of "cat" is step 1, the one that wrote it; read at `"input"`, it
is step 2.
"""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from regard.choices import Reading
from regard.errors import InputError
from regard.settings import Settings

__all__ = [
    "DECODER_INPUT",
    "READINGS",
    "AlignmentSettings",
    "Reading",
    "check_reading",
    "describe_reading",
]

READINGS: tuple[Reading, ...] = ("output", "input")
"""Both readings, the default first."""

DECODER_INPUT = "decoder input"
"""Name of a record's axis of the tokens that the decoder read, where `"target"` are those that it wrote."""


def check_reading(reading: Reading) -> Reading:
    """Return the reading.

    Raises:
        InputError: another value.
    """
    if reading not in READINGS:
        raise InputError(
            f"reading {reading!r}; expected 'output' (the step that writes a token) or 'input' (the one "
            "that reads it)"
        )
    return reading


def describe_reading(reading: Reading) -> str:
    """Name the step in words, for the caption of a record.

    >>> describe_reading("output")
    "at the step where the target token is the decoder's output"

    Raises:
        InputError: another value.
    """
    return f"at the step where the target token is the decoder's {check_reading(reading)}"


class AlignmentSettings(Settings):
    """The cross-attention that says where a word looked.

    >>> print(AlignmentSettings(layer=2).describe(layers=3, heads=4))
    at the step where the target token is the decoder's output, layer 2, mean of heads
    """

    title: ClassVar[str] = "alignment"

    reading: Reading = "output"
    """The decoder step whose attention a target token is given."""
    layer: Annotated[int, Field(ge=1)] | None = None
    """Decoder layer, from 1; `None` is the mean of all layers."""
    head: Annotated[int, Field(ge=1)] | None = None
    """Head, from 1; `None` is the mean of all heads."""

    def describe(self, layers: int, heads: int) -> str:
        """Name step, layer and head in words, for the caption of a record.

        Args:
            layers: of the model; of one, nothing is said.
            heads: of each layer; of one, nothing is said.
        """
        parts = [describe_reading(self.reading)]
        if layers > 1:
            parts.append("mean of layers" if self.layer is None else f"layer {self.layer}")
        if heads > 1:
            parts.append("mean of heads" if self.head is None else f"head {self.head}")
        return ", ".join(parts)
