"""The two decoder steps at which cross-attention is read as word alignment (Chen et al. 2020).

A decoder step takes one target token as its input and predicts the next one as its output, so each
target token meets the source twice::

    step      0      1      2      3
    input    BOS    the    cat    sat
    output   the    cat    sat    EOS

Read at `"output"`, the default, the row of "cat" is step 1, the one that wrote it; read at `"input"`, it
is step 2.
"""

from __future__ import annotations

from regard.choices import Reading
from regard.errors import InputError

__all__ = ["DECODER_INPUT", "READINGS", "Reading", "check_reading", "describe_reading"]

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
