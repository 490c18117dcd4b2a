"""The files of the web page, by name; names from the network choose among them and nothing else."""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi.responses import Response

from regard.viewing import page

__all__ = ["NAMES", "response"]

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}
_OWN = frozenset(
    {
        "index.html",
        "docs.html",
        "serve.css",
        "main.js",
        "pane.js",
        "written.js",
        "classified.js",
        "words.js",
        "client.js",
        "address.js",
        "theme.js",
        "docs.js",
    }
)
_SHARED = frozenset({"dom.js", "view.css"})
"""Of the viewing page: how elements are made, and what everything looks like."""

NAMES = _OWN | _SHARED


def response(name: str) -> Response:
    """One file."""
    kind = name.rsplit(".", 1)[1]
    return Response(_content(name), media_type=_TYPES[kind], headers={"cache-control": "no-cache"})


@cache
def _content(name: str) -> bytes:
    if name == "view.css":
        return page.style().encode()
    room = page.__name__ if name in _SHARED else f"{__package__}.page"
    return files(room).joinpath(name).read_bytes()
