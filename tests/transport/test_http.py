"""The HTTP client against real servers: what it sends, what it returns, and what it refuses to do."""

import asyncio
import gzip
import os
import resource
import sys
import zlib
from email import message_from_bytes
from pathlib import Path

import pytest

from tests.transport.scripted import DEADLINE_S, OK, Wire, python, run, say_hello, served
from tidyllm.core.errors import BodyTooLargeError, SettingError
from tidyllm.core.wire import MIB, TIMEOUT_S, Multipart, Part, Request
from tidyllm.transport.http import CLIENTS_MAX, COPIED_BYTES_MAX, HttpClient


def post(url: str, body: bytes = b"{}") -> Request:
    return Request(method="POST", url=url, body=body)


def peak_bytes() -> int:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else peak * 1024


def test_request_arrives_as_it_was_said() -> None:
    async def body(client: HttpClient) -> None:
        async with served(say_hello) as server:
            request = Request(method="PUT", url=server.url + "/v1/x?a=b%20c", headers=(("x-a", "1"),), body=b"abc")
            await client.send(request, (("authorization", "Bearer sk-1"),))
            (received,) = server.received
            assert received.line == "PUT /v1/x?a=b%20c HTTP/1.1"
            assert (received.headers["x-a"], received.headers["authorization"]) == ("1", "Bearer sk-1")
            assert received.headers["user-agent"].startswith("tidyllm/")
            assert "content-type" not in received.headers
            assert received.body == b"abc"

    run(body)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        "Zuse \u00fc \U0001f600".encode(),
        b"\xff\x00\x80 no text",
        b"x" * COPIED_BYTES_MAX,
        b"y" * (2 * COPIED_BYTES_MAX),
    ],
    ids=["empty", "text", "binary", "short", "long"],
)
def test_body_arrives_byte_by_byte(sent: bytes) -> None:
    async def body(client: HttpClient) -> None:
        async with served(say_hello) as server:
            await client.send(post(server.url, sent))
            assert server.received[0].body == sent

    run(body)


