"""The heads of a model as one HTML file that needs nothing else, with an example text for each head."""

from __future__ import annotations

import html as markup
from string import Template
from typing import Any

from regard.viewing.colors import palette
from regard.viewing.data.grid import GridCell, HeadGrid
from regard.viewing.data.record import Record
from regard.viewing.page import asset, digest, inert, script, style
from regard.viewing.page.pack import pack
from regard.viewing.printable import printable

__all__ = ["grid_html"]

_BASE = "html, body { margin: 0; }\n"


def grid_html(grid: HeadGrid) -> str:
    """The page of a grid, ready to be written to a file."""
    packed = [[pack(record) for record in records] for records in grid.examples]
    chunks = "\n".join(
        f'<script type="application/octet-stream" id="chunk-{example}-{panel}-{name}">{data}</script>'
        for example, records in enumerate(packed)
        for panel, record in enumerate(records)
        for name, data in record.chunks.items()
    )
    metadata = {
        "title": printable(grid.title),
        "facts": [printable(fact) for fact in grid.facts],
        "legend": [vars(entry) for entry in grid.legend],
        "cells": [_cell(cell, grid) for cell in grid.cells],
        "beside": grid.beside,
        "examples": [[record.metadata for record in records] for records in packed],
        "captions": [printable(each) if each else "" for each in grid.captions],
        "palettes": {theme: palette(theme).tobytes().hex() for theme in ("light", "dark")},
    }
    code, css = script("grid_page"), _BASE + style() + asset("grid.css")
    return Template(asset("grid.html")).substitute(
        title=markup.escape(grid.title),
        metadata=inert(metadata),
        chunks=chunks,
        script=code,
        style=css,
        script_hash=digest(code),
        style_hash=digest(css),
    )


def _cell(cell: GridCell, grid: HeadGrid) -> dict[str, Any]:
    """A cell as JSON, with where its example shows it."""
    records = () if cell.example is None else grid.examples[cell.example]
    return {
        **vars(cell),
        "name": cell.name,
        "facts": [vars(fact) for fact in cell.facts],
        "shown": [_shown(cell, record) for record in records],
    }


def _shown(cell: GridCell, record: Record) -> dict[str, int] | None:
    """The map of a cell in a record: index of its track and of its head; `None` if it is not there."""
    for index, track in enumerate(record.tracks):
        if track.name == cell.site and track.layer == cell.layer - 1:
            return {"layer": index, "head": cell.head - 1} if cell.head <= track.heads else None
    return None
