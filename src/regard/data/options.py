"""How files are read, whatever is in them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from regard.errors import SettingsError, nearest

__all__ = ["Format", "Reading"]

Format = Literal["tsv", "csv", "jsonl", "parquet"]


@dataclass(frozen=True)
class Reading:
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

    encoding: str = "utf-8"
    format: Format | None = None
    separator: str | None = None
    max_characters: int | None = None
    over_long: Literal["skip", "cut"] = "skip"
    in_memory: int = 2**28
    cache: str | None = None

    def __post_init__(self) -> None:
        if self.format is not None and self.format not in get_args(Format):
            known = get_args(Format)
            raise SettingsError(f"unknown format {self.format!r}; {nearest(self.format, known)}")
        if self.over_long not in ("skip", "cut"):
            raise SettingsError(f"over_long is {self.over_long!r}, expected 'skip' or 'cut'")
        if self.max_characters is not None and self.max_characters < 1:
            raise SettingsError(f"max_characters is {self.max_characters}, expected 1 or more")
        if self.separator == "":
            raise SettingsError("an empty separator, expected a character such as a tab or ';'")
