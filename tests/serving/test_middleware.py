"""The guard of every request: bodies bounded in size and time, clients that hang up."""

import asyncio

import pytest

from regard.serving.limits import Limits
from regard.serving.middleware import RequestGuard


class Client:
    """The other end of one request: sends messages, then nothing, until it hangs up."""

    def __init__(self, *bodies: bytes, whole: bool = True, headers: dict[str, str] | None = None):
        self.ahead = [
            {"type": "http.request", "body": body, "more_body": not whole or body is not bodies[-1]}
            for body in bodies
        ]
        self.gone = asyncio.Event()
        self.answered: list[dict] = []
        own = {"host": "localhost", **(headers or {})}
        self.scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "headers": [(name.encode(), value.encode()) for name, value in own.items()],
        }

    async def receive(self):
        if self.ahead:
            return self.ahead.pop(0)
        await self.gone.wait()
        return {"type": "http.disconnect"}

    async def send(self, message):
        self.answered.append(message)


def error_response(error):
    async def respond(scope, receive, send):
        await send({"type": "http.response.start", "status": error.status, "headers": []})
        await send({"type": "http.response.body", "body": str(error).encode()})

    return respond


def guard(app, **limits):
    return RequestGuard(app, limits=Limits(**limits), loopback=True, respond=error_response)


async def echo(scope, receive, send):
    message = await receive()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": message["body"]})


def test_a_body_in_parts_reaches_the_application_whole():
    async def run():
        client = Client(b"ab", b"", b"c")
        await guard(echo)(client.scope, client.receive, client.send)
        return client.answered

    start, body = asyncio.run(run())
    assert (start["status"], body["body"]) == (200, b"abc")


@pytest.mark.parametrize("sent", [b"", b"half"])
def test_a_body_that_does_not_end_is_408(sent):
    async def run():
        client = Client(sent, whole=False)
        await guard(echo, read_timeout=0.05)(client.scope, client.receive, client.send)
        return client.answered

    start, body = asyncio.run(run())
    assert start["status"] == 408
    assert b"the body of the request did not come whole within 0.05 s" in body["body"]


def test_a_body_without_end_is_413_before_it_is_held():
    async def run():
        client = Client(*[b"x" * 10_000] * 50, whole=False)
        await guard(echo)(client.scope, client.receive, client.send)
        return client.answered, len(client.ahead)

    (start, _), unread = asyncio.run(run())
    assert start["status"] == 413
    assert unread > 30


def test_a_length_beyond_all_numbers_is_413():
    async def run():
        client = Client(b"x", headers={"content-length": "9" * 5000})
        await guard(echo)(client.scope, client.receive, client.send)
        return client.answered

    assert asyncio.run(run())[0]["status"] == 413


def test_a_client_that_hangs_up_while_it_sends_is_answered_by_nothing():
    async def run():
        client = Client(b"half", whole=False)
        client.gone.set()
        await guard(echo)(client.scope, client.receive, client.send)
        return client.answered

    assert asyncio.run(run()) == []


def test_a_client_that_hangs_up_ends_its_request():
    ended: list[str] = []
    gone: list[asyncio.Event] = []

    async def slow(scope, receive, send):
        await receive()
        gone[0].set()  # and here it goes
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            ended.append("cancelled")
            raise

    async def run():
        client = Client(b"{}")
        gone.append(client.gone)
        await guard(slow)(client.scope, client.receive, client.send)
        return client.answered

    assert asyncio.run(run()) == []
    assert ended == ["cancelled"]


def test_what_follows_a_complete_answer_is_not_cut_off():
    ended = []

    async def thorough(scope, receive, send):
        await echo(scope, receive, send)
        assert (await receive())["type"] == "http.disconnect"  # the answer is complete
        await asyncio.sleep(0)
        ended.append("by itself")

    async def run():
        client = Client(b"{}")
        client.gone.set()
        await guard(thorough)(client.scope, client.receive, client.send)

    asyncio.run(run())
    assert ended == ["by itself"]


def test_a_fault_of_the_application_is_its_own():
    async def faulty(scope, receive, send):
        raise ZeroDivisionError

    async def run():
        client = Client(b"{}")
        await guard(faulty)(client.scope, client.receive, client.send)

    with pytest.raises(ZeroDivisionError):
        asyncio.run(run())
