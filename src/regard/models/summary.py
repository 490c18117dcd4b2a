"""Summary of a model as data and as a table: layers in order, shapes, parameters, where attention is."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Literal, TypeAlias

__all__ = ["AttentionSummary", "LayerSummary", "ModelSummary", "NamedShape"]

NamedShape: TypeAlias = tuple[int | str | None, ...]
"""Shape whose sizes are numbers, names of sizes that the input decides, or `None` for a size that follows
from the input in another way."""


@dataclass(frozen=True)
class AttentionSummary:
    """How a layer attends.

    Attributes:
        site: to its own positions, to those of a memory, or pooling of a sequence to one vector.
        heads: number of query heads.
        key_heads: number of key heads; fewer than `heads` where groups of heads share keys.
        score: how queries and keys are compared, with positions that act inside it; empty if it is not known.
        normalizer: from scores to weights.
        mask: what no query attended to in a padded batch: `"padding"`, `"causal"` for later positions,
            `"other positions"`; empty if every position was attended to.
    """

    site: Literal["self", "cross", "pooling"]
    heads: int
    key_heads: int
    score: str
    normalizer: str
    mask: tuple[str, ...]

    def __str__(self) -> str:
        site = "attention pooling" if self.site == "pooling" else f"{self.site}-attention"
        heads = f"{self.heads} {'head' if self.heads == 1 else 'heads'}"
        grouped = f"{self.key_heads} of keys" if self.key_heads != self.heads else ""
        masked = f"mask: {' and '.join(self.mask)}" if self.mask else "no mask"
        return ", ".join(filter(None, [site, heads, grouped, self.score, self.normalizer, masked]))


@dataclass(frozen=True)
class LayerSummary:
    """One row of a summary.

    Attributes:
        name: of the module, as in the state dict; of an input or a lone parameter, its own.
        kind: class of the module; `"Input"`, `"Parameter"` or `"Buffer"`.
        shapes: of its output, more than one where it is called on inputs of several shapes; empty if it did
            not run.
        parameters: number of parameters that no row above holds.
        trainable: those of them that training changes.
        buffers: numbers that are kept with the weights and are no parameters.
        size: bytes of parameters and buffers that no row above holds.
        shares: names of rows above that hold a parameter of this one, too.
        connected_to: names of the rows whose outputs it reads.
        attention: how it attends; `None` for a layer that does not.
    """

    name: str
    kind: str
    shapes: tuple[NamedShape, ...] = ()
    parameters: int = 0
    trainable: int = 0
    buffers: int = 0
    size: int = 0
    shares: tuple[str, ...] = ()
    connected_to: tuple[str, ...] = ()
    attention: AttentionSummary | None = None


@dataclass(frozen=True, repr=False)
class ModelSummary:
    """Layers of a model in the order in which they run, with totals; printed as a table.

    Parameters that several layers share are counted once, in the first of them. Dropout is not listed: it
    does nothing when the model answers.

    Attributes:
        title: what the model is.
        layers: one for each row.
    """

    title: str
    layers: tuple[LayerSummary, ...]

    @property
    def parameters(self) -> int:
        """Number of parameters."""
        return sum(layer.parameters for layer in self.layers)

    @property
    def trainable(self) -> int:
        """Number of parameters that training changes."""
        return sum(layer.trainable for layer in self.layers)

    @property
    def buffers(self) -> int:
        """Number of values that are kept with the weights and are no parameters."""
        return sum(layer.buffers for layer in self.layers)

    @property
    def size(self) -> int:
        """Bytes of parameters and buffers."""
        return sum(layer.size for layer in self.layers)

    def table(self, width: int = 120) -> str:
        """Rows and totals as text.

        Args:
            width: columns of the text; names that do not fit are broken.
        """
        return "\n".join([self.title, *_table(self.layers, width), *self._totals()])

    def _totals(self) -> Iterator[str]:
        yield f"Total parameters: {self.parameters:,}"
        yield f"Trainable parameters: {self.trainable:,}"
        yield f"Non-trainable parameters: {self.parameters - self.trainable:,}"
        if self.buffers:
            yield f"Values beside them that no gradient changes (buffers): {self.buffers:,}"
        yield f"Size: {_bytes(self.size)}"
        shared = [f"{row.name} (with {', '.join(row.shares)})" for row in self.layers if row.shares]
        if shared:
            yield f"Shared parameters, counted once: {', '.join(shared)}"

    def to_json(self) -> str:
        """JSON object for other programs."""
        totals = {
            "parameters": self.parameters,
            "trainable": self.trainable,
            "buffers": self.buffers,
            "bytes": self.size,
        }
        content: dict[str, Any] = {**asdict(self), **totals}
        return json.dumps(content, ensure_ascii=False, indent=1)

    def __str__(self) -> str:
        return self.table()

    def __repr__(self) -> str:  # the prompt and a notebook show the table
        return self.table()


_HEADINGS = ("Layer (type)", "Output shape", "Parameters", "Connected to", "Attention")
_NARROWEST = 12


def _cells(row: LayerSummary) -> tuple[str, ...]:
    shapes = " ".join(_shape(shape) for shape in row.shapes) or "did not run"
    values = f"{row.parameters:,}" + (f" + {row.buffers:,} buffers" if row.buffers else "")
    attention = "" if row.attention is None else str(row.attention)
    return f"{row.name} ({row.kind})", shapes, values, ", ".join(row.connected_to), attention


def _shape(shape: NamedShape) -> str:
    inside = ", ".join(map(str, shape))
    return f"({inside},)" if len(shape) == 1 else f"({inside})"


def _table(rows: Sequence[LayerSummary], width: int) -> Iterator[str]:
    cells = [_HEADINGS, *map(_cells, rows)]
    used = [column for column in range(len(_HEADINGS)) if any(row[column] for row in cells[1:])]
    widths = _widths([[row[column] for row in cells] for column in used], width)
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    yield rule
    for number, row in enumerate(cells):
        broken = [_wrap(row[column], size) for column, size in zip(used, widths, strict=True)]
        for line in range(max(map(len, broken))):
            parts = [lines[line] if line < len(lines) else "" for lines in broken]
            padded = [
                part.rjust(size) if _HEADINGS[column] == "Parameters" else part.ljust(size)
                for part, size, column in zip(parts, widths, used, strict=True)
            ]
            yield "  ".join(padded).rstrip()
        if number == 0:
            yield rule
    yield rule


def _wrap(text: str, width: int) -> list[str]:
    """Lines of at most `width` columns, broken at spaces and after the dots of names where possible."""
    lines = [""]
    for piece in re.findall(r"[^ .]*[ .]?", text):
        if len((lines[-1] + piece).rstrip()) > width and lines[-1]:
            lines.append("")
        lines[-1] += piece
        while len(lines[-1].rstrip()) > width:
            lines[-1:] = [lines[-1][:width], lines[-1][width:]]
    return [line.rstrip() for line in lines]


def _widths(columns: Sequence[Sequence[str]], width: int) -> list[int]:
    """Widths of the columns: what they need, the widest ones narrowed until all fit."""
    widths = [max(map(len, column)) for column in columns]
    while sum(widths) + 2 * (len(widths) - 1) > width and max(widths) > _NARROWEST:
        widths[widths.index(max(widths))] -= 1
    return widths


def _bytes(count: int) -> str:
    """Number of bytes for people.

    >>> _bytes(512), _bytes(3_300_000)
    ('512 bytes', '3.3 MB')
    """
    for unit, name in ((10**9, "GB"), (10**6, "MB"), (10**3, "kB")):
        if count >= unit:
            return f"{count / unit:.1f} {name}"
    return f"{count} bytes"
