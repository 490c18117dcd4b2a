"""Options for reading files of any format."""

from __future__ import annotations

from typing import Annotated, ClassVar

from pydantic import Field, field_validator

from regard.choices import OverLong, TableFormat
from regard.settings import Settings

__all__ = ["ReadOptions"]


class ReadOptions(Settings):
    """Options shared by all readers.

    Args:
        encoding: of text files.
        format: of tables; `None` goes by the file's content, and by its ending where that leaves a
            choice. `"tsv"` takes quotes as plain characters, `"csv"` as quotes.
        separator: between the columns of a line of text; `None` is a tab in TSV and a comma in
            CSV, or what the file shows. A space splits only at the first one, as in `label the text`;
            `"tab"` is a tab.
        escape: sign before a quote inside a quoted cell of CSV, such as a backslash; `None` for
            doubled quotes, unless the file shows backslashes.
        max_characters: longest text accepted unchanged, summed over the sentences of a document.
        over_long: `"skip"` leaves longer examples out, `"cut"` keeps their beginning. The report
            counts both.
        in_memory: bytes of text kept in memory; a larger corpus is written to a file and memory-mapped.
        cache: folder for that file; `None` is the system's folder for temporary files. The file has
            no name there: nothing is left of it, however the process ends.
    """

    title: ClassVar[str] = "read options"

    encoding: str = "utf-8"
    format: TableFormat | None = None
    separator: Annotated[str | None, Field(min_length=1)] = None
    escape: Annotated[str | None, Field(min_length=1, max_length=1)] = None
    max_characters: Annotated[int | None, Field(ge=1)] = None
    over_long: OverLong = "skip"
    in_memory: int = 2**28
    cache: str | None = None

    @field_validator("separator")
    @classmethod
    def _tab(cls, separator: str | None) -> str | None:
        """A tab is hard to type in a shell, so it has a name."""
        return "\t" if separator is not None and separator.lower() in ("tab", "\\t") else separator

    @field_validator("separator", "escape")
    @classmethod
    def _inside_a_line(cls, sign: str | None) -> str | None:
        if sign is not None and not {*sign}.isdisjoint('\n\r"'):
            raise ValueError(f"{sign!r} cannot stand between the columns of a line")
        return sign
