"""Files of the web app, served under their paths in this package.

Modules import each other by relative paths. Those hold in the browser as they do in the source tree,
because addresses are paths: `/assets/serving/page/main.js` imports `../../viewing/page/dom.js`.
"""

from __future__ import annotations

from importlib.resources import files

from fastapi.responses import Response

__all__ = ["NAMES", "read", "response"]

_TYPES = {
    "html": "text/html; charset=utf-8",
    "css": "text/css; charset=utf-8",
    "js": "text/javascript; charset=utf-8",
}
_PACKAGE = files("regard")


def _names() -> frozenset[str]:
    own = (file.name for file in _PACKAGE.joinpath("serving/page").iterdir())
    shared = ("dom.js", "scores.js", "page.css")  # of the page of a record
    return frozenset(
        [f"serving/page/{name}" for name in own if name.rsplit(".", 1)[-1] in _TYPES]
        + [f"viewing/page/{name}" for name in shared]
    )


NAMES = _names()
"""Every file that is served; a name from the network must be one of them."""


def read() -> dict[str, bytes]:
    """Contents of `NAMES`, read all at once: an upgrade under a running server mixes nothing."""
    return {name: _PACKAGE.joinpath(name).read_bytes() for name in NAMES}


def response(name: str, content: bytes) -> Response:
    """The response with a file."""
    kind = name.rsplit(".", 1)[1]
    return Response(content, media_type=_TYPES[kind], headers={"cache-control": "no-cache"})
