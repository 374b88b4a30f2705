"""Which of our errors each failure of an exchange becomes, met with real servers that misbehave."""

import asyncio
import gzip
import os
import socket
import struct
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.transport.scripted import Wire, certificate, run, served
from tidyllm.core.errors import AnswerTimeoutError, BrokenConnectionError, ConnectError
from tidyllm.core.wire import Request
from tidyllm.transport.faults import without_secrets
from tidyllm.transport.http import HttpClient


@contextmanager
def port_that_refuses() -> Iterator[int]:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def reset(wire: Wire) -> None:
    """Hang up with a TCP reset."""
    wire.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    wire.writer.transport.abort()


def after_request(data: bytes, *, with_reset: bool = False) -> Callable[[Wire], Awaitable[None]]:
    async def script(wire: Wire) -> None:
        await wire.request()
        await wire.send(data)
        if with_reset:
            reset(wire)

    return script


HEAD = b"HTTP/1.1 200 OK\r\n"
BROKEN = {
    "hung up without an answer": after_request(b""),
    "reset without an answer": after_request(b"", with_reset=True),
    "hung up in the head": after_request(HEAD + b"content-le"),
    "no HTTP at all": after_request(b"SSH-2.0-OpenSSH_9.9\r\n\r\n"),
    "short of its length": after_request(HEAD + b"content-length: 100\r\n\r\nabc"),
    "ended in a chunk": after_request(HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\nabc"),
    "not gzip": after_request(HEAD + b"content-encoding: gzip\r\ncontent-length: 5\r\n\r\nabcde"),
    "half a gzip": after_request(HEAD + b"content-encoding: gzip\r\n\r\n" + gzip.compress(os.urandom(1000))[:500]),
}


@pytest.mark.parametrize("to_disk", [False, True])
@pytest.mark.parametrize("how", BROKEN)
def test_exchange_that_broke_off_may_have_been_carried_out(how: str, *, to_disk: bool, tmp_path: Path) -> None:
    async def body(client: HttpClient) -> None:
        async with served(BROKEN[how]) as server:
            sink = tmp_path / "out" if to_disk else None
            with pytest.raises(BrokenConnectionError) as caught:
                await client.send(Request(method="POST", url=server.url, body=b"{}", sink=sink))
            assert caught.value.url == server.url
            assert len(server.received) == 1

    run(body)
    assert list(tmp_path.iterdir()) == []


def test_refused_connection_was_not_sent() -> None:
    async def body(client: HttpClient) -> None:
        with port_that_refuses() as port, pytest.raises(ConnectError, match=f"{port}/: Connection refused"):
            await client.send(Request(method="POST", url=f"http://127.0.0.1:{port}/", body=b"{}"))

    run(body)


def test_name_without_an_address_was_not_sent() -> None:
    async def body(client: HttpClient) -> None:
        # A label of more than 63 letters is refused by the resolver itself: the test asks nobody.
        with pytest.raises(ConnectError):
            await client.send(Request(method="POST", url=f"http://{'a' * 64}.invalid/", body=b"{}"))

    run(body)


def test_server_that_is_not_trusted_was_not_sent_anything(tmp_path: Path) -> None:
    tls, _ = certificate(tmp_path)

    async def body(client: HttpClient) -> None:
        async with served(after_request(b""), tls=tls) as server:
            with pytest.raises(ConnectError, match="certificate"):
                await client.send(Request(method="POST", url=server.url, body=b"{}"))
            assert server.received == []

    run(body)


@pytest.mark.parametrize("to_disk", [False, True])
@pytest.mark.parametrize("said", [b"", HEAD + b"content-length: 100\r\n\r\nabc"])
def test_timeout_may_have_been_carried_out(said: bytes, *, to_disk: bool, tmp_path: Path) -> None:
    async def silent(wire: Wire) -> None:
        await wire.request()
        await wire.send(said)
        await wire.until_closed()
        hung_up.set()

    hung_up = asyncio.Event()

    async def body(client: HttpClient) -> None:
        async with served(silent) as server:
            sink = tmp_path / "out" if to_disk else None
            with pytest.raises(AnswerTimeoutError):
                await client.send(Request(method="POST", url=server.url, body=b"{}", timeout_s=0.2, sink=sink))
            await hung_up.wait()

    run(body)
    assert list(tmp_path.iterdir()) == []


def test_message_shows_no_query_and_no_user() -> None:
    assert without_secrets("https://me:pw@host/v1/x?key=abc") == "https://host/v1/x"
    assert without_secrets("no url") == "no url"
