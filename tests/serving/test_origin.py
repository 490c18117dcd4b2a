"""Who may send requests: names of this machine, this server's own page, programs."""

import pytest

from regard.serving.errors import RequestError
from regard.serving.origin import check_host, check_origin, client_of, is_loopback

HOST = {b"host": b"localhost:8000"}


def test_what_is_loopback():
    assert all(map(is_loopback, ("localhost", "127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "192.168.1.5", "example.org")))


@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1.evil.example:80", "[::2]", ""])
def test_another_servers_host_is_refused_and_named(host):
    with pytest.raises(RequestError, match="answers to localhost only, not to '") as refused:
        check_host({b"host": host.encode()})
    assert refused.value.status == 421
    assert repr(host) in str(refused.value)


@pytest.mark.parametrize(
    "headers",
    [
        {},  # a program
        {"sec-fetch-site": "same-origin", "origin": "http://localhost:8000"},
        {"sec-fetch-site": "same-origin", "origin": "https://public.example"},  # behind a proxy
        {"sec-fetch-site": "none"},  # typed into the address bar
        {"origin": "http://localhost:8000"},  # a browser without fetch metadata
        {"origin": "http://LocalHost:8000"},
    ],
)
def test_own_pages_and_programs_pass(headers):
    check_origin("POST", {**HOST, **encoded(headers)})


@pytest.mark.parametrize(
    ("headers", "named"),
    [
        (
            {"sec-fetch-site": "cross-site", "origin": "http://evil.example"},
            "Sec-Fetch-Site: cross",
        ),
        (
            {"sec-fetch-site": "same-site", "origin": "http://localhost:3000"},
            "Sec-Fetch-Site: same-s",
        ),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, "Sec-Fetch-Site: cross"),
        ({"sec-fetch-site": "Cross-Site"}, "Sec-Fetch-Site: cross"),
        ({"sec-fetch-site": "invented"}, "Sec-Fetch-Site: invented"),
        ({"origin": "http://evil.example"}, "Origin: http://evil.example"),
        ({"origin": "http://localhost:3000"}, "Origin: http://localhost:3000"),
        ({"origin": "http://localhost"}, "Origin: http://localhost"),  # port 80
        ({"origin": "null"}, "Origin: null"),  # a sandboxed frame, a file
        ({"origin": "http://[::1"}, r"Origin: http://\[::1"),
        ({"origin": "file://localhost:8000"}, "Origin: file"),
    ],
)
def test_posts_of_other_origins_are_refused_by_name(headers, named):
    with pytest.raises(RequestError, match=named) as refused:
        check_origin("POST", {**HOST, **encoded(headers)})
    assert refused.value.status == 403
    assert "open this server's own page" in str(refused.value)


def test_a_link_from_elsewhere_opens_a_page_and_nothing_else_is_fetched():
    link = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    check_origin("GET", encoded({**link, "sec-fetch-dest": "document"}))
    check_origin("GET", encoded({"sec-fetch-site": "cross-site"}))
    check_origin("GET", encoded({"origin": "http://evil.example"}))  # it cannot read the answer
    for other in (
        {**link, "sec-fetch-dest": "iframe"},
        {**link, "sec-fetch-mode": "no-cors", "sec-fetch-dest": "image"},
        {**link, "sec-fetch-mode": "cors", "sec-fetch-dest": "empty"},
    ):
        with pytest.raises(RequestError, match="cross-site"):
            check_origin("GET", encoded(other))


def test_clients_by_address():
    assert client_of("192.0.2.7") == client_of("::ffff:192.0.2.7") == "192.0.2.7"
    assert client_of("2001:db8::1") == client_of("2001:db8::ffff:1") == "2001:db8::/64"
    assert client_of("2001:db8:0:1::1") != client_of("2001:db8::1")
    assert client_of("fe80::1%eth0") == "fe80::/64"
    assert client_of(None) == ""
    assert client_of("testclient") == "testclient"


def encoded(headers):
    return {name.encode(): value.encode() for name, value in headers.items()}
