"""Options for reading files of any format."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field

from regard.choices import OverLong, TableFormat
from regard.settings import Settings

__all__ = ["ReadOptions"]


class ReadOptions(Settings):
    """Options shared by all readers.

    Args:
        encoding: of text files.
        format: of tables; `None` goes by the file's ending.
        separator: between the columns of a line of text; `None` is a tab in TSV and a comma in
            CSV. A space splits only at the first one, as in `label the text`.
        max_characters: longest text accepted unchanged, summed over the sentences of a document.
        over_long: `"skip"` leaves longer examples out, `"cut"` keeps their beginning. The report
            counts both.
        in_memory: bytes of text kept in memory; a larger corpus is written to a file and memory-mapped.
        cache: folder for that file; `None` is the system's folder for temporary files. The file is
            removed with its corpus.
    """

    title: ClassVar[str] = "read options"

    encoding: str = "utf-8"
    format: TableFormat | None = None
    separator: Annotated[str | None, Field(min_length=1)] = None
    max_characters: Annotated[int | None, Field(ge=1)] = None
    over_long: OverLong = "skip"
    in_memory: int = 2**28
    cache: str | None = None
