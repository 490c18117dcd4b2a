"""Values that users choose by name, apart from anything that is slow to import.

The command line shows these choices in its help, which loads nothing heavy.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

__all__ = [
    "EngineName",
    "ExportFormat",
    "FirstIndex",
    "OverLong",
    "Precision",
    "Preset",
    "RareLabels",
    "Reading",
    "TableFormat",
    "Task",
    "Tune",
]

Task: TypeAlias = Literal["translation", "classification", "summarization", "language"]
"""Task of a model."""

Preset: TypeAlias = Literal["tiny", "small", "base"]
"""Size of a model."""

TableFormat: TypeAlias = Literal["tsv", "csv", "jsonl", "parquet", "fasttext"]
"""Format of a table."""

EngineName: TypeAlias = Literal["ray"]
"""Where the shards of a corpus are worked on, if not in this process."""

Tune: TypeAlias = Literal["frozen", "full", "lora"]
"""Which weights of a pretrained model are trained: a solved head alone, all, or low-rank changes."""

OverLong: TypeAlias = Literal["skip", "cut"]
"""Treatment of texts longer than allowed: leave the example out, or keep the beginning."""

Precision: TypeAlias = Literal["float32", "bfloat16", "int8"]
"""Precision of the matrix products with which a model answers; everything between them is float32."""

RareLabels: TypeAlias = Literal["error", "skip", "keep"]
"""Treatment of labels that occur once in training: raise an error, leave their examples out, or keep them."""

Reading: TypeAlias = Literal["output", "input"]
"""Decoder step whose cross-attention a target token has: the one that writes it, or the one that reads it."""

ExportFormat: TypeAlias = Literal["onnx", "ctranslate2", "torch"]
"""Format of another runtime that a model can be exported to."""

FirstIndex: TypeAlias = Literal[0, 1]
"""Number of the first word of a sentence in a file of word links."""
