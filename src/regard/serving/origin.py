"""Who sent a request, and to whom: hosts, origins of pages, addresses of clients."""

from __future__ import annotations

import ipaddress
from collections.abc import Mapping
from urllib.parse import urlsplit

from regard.serving.errors import foreign_host, foreign_page

__all__ = ["check_host", "check_origin", "client_of", "is_loopback"]

Headers = Mapping[bytes, bytes]

_NO_DOCUMENT = (b"iframe", b"frame", b"object", b"embed")


def is_loopback(host: str) -> bool:
    """True for names of this machine only: `localhost`, or an address such as 127.0.0.1."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def check_host(headers: Headers) -> None:
    """Check that a request is addressed to a name of this machine.

    That stops DNS rebinding: a foreign page cannot reach a server on loopback under a name that
    resolves to it.

    Raises:
        RequestError: 421.
    """
    host = headers.get(b"host", b"").decode("latin-1")
    name = host if host.endswith("]") else host.rsplit(":", 1)[0]
    bare = name[1:-1] if name.startswith("[") else name  # IPv6 addresses come in brackets
    if not is_loopback(bare):
        raise foreign_host(host)


def check_origin(method: str, headers: Headers) -> None:
    """Check that no page of another origin sent a request (cross-site request forgery).

    Browsers say it themselves: in `Sec-Fetch-Site` (Fetch Metadata, W3C), older ones and those that met the
    server without TLS in `Origin`, which must then name the host that is asked. Programs send neither, and
    pass. A link from elsewhere may open a page here; nothing else may be fetched from elsewhere, because
    even an answer that the other page cannot read takes the models' time.

    Raises:
        RequestError: 403, with the header that told.
    """
    site = headers.get(b"sec-fetch-site", b"").strip().lower()
    reads = method in ("GET", "HEAD")
    if site:
        mode, target = (headers.get(b"sec-fetch-" + name) for name in (b"mode", b"dest"))
        opens = mode in (None, b"navigate") and target not in _NO_DOCUMENT
        if site not in (b"same-origin", b"none") and not (reads and opens):
            raise foreign_page(f"Sec-Fetch-Site: {site.decode('latin-1')}")
        return
    origin = headers.get(b"origin", b"").decode("latin-1").strip()
    host = headers.get(b"host", b"").decode("latin-1").lower()
    if origin and not reads and _host_of(origin) != host:
        raise foreign_page(f"Origin: {origin}")


def _host_of(origin: str) -> str | None:
    """Host and port that a `Host` header would name."""
    try:
        parts = urlsplit(origin)
    except ValueError:  # brackets without an address
        return None
    return parts.netloc.lower() if parts.scheme in ("http", "https") else None


def client_of(address: str | None) -> str:
    """The client that an address stands for: of IPv6 the network of 64 bits, which one client has whole.

    >>> client_of("192.0.2.7"), client_of("2001:db8::1:2:3:4"), client_of("::ffff:192.0.2.7")
    ('192.0.2.7', '2001:db8::/64', '192.0.2.7')
    """
    try:
        found = ipaddress.ip_address((address or "").split("%")[0])
    except ValueError:
        return address or ""
    if found.version == 4:
        return str(found)
    if found.ipv4_mapped is not None:
        return str(found.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(found), 64), strict=False))
