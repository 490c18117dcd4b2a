"""The record that users hold: plain data with the verbs `show`, `save` and `load`.

A model, an `AttentionMap` or another library makes a record once. Terminal, figure, page and notebook show
that one record, and it travels as one file::

    record = AttentionRecord.of(weights, "the cat sat".split())
    record.show()
    record.save("cat.html")

`data/record.py` holds the data. The views take that `Record` and know nothing of this class, so that views
and data do not depend on each other.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Self

from regard.viewing.data.record import Record

__all__ = ["AttentionRecord"]


class AttentionRecord(Record):
    """Attention of a model, ready to be shown, saved and loaded.

    `Record` documents the data: `tokens`, `tracks`, `title`, `reading`, `notes`, `verdict`, `prediction`,
    `explanation`. Printed, it says in a few lines what it holds; `show` draws it.
    """

    def __str__(self) -> str:
        from regard.viewing import outline

        return outline.outline(self)

    def show(self, **options: Any) -> None:
        """Print the record to the terminal, or display the interactive view in a notebook.

        Options go to `regard.viewing.terminal.show`.
        """
        from regard.viewing import notebook, terminal

        if not options and notebook.in_notebook():
            notebook.display(self)
        else:
            terminal.show(self, **options)

    def save(self, path: str | Path, **options: Any) -> Path:
        """Write `.npz` (to load again), `.html` (interactive), `.png`, `.svg` or `.pdf`.

        Options of pictures go to `regard.viewing.figure.draw`.
        """
        from regard.viewing import save

        return save.save(self, Path(path), options)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a record that `save("x.npz")` wrote."""
        from regard.viewing import save

        return save.load(Path(path), cls)

    def _repr_html_(self) -> str:
        """The interactive page inside a frame, which survives export of a notebook."""
        from regard.viewing import page

        return page.frame(self)
