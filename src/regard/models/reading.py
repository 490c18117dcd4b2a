"""The two decoder steps at which cross-attention is read as word alignment (Chen et al. 2020).

A decoder step takes one target token as its input and predicts the next one as its output, so each
target token meets the source twice::

    step      0      1      2      3
    input    BOS    the    cat    sat
    output   the    cat    sat    EOS

Read at `"input"`, the row of "cat" is step 2; read at `"output"`, it is step 1.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = ["READINGS", "Reading", "describe_reading"]

Reading: TypeAlias = Literal["input", "output"]
"""The step whose attention a target token is given: where it is the decoder's input, or its output."""

READINGS: tuple[Reading, ...] = ("input", "output")


def describe_reading(reading: Reading) -> str:
    """Name the step in words, for the caption of a record.

    >>> describe_reading("input")
    "at the step where the target token is the decoder's input"
    """
    return f"at the step where the target token is the decoder's {reading}"
