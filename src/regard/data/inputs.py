"""Texts to answer, each with the row of the table that it stands in."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

from regard.data.columns import Texts
from regard.data.folders import documents_in
from regard.data.formats import delimited, records
from regard.data.lines import lines_of
from regard.data.options import ReadOptions
from regard.data.sniff import sniff
from regard.data.streams import FilePath, opened
from regard.data.table import is_lines, rows_of_cells, rows_of_records
from regard.data.values import text_in
from regard.errors import DataError

__all__ = ["Input", "read_inputs"]


class Input(NamedTuple):
    """A text and where it comes from.

    Args:
        text: to answer; sentences of a document are joined.
        row: the other values of its row by the names of their columns (`column1`, ... where they have none);
            of a line of plain text the line itself as `text`.
    """

    text: str
    row: dict[str, Any]


def read_inputs(path: FilePath | BinaryIO, columns: Texts, options: ReadOptions) -> Iterator[Input]:
    """Yield the texts of a file, as many as it has rows or lines, blank ones included.

    Args:
        path: of a file, a folder of texts, or an open stream, which is read as it comes.
        columns: where the text is, if the file is a table.
        options: encoding, separator and more.

    Raises:
        DataError: a line that cannot be used, or a table whose column of texts is not clear.
    """
    if isinstance(path, str | Path) and Path(path).is_dir():
        for name, _, content in documents_in(str(path), encoding=options.encoding, labelled=False):
            yield Input(content, {"file": name})
        return
    with opened(path) as file:
        if not file.head:
            return
        kind = sniff(file, options, lines_do=True)
        if is_lines(kind, file.name or "", columns, options):
            for _, content in lines_of(file, options.encoding):
                yield Input(content, {"text": content})
            return
        cells = kind.content in ("tsv", "csv")
        if cells:
            table = rows_of_cells(delimited(file, kind, options), columns, file.name, kind)
        else:
            table = rows_of_records(records(file, kind, options), columns, file.name)
        layout = table.layout
        named = layout.header or not cells
        names = [name if named else f"column{name}" for name in layout.names]
        for line, texts, _, row in table.rows:
            if not texts:
                yield Input("", dict.fromkeys(names) if cells else {})
                continue
            try:
                text = text_in(texts)
            except TypeError as error:
                raise DataError(str(error), path=file.name, line=line) from error
            joined = text if isinstance(text, str) else " ".join(text)
            yield Input(joined, dict(zip(names, row, strict=True)) if cells else row)
