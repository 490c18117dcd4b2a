"""How files are read, whatever is in them."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field

from regard.settings import Settings

__all__ = ["Format", "Reading"]

Format = Literal["tsv", "csv", "jsonl", "parquet"]


class Reading(Settings):
    """Settings all readers share.

    Args:
        encoding: of text files.
        format: of tables; `None` goes by the file's ending.
        separator: between the columns of a line of text; `None` is a tab in TSV and a comma in
            CSV. A space splits only at the first one, as in `label the text`.
        max_characters: longest text taken as it is, counted over all sentences of a document.
        over_long: what happens to longer ones: `"skip"` leaves the example out, `"cut"` keeps its
            beginning. Both are counted in the report.
        in_memory: bytes of text kept in memory; a larger corpus goes to a file and is mapped.
        cache: folder for that file; `None` is the system's folder for temporary files. The file
            goes when its corpus does.
    """

    title: ClassVar[str] = "reading"

    encoding: str = "utf-8"
    format: Format | None = None
    separator: Annotated[str | None, Field(min_length=1)] = None
    max_characters: Annotated[int | None, Field(ge=1)] = None
    over_long: Literal["skip", "cut"] = "skip"
    in_memory: int = 2**28
    cache: str | None = None
