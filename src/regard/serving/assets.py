"""Files of the web app, served under their paths in this package.

Modules import each other by relative paths. Those hold in the browser as they do in the source tree,
because addresses are paths: `/assets/serving/page/main.js` imports `../../viewing/page/dom.js`.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files

from fastapi.responses import Response

__all__ = ["NAMES", "response"]

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


def response(name: str) -> Response:
    """The response with a file of `NAMES`."""
    kind = name.rsplit(".", 1)[1]
    return Response(_content(name), media_type=_TYPES[kind], headers={"cache-control": "no-cache"})


@cache
def _content(name: str) -> bytes:
    return _PACKAGE.joinpath(name).read_bytes()