def test_body_longer_than_a_length_that_does_not_count_comes_whole() -> None:
    async def answer(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n")
        await wire.send(b"2\r\nab\r\n")
        await wire.send(b"2\r\ncd\r\n0\r\n\r\n")

    async def body(client: HttpClient) -> None:
        async with served(answer) as server:
            assert (await client.send(post(server.url))).body == b"abcd"

    run(body)


def test_answer_comes_back_whole() -> None:
    async def answer(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 418 I'm a teapot\r\nX-A: 1\r\nX-A: 2\r\ncontent-length: 3\r\n\r\ntea")

    async def body(client: HttpClient) -> None:
        async with served(answer) as server:
            got = await client.send(post(server.url))
            assert (got.status, got.body, got.headers["x-a"]) == (418, b"tea", "1")
            assert 0 < got.seconds < DEADLINE_S

    run(body)


def test_header_that_is_not_text_does_not_cost_the_answer() -> None:
    async def answer(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\nx-bad: caf\xe9\r\nx-good: 1\r\ncontent-length: 2\r\n\r\nok")

    async def body(client: HttpClient) -> None:
        async with served(answer) as server:
            got = await client.send(post(server.url))
            assert got.body == b"ok"
            assert got.headers == {"x-good": "1", "content-length": "2"}

    run(body)


def test_connection_is_used_again() -> None:
    async def body(client: HttpClient) -> None:
        async with served(say_hello) as server:
            for _ in range(5):
                await client.send(post(server.url))
            assert server.connections == 1

    run(body)


def test_timeouts_of_streams_make_no_more_than_a_few_clients() -> None:
    async def body(client: HttpClient) -> None:
        async with served(say_hello) as server:
            for seconds in range(1, 2 * CLIENTS_MAX):
                request = Request(method="GET", url=server.url, timeout_s=seconds + 10, receive=bool)
                assert (await client.send(request)).body == b"hello"
                assert (await client.send(post(server.url))).body == b"hello"
            assert len(client._clients) == CLIENTS_MAX
            assert (TIMEOUT_S, False) in client._clients

    run(body)


def test_redirect_is_an_answer_and_not_followed() -> None:
    async def redirect(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 307 Temporary Redirect\r\nlocation: /elsewhere\r\ncontent-length: 0\r\n\r\n")

    async def body(client: HttpClient) -> None:
        async with served(redirect) as server:
            got = await client.send(post(server.url), (("authorization", "Bearer sk-1"),))
            assert (got.status, got.headers["location"]) == (307, "/elsewhere")
            assert len(server.received) == 1

    run(body)


def test_compressed_answer_is_unpacked() -> None:
    async def answer(wire: Wire) -> None:
        await wire.request()
        packed = gzip.compress(b"x" * 500_000)
        await wire.send(
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(packed) + packed
        )

    async def body(client: HttpClient) -> None:
        async with served(answer) as server:
            assert (await client.send(post(server.url))).body == b"x" * 500_000

    run(body)


def test_cap_is_the_largest_body_that_passes() -> None:
    async def body(client: HttpClient) -> None:
        async with served(say_hello) as server:
            request = Request(method="GET", url=server.url, body_bytes_max=5)
            assert (await client.send(request)).body == b"hello"
            with pytest.raises(BodyTooLargeError, match="passed 4 bytes"):
                await client.send(Request(method="GET", url=server.url, body_bytes_max=4))

    run(body)


def test_gzip_bomb_is_abandoned_without_unpacking_it() -> None:
    squeeze = zlib.compressobj(1, zlib.DEFLATED, 31)
    bomb = b"".join(squeeze.compress(bytes(MIB)) for _ in range(256)) + squeeze.flush()

    async def answer(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: %d\r\n\r\n" % len(bomb) + bomb)

    async def body(client: HttpClient) -> None:
        async with served(answer) as server:
            before = peak_bytes()
            with pytest.raises(BodyTooLargeError):
                await client.send(Request(method="GET", url=server.url, body_bytes_max=MIB))
            assert peak_bytes() - before < 32 * MIB

    run(body)


@pytest.mark.parametrize("stage", ["before the answer", "within its body"])
def test_cancelled_send_runs_to_its_true_end(stage: str) -> None:
    async def body(client: HttpClient) -> None:
        reached, release, delivered = asyncio.Event(), asyncio.Event(), asyncio.Event()

        async def answer(wire: Wire) -> None:
            await wire.request()
            if stage == "within its body":
                await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n" + bytes(300_000))
            reached.set()
            await release.wait()
            assert not wire.reader.at_eof()
            await wire.send(bytes(600_000) if stage == "within its body" else OK)
            # Only a client that still reads takes the rest; one that had hung up would have ended this wire.
            await wire.send(b"") if wire.reader.at_eof() else delivered.set()
            await wire.until_closed()

        async with served(answer) as server:
            sending = asyncio.create_task(client.send(post(server.url)))
            await reached.wait()
            sending.cancel()
            with pytest.raises(asyncio.CancelledError):
                await sending
            closing = asyncio.create_task(client.close(DEADLINE_S))
            done, _ = await asyncio.wait({closing}, timeout=0.2)
            assert not done
            release.set()
            await closing
            assert delivered.is_set()

    run(body)


def test_close_breaks_off_what_does_not_end_in_time() -> None:
    async def silent(wire: Wire) -> None:
        await wire.request()
        await wire.until_closed()

    async def half(wire: Wire) -> None:
        await wire.request()
        await wire.send(b"HTTP/1.1 200 OK\r\ncontent-length: 900000\r\n\r\n" + bytes(300_000))
        await wire.until_closed()

    async def body(client: HttpClient) -> None:
        async with served(silent) as server, served(half) as other:
            abandoned = asyncio.create_task(client.send(post(server.url)))
            sendings = [asyncio.create_task(client.send(post(at.url))) for at in (server, other)]
            await asyncio.to_thread(server.arrived.wait, DEADLINE_S)
            await asyncio.to_thread(other.arrived.wait, DEADLINE_S)
            abandoned.cancel()
            await client.close(0.05)
            done, _ = await asyncio.wait({abandoned, *sendings})
            assert all(sending.cancelled() for sending in done)

    run(body)


def test_closed_client_refuses() -> None:
    async def body(client: HttpClient) -> None:
        await client.close()
        with pytest.raises(SettingError, match="closed"):
            await client.send(post("http://127.0.0.1:1"))

    run(body)


def test_file_is_sent_with_its_length_and_not_held_in_memory(tmp_path: Path) -> None:
    path = tmp_path / "input.jsonl"
    with path.open("wb") as file:
        file.truncate(200 * MIB)
    seen: list[tuple[str | None, int]] = []

    async def count(wire: Wire) -> None:
        head = (await wire.reader.readuntil(b"\r\n\r\n")).decode().lower()
        left = int(head.split("content-length: ")[1].split("\r\n")[0])
        seen.append(("chunked" if "chunked" in head else None, left))
        while left:
            left -= len(await wire.reader.read(left))
        await wire.send(OK)

    async def body(client: HttpClient) -> None:
        async with served(count) as server:
            before = peak_bytes()
            got = await client.send(Request(method="PUT", url=server.url, body=path))
            assert got.status == 200
            assert peak_bytes() - before < 32 * MIB

    run(body)
    assert seen == [(None, 200 * MIB)]


def test_form_arrives_part_by_part(tmp_path: Path) -> None:
    (tmp_path / "input.jsonl").write_bytes(b'{"a":1}\n')
    form = Multipart(
        (
            Part(name="purpose", content=b"batch"),
            Part(name="file", content=tmp_path / "input.jsonl", filename="in.jsonl", content_type="application/jsonl"),
        )
    )

    async def body(client: HttpClient) -> None:
        async with served(say_hello) as server:
            await client.send(Request(method="POST", url=server.url, body=form))
            (received,) = server.received
            kind = received.headers["content-type"]
            _, *parts = message_from_bytes(f"Content-Type: {kind}\r\n\r\n".encode() + received.body).walk()
            told = [(p["content-disposition"], p["content-type"], p.get_payload(decode=True)) for p in parts]
            assert told == [
                ('form-data; name="purpose"', None, b"batch"),
                ('form-data; name="file"; filename="in.jsonl"', "application/jsonl", b'{"a":1}\n'),
            ]

    run(body)


def test_missing_file_is_found_before_anything_is_sent(tmp_path: Path) -> None:
    async def body(client: HttpClient) -> None:
        async with served(say_hello) as server:
            with pytest.raises(SettingError, match=r"none\.jsonl cannot be read"):
                await client.send(Request(method="PUT", url=server.url, body=tmp_path / "none.jsonl"))
            assert server.connections == 0

    run(body)


def test_file_that_shrinks_while_it_is_sent_is_an_error(tmp_path: Path) -> None:
    path = tmp_path / "in"
    path.write_bytes(bytes(40 * MIB))

    async def shrink(wire: Wire) -> None:
        await wire.reader.readuntil(b"\r\n\r\n")
        os.truncate(path, 0)
        await wire.until_closed()

    async def body(client: HttpClient) -> None:
        async with served(shrink) as server:
            with pytest.raises(OSError, match="became shorter"):
                await client.send(Request(method="PUT", url=server.url, body=path))

    run(body)


@pytest.mark.parametrize(
    ("url", "header"),
    [("no url", "x"), ("http://", "x"), ("ftp://127.0.0.1/", "x"), ("http://127.0.0.1:1", "sk-secret\n")],
)
def test_what_is_no_request_is_a_wrong_setting(url: str, header: str) -> None:
    async def body(client: HttpClient) -> None:
        with pytest.raises(SettingError) as caught:
            await client.send(post(url), (("authorization", header),))
        assert "secret" not in str(caught.value)

    run(body)


def test_client_made_before_a_fork_says_so_after_it() -> None:
    process = python(
        """if True:
        import asyncio, os, sys
        from tidyllm.core.errors import SettingError
        from tidyllm.core.wire import Request
        from tidyllm.transport.http import CLIENTS_MAX, HttpClient
        client = HttpClient()
        child = os.fork()
        if child:
            sys.exit(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))
        for use in (lambda: client.send(Request(method="GET", url="http://127.0.0.1:1")), HttpClient):
            try:
                asyncio.run(use())
            except SettingError as error:
                assert "forked" in str(error), error
            else:
                sys.exit(3)
        """
    )
    assert (process.returncode, process.stderr) == (0, "")
